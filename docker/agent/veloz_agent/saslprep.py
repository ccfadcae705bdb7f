"""SASLprep (RFC 4013) of a password, as PostgreSQL and its clients do it before they derive a key from it."""

from __future__ import annotations

import stringprep
import unicodedata

_PROHIBITED = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(password: str) -> str:
    """A password that the profile forbids is used as it is: PostgreSQL does the same, and so do its clients."""
    if password.isascii():
        return password
    mapped = "".join(
        " " if stringprep.in_table_c12(letter) else letter
        for letter in password
        if not stringprep.in_table_b1(letter) or stringprep.in_table_c12(letter)
    )
    if not mapped:
        return password
    prepared = unicodedata.normalize("NFKC", mapped)
    if any(prohibits(letter) for letter in prepared for prohibits in _PROHIBITED):
        return password
    if any(map(stringprep.in_table_d1, prepared)):
        right_to_left = stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1])
        if not right_to_left or any(map(stringprep.in_table_d2, prepared)):
            return password
    return prepared

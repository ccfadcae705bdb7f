"""Who was the master last: kept by every node on its own volume, and told to whoever asks its Redis."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Iterable, Optional

from .settings import VOLUME, Address

FILE = f"{VOLUME}/last-master"
# A name of the node's own connection to its Redis. CLIENT LIST shows it to everybody who has the password, also while
# the server reads its files; and it is no data, which a replica would copy.
TOLD = "veloz-last-master="
NONE = "none"
TEXT = re.compile(r"([!-~]+):([0-9]{1,5})#([0-9]{1,18})")


@dataclass(frozen=True)
class Record:
    """A node was this master, or had what it had."""

    master: Address
    number: int
    """Of two records the one with the higher number is the later one. At least the config-epoch of the Sentinels."""


def text_of(record: Optional[Record]) -> str:
    return NONE if record is None else f"{record.master[0]}:{record.master[1]}#{record.number}"


def read_text(text: str) -> Optional[Record]:
    found = TEXT.fullmatch(text.strip())
    return None if found is None else Record((found[1], int(found[2])), int(found[3]))


def load(path: str = FILE) -> Optional[Record]:
    """None where there is none, or none that can be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return read_text(file.read())
    except OSError:
        return None


def keep(record: Record, path: str = FILE) -> None:
    """Returns once it is on the disk. @raises OSError"""
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write(f"{text_of(record)}\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{path}.new", path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def told_in(clients: Optional[str]) -> tuple[bool, Optional[Record]]:
    """What CLIENT LIST of a node tells: whether it says anything about it, and its record, where it has one."""
    for line in (clients or "").splitlines():
        for word in line.split(" "):
            if word.startswith(f"name={TOLD}"):
                return True, read_text(word[len(f"name={TOLD}") :])
    return False, None


def next_record(master: Address, epoch: int, known: Iterable[Optional[Record]]) -> Record:
    """
    The record of a master that is one now. Its number is higher than that of every record that names another one: the
    epochs of Sentinels that lost their state begin anew, and numbers never do.
    """
    there = [record for record in known if record is not None]
    top = max((record.number for record in there), default=0)
    if epoch > top:
        return Record(master, epoch)
    others = any(record.number == top and record.master != master for record in there)
    return Record(master, top + 1 if others else top)

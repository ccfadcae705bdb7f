"""Positions in the WAL, names of its segments, and timeline histories. Pure, but for a look at a directory's names."""

from __future__ import annotations

import os
import re
from typing import Optional

PAGE = 8192
SHORT_HEADER = 24
# The first page of a segment has a longer header.
LONG_HEADER = 40

_SEGMENT = re.compile(r"^[0-9A-F]{24}$")


def parse_lsn(text: str) -> int:
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def segment_name(timeline: int, number: int, size: int) -> str:
    per_id = (1 << 32) // size
    return f"{timeline:08X}{number // per_id:08X}{number % per_id:08X}"


def segment_number(name: str, size: int) -> int:
    return int(name[8:16], 16) * ((1 << 32) // size) + int(name[16:24], 16)


def segments(pg_wal: str, timeline: int) -> list:
    """The names of a timeline's segments, oldest first; recycled ones, which hold nothing yet, are among them."""
    prefix = f"{timeline:08X}"
    return sorted(name for name in os.listdir(pg_wal) if name.startswith(prefix) and _SEGMENT.match(name))


def timelines(pg_wal: str) -> list:
    """The timelines of which there are segments, newest first."""
    return sorted({int(name[:8], 16) for name in os.listdir(pg_wal) if _SEGMENT.match(name)}, reverse=True)


def record_end(start: int, length: int, is_switch: bool, segment_size: int) -> int:
    """Where a record ends, page headers inside it counted, as PostgreSQL itself says it.

    A switch record takes the rest of its segment.
    """
    at, left = start, length
    while True:
        room = PAGE - at % PAGE
        if left <= room:
            at += left
            break
        at += room
        left -= room
        at += LONG_HEADER if at % segment_size == 0 else SHORT_HEADER
    at = (at + 7) // 8 * 8
    return (at + segment_size - 1) // segment_size * segment_size if is_switch else at


def parse_history(text: str) -> list:
    """[{"timeline", "endLsn"}] of a history file: each former timeline and where it was left, oldest first."""
    found = []
    for line in text.splitlines():
        fields = line.split("#")[0].split()
        if len(fields) >= 2 and fields[0].isdigit() and "/" in fields[1]:
            found.append({"timeline": int(fields[0]), "endLsn": fields[1]})
    return found


def left_at(history: list, upstream_timeline: int, timeline: int) -> Optional[str]:
    """Where the upstream's history left a timeline; None when it is the upstream's own, or none of its history."""
    if timeline == upstream_timeline:
        return None
    return next((entry["endLsn"] for entry in history if entry["timeline"] == timeline), None)

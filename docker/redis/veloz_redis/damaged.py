"""Files that the server of a node can't read: kept under another name, so that it starts and copies the master."""

from __future__ import annotations

import calendar
import os
import re
import shutil
import time
from typing import Optional

# The only files that a server with an append-only file reads when it starts. dump.rdb is none of them: it stays.
FILES = "appendonlydir"
# Of those that were put away, the newest ones are kept; all of the last day, since the first one of them may hold what
# no other node has. A disk that damages more of them than that is for a person.
KEPT = 2
DAY_S = 86_400.0
# A copy needs room for what the master sends and for the append-only file that is made of it.
COPIES = 2
SPARE_BYTES = 64 * 1024 * 1024
STAMP = "%Y%m%dT%H%M%SZ"
NAME = re.compile(rf"{FILES}\.damaged-([0-9]{{8}}T[0-9]{{6}}Z)")


class Refused(Exception):
    """They can't be put away without losing something."""


def size_of(folder: str) -> int:
    """Bytes of all files in it."""
    return sum(
        os.lstat(os.path.join(path, name)).st_size for path, _folders, names in os.walk(folder) for name in names
    )


def put_away_in(volume: str) -> list[tuple[str, float]]:
    """What was put away before and when, in seconds since the epoch, oldest first."""
    found = [match for name in sorted(os.listdir(volume)) if (match := NAME.fullmatch(name)) is not None]
    return [(match[0], float(calendar.timegm(time.strptime(match[1], STAMP)))) for match in found]


def free_bytes(volume: str) -> int:
    found = os.statvfs(volume)
    return found.f_bavail * found.f_frsize


def put_away(volume: str, now: Optional[float] = None) -> str:
    """
    Renames the files. Removes the oldest that were put away before: beyond the number that is kept, and where a copy
    would find no room.
    @returns the new name
    @raises Refused, OSError: nothing was renamed then
    """
    now = time.time() if now is None else now
    needed = COPIES * size_of(os.path.join(volume, FILES)) + SPARE_BYTES
    before = put_away_in(volume)
    while before and now - before[0][1] >= DAY_S and (len(before) >= KEPT or free_bytes(volume) < needed):
        shutil.rmtree(os.path.join(volume, before.pop(0)[0]))
    if len(before) >= KEPT:
        raise Refused(f"{len(before)} were put away within a day (limit: {KEPT}): the disk may damage what it holds")
    free = free_bytes(volume)
    if free < needed:
        raise Refused(
            f"{free // 1024**2} MiB are free, and a copy may need {needed // 1024**2} MiB beside what is kept"
        )
    name = f"{FILES}.damaged-{time.strftime(STAMP, time.gmtime(now))}"
    os.rename(os.path.join(volume, FILES), os.path.join(volume, name))
    return name

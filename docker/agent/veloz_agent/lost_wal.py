"""Whether a node that would start as the primary has lost WAL that it had: its data were replaced by older ones, or its disk lost some.

A primary sends nothing that is not on its own disk (PostgreSQL 17, XLogSendPhysical), so no standby ever replays more than the
primary of its timeline had. One that has is of another history from now on, and its word that it has everything up to there would
let the primary acknowledge commits that no standby has.
"""

from __future__ import annotations

import os
import struct
from typing import Awaitable, Callable, Optional

from . import wal

# The largest that a segment may be: what stands in a first page and is more than this, or no power of two, is no segment size.
_MAX_SEGMENT = 1 << 30


async def reason(
    data: str,
    control: dict,
    answers: list,
    on_disk: Callable[..., Awaitable],
    end_near: Callable[[int, str], Awaitable[Optional[str]]],
) -> Optional[str]:
    """Why this node must not start as the primary, or None. `answers`: of its peers. Reads a few bytes for each that has more.

    What is compared is a page: a record of which only the beginning reached the disk is given up by a primary that crashed, and no
    standby replays one. Less than a page is found out by the guard. `end_near`: as WalReader's; it has the last word, since not every page
    that WAL takes is written.
    """
    for answer in answers:
        if not answer.standby or answer.replayed is None or answer.system_identifier != control["systemIdentifier"]:
            continue
        if (answer.replayed_timeline or 0) > control["timeline"]:
            return (
                f"{answer.host}:{answer.port} is a standby that has replayed timeline {answer.replayed_timeline}, and this node knows none "
                f"after {control['timeline']}: another one was promoted since, or its data were replaced by older ones. To start it all the "
                "same, stop that standby first."
            )
        if not await on_disk(_lacks, data, control, answer) or await _reaches(control, answer.replayed, end_near):
            continue
        return (
            f"{answer.host}:{answer.port} is a standby that has replayed this timeline, {control['checkpointTimeline']}, up to "
            f"{answer.replayed}, and the WAL of this node ends before that: its disk lost what it had written, or its data were replaced by "
            "older ones. Started, it would acknowledge commits that no standby has. To start it all the same, stop that standby first."
        )
    return None


def _lacks(data: str, control: dict, answer) -> bool:
    """Is the page not here at which the standby's replay ends?"""
    timeline = control["checkpointTimeline"]
    if answer.replayed_timeline != timeline:
        return False
    end = wal.parse_lsn(answer.replayed)
    # What lies before the last checkpoint is here, and its segment may be gone.
    if end <= wal.parse_lsn(control["checkpointLsn"]):
        return False
    return page_is_here(os.path.join(data, "pg_wal"), timeline, end - 1) is False


async def _reaches(control: dict, replayed: str, end_near) -> bool:
    """Do the records reach so far? A switch of segments takes the rest of its segment, and the pages of that have no headers (PostgreSQL 17,
    CopyXLogRecordToWAL)."""
    try:
        end = await end_near(control["checkpointTimeline"], control["checkpointLsn"])
    except (OSError, ValueError):
        # What pg_waldump can't read, the page has told.
        return False
    return end is not None and wal.parse_lsn(end) >= wal.parse_lsn(replayed)


def page_is_here(pg_wal: str, timeline: int, position: int) -> Optional[bool]:
    """Is the page of a position on the disk? None where nobody can tell, since a newer timeline was begun here or the disk does not say."""
    try:
        newest = wal.timelines(pg_wal)
        if not newest or newest[0] > timeline:
            return None
        size = os.stat(os.path.join(pg_wal, wal.segments(pg_wal, timeline)[-1])).st_size
        if size <= 0 or size > _MAX_SEGMENT or size & (size - 1):
            return None
        page = position - position % wal.PAGE
        with open(os.path.join(pg_wal, wal.segment_name(timeline, page // size, size)), "rb") as file:
            file.seek(page % size)
            head = file.read(16)
    except FileNotFoundError:
        return False
    except (OSError, IndexError):
        return None
    if len(head) < 16:
        return False
    magic, _info, _timeline, address = struct.unpack("=HHIQ", head)
    return magic != 0 and address == page

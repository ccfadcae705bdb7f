"""Where the WAL of a data directory ends, found by reading it with pg_waldump.

A control file does not tell: after a crash it names the last checkpoint, and everything since is only in the WAL.
"""

from __future__ import annotations

import os
import re
import struct
from typing import Optional

from . import statefile, wal
from .control_file import lsn
from .processes import Processes

_STOPPED = re.compile(rb"error in WAL record at ([0-9A-F]+/[0-9A-F]+):")
_RECORD = re.compile(rb"len \(rec/tot\):\s*\d+/\s*(\d+), tx:\s*\d+, lsn: ([0-9A-F]+/[0-9A-F]+), prev \S+ desc: (\w*)")
# What is kept of the output: the last lines tell.
TAIL = 65_536
# A record may be larger than a segment: the last one is looked for in so many.
SEGMENTS_BACK = 4


class WalReader:
    """Reads the WAL of one data directory."""

    def __init__(self, processes: Processes, bin_directory: str, data: str) -> None:
        self._processes = processes
        self._command = os.path.join(bin_directory, "pg_waldump")
        self._env = {"PATH": f"{bin_directory}:/usr/bin:/bin", "LC_ALL": "C"}
        self.pg_wal = os.path.join(data, "pg_wal")

    def segment_size(self, timeline: int) -> int:
        (first, *_) = wal.segments(self.pg_wal, timeline)
        return os.stat(os.path.join(self.pg_wal, first)).st_size

    async def dump(self, timeline: int, start: str, take, *options: str) -> int:
        """Gives what pg_waldump prints, from `start` on, to `take` in parts; it fails where the WAL ends earlier."""
        argv = [self._command, "-p", self.pg_wal, "-t", str(timeline), "-s", start, *options]
        return await self._processes.read(argv, self._env, take)

    async def _tail(self, timeline: int, start: int, missing: int, size: int, *options: str) -> bytes:
        """The last of what pg_waldump prints from `start` on, up to segment `missing`, which does not exist.

        For a segment that does not exist pg_waldump would wait five seconds, in case a server is about to make it. The
        segments are named because it would else take the segment size from any file, and an empty one has none.
        """
        names = (wal.segment_name(timeline, number, size) for number in (start // size, missing - 1))
        kept = b""

        def take(part: bytes) -> None:
            nonlocal kept
            kept = (kept + part)[-TAIL:]

        await self.dump(timeline, lsn(start), take, f"--end={lsn(missing * size)}", *options, *names)
        return kept

    async def end_of_timeline(self, timeline: int, start: str) -> Optional[str]:
        """The end of the last valid record at or after `start`, None when there is none.

        Read is from the first segment that exists, as far as one follows the other.
        """
        size = self.segment_size(timeline)
        wanted = wal.parse_lsn(start)
        present = {wal.segment_number(name, size) for name in wal.segments(self.pg_wal, timeline)}
        missing = min((number for number in present if number >= wanted // size), default=None)
        if missing is None:
            return None
        first = max(wanted, missing * size)
        while missing in present:
            missing += 1
        told = await self._tail(timeline, first, missing, size, "--quiet")
        stopped = _STOPPED.search(told)
        if stopped:
            last = wal.parse_lsn(stopped[1].decode())
            return self._end(await self._tail(timeline, last, missing, size, "--limit=1"), size)
        # It may also say how much it skipped before the first record.
        if b"error:" in told:
            return None
        # All that is there was read. That it ends at the boundary does not follow: the next record may have begun
        # before, and its rest be missing. The last one tells; it is in the last segment, or began earlier.
        for back in range(1, SEGMENTS_BACK + 1):
            at = max(first, (missing - back) * size)
            end = self._end(await self._tail(timeline, at, missing, size), size)
            if end or at == first:
                return end
        return None

    def _end(self, told: bytes, size: int) -> Optional[str]:
        """The end of the last record that was printed."""
        records = _RECORD.findall(told)
        if not records:
            return None
        length, start, description = records[-1]
        return lsn(wal.record_end(wal.parse_lsn(start.decode()), int(length), description == b"SWITCH", size))

    def _begins(self, name: str, at: int) -> bool:
        """Does the segment hold WAL of its own? One that was made ahead is empty, or holds what it was before."""
        try:
            with open(os.path.join(self.pg_wal, name), "rb") as file:
                magic, _info, _timeline, address = struct.unpack("=HHIQ", file.read(16))
        except (OSError, struct.error):
            return False
        return magic != 0 and address == at

    async def end_near(self, timeline: int, start: str) -> Optional[str]:
        """The end of the WAL that lies here from `start` on, which is a position that this node has.

        Looks at the first page of each segment, and reads the last one that was begun: milliseconds, however much
        lies between. `start` itself where nothing more is here; None when even its segment is not, or is unreadable.
        """
        size = self.segment_size(timeline)
        wanted = wal.parse_lsn(start)
        # A position at a boundary ends the segment before.
        first = last = max(0, wanted - 1) // size
        if not self._begins(wal.segment_name(timeline, first, size), first * size):
            return None
        while self._begins(wal.segment_name(timeline, last + 1, size), (last + 1) * size):
            last += 1
        # A record may have begun in an earlier segment.
        for number in range(last, max(-1, last - SEGMENTS_BACK - 1), -1):
            if not self._begins(wal.segment_name(timeline, number, size), number * size):
                return None
            end = await self.end_of_timeline(timeline, lsn(number * size))
            if end:
                return lsn(max(wal.parse_lsn(end), wanted))
        return None

    async def standby_end(self, timeline: int, start: str) -> tuple:
        """(timeline, LSN): the end of what a standby on `timeline` has, which has replayed up to `start`.

        A newer timeline that left this one, and of which there are records here, goes on where this one ends.
        """
        for newer in wal.timelines(self.pg_wal):
            if newer <= timeline:
                break
            history = wal.parse_history(statefile.read(os.path.join(self.pg_wal, f"{newer:08X}.history")) or "")
            if timeline in [entry["timeline"] for entry in history]:
                end = await self.end_near(newer, history[-1]["endLsn"])
                if end:
                    return (newer, end)
        return (timeline, await self.end_near(timeline, start))

    def begins(self, timeline: int) -> Optional[str]:
        """Where it left the one before, by its history file; None without one."""
        history = wal.parse_history(statefile.read(os.path.join(self.pg_wal, f"{timeline:08X}.history")) or "")
        return history[-1]["endLsn"] if history else None

    async def told(self, timeline: int, start: str, end: str, *options: str) -> bytes:
        """What pg_waldump prints of the records from `start` to `end`, or as much of it as `TAIL` keeps."""
        size = self.segment_size(timeline)
        # A position at a boundary ends the segment before.
        last = max(wal.parse_lsn(start), wal.parse_lsn(end) - 1) // size
        names = (wal.segment_name(timeline, number, size) for number in (wal.parse_lsn(start) // size, last))
        kept = b""

        def take(part: bytes) -> None:
            nonlocal kept
            kept = (kept + part)[-TAIL:]

        await self.dump(timeline, start, take, f"--end={end}", *options, *names)
        return kept

    async def end(self, control: dict) -> tuple:
        """(timeline, LSN): the newest timeline that has records here, and where they end. LSN is None if unreadable.

        From the checkpoint's redo position on; a newer timeline from where it left its parent.
        """
        own = control["checkpointTimeline"]
        for timeline in wal.timelines(self.pg_wal):
            if timeline <= own:
                break
            history = wal.parse_history(statefile.read(os.path.join(self.pg_wal, f"{timeline:08X}.history")) or "")
            end = history and await self.end_of_timeline(timeline, history[-1]["endLsn"])
            if end:
                return (timeline, end)
        return (own, await self.end_of_timeline(own, control["redoLsn"]))

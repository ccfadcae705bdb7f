"""What is kept of data that a rewind or a copy is about to drop: evidence, and the last place of lost rows."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from typing import Optional

from . import statefile, wal
from .wal_end import WalReader

# Folders that are kept; the oldest go first.
FOLDERS = 20
# Of the lost WAL in readable form.
LISTING_BYTES = 2 << 20
# Segments are kept up to this much, and up to a quarter of what is free.
WAL_BYTES = 1 << 30
# What is told where nobody can say what is lost.
UNKNOWN = {"fromLsn": None, "toLsn": None, "bytes": 0, "commits": 0, "complete": False, "kept": True}


class Listing:
    """Takes pg_waldump's output: writes its beginning, counts the commits in all of it."""

    _COMMIT = b"desc: COMMIT"

    def __init__(self, path: str) -> None:
        self._file = open(path, "wb")
        self._room = LISTING_BYTES
        self._rest = b""
        self.commits = 0

    def take(self, part: bytes) -> None:
        searched = self._rest + part
        self.commits += searched.count(self._COMMIT)
        # Shorter than what is looked for, so that nothing is counted twice.
        self._rest = searched[-(len(self._COMMIT) - 1) :]
        if self._room > 0:
            self._file.write(part[: self._room])
            self._room -= len(part)
            if self._room <= 0:
                self._file.write(b"\n[the rest is left out; the segments beside have all of it]\n")

    def close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def new_folder(own: str, kind: str) -> str:
    """A folder of its own under `quarantine`, named by the time (UTC)."""
    root = os.path.join(own, "quarantine")
    name = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{kind}"
    path, number = os.path.join(root, name), 1
    while os.path.exists(path):
        number += 1
        path = os.path.join(root, f"{name}-{number}")
    os.makedirs(path, mode=0o700)
    others = [entry for entry in os.scandir(root) if entry.path != path]
    others.sort(key=lambda entry: entry.stat().st_mtime_ns, reverse=True)
    for old in others[FOLDERS - 1 :]:
        shutil.rmtree(old.path, ignore_errors=True)
    return path


def copy_durably(source: str, folder: str) -> None:
    """A file that does not exist is no evidence."""
    target = os.path.join(folder, os.path.basename(source))
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError:
        return
    statefile.make_durable(target)


def _keep_files(data: str, folder: str, names: list) -> bool:
    """Control file, settings and histories; and the segments where there is room for them."""
    copy_durably(os.path.join(data, "global", "pg_control"), folder)
    copy_durably(os.path.join(data, "postgresql.auto.conf"), folder)
    pg_wal = os.path.join(data, "pg_wal")
    if os.path.isdir(pg_wal):
        for name in os.listdir(pg_wal):
            if name.endswith(".history"):
                copy_durably(os.path.join(pg_wal, name), folder)
    disk = os.statvfs(folder)
    wanted = sum(os.stat(os.path.join(pg_wal, name)).st_size for name in names)
    if wanted > min(WAL_BYTES, disk.f_bavail * disk.f_frsize // 4):
        return False
    for name in names:
        copy_durably(os.path.join(pg_wal, name), folder)
    return True


async def keep(
    own: str,
    data: str,
    reader: WalReader,
    about: dict,
    lost_from: Optional[tuple],
    wal_end: Optional[str],
    unknown: bool = False,
) -> tuple:
    """(folder, lost): `lost_from` is (timeline, LSN); `lost` is None for nothing.

    Else {fromLsn, toLsn, bytes, commits, complete, kept}: `commits` are those that could be read, `complete` tells
    whether these are all, `kept` whether their segments are in the folder. With `unknown` nobody can tell whether there
    are any. Durable on return. `about` goes into the summary.
    """
    folder = await asyncio.to_thread(new_folder, own, about["kind"])
    names: list = []
    lost: Optional[dict] = dict(UNKNOWN) if unknown else None
    if lost_from:
        timeline, start = lost_from
        size = await asyncio.to_thread(reader.segment_size, timeline)
        first = wal.parse_lsn(start) // size
        # The last byte before the end: an end at a segment's beginning is the segment before.
        last = (wal.parse_lsn(wal_end) - 1) // size if wal_end else None
        names = [
            name
            for name in wal.segments(reader.pg_wal, timeline)
            if first <= wal.segment_number(name, size) and (last is None or wal.segment_number(name, size) <= last)
        ]
    complete = await asyncio.to_thread(_keep_files, data, folder, names)
    if lost_from:
        listing = Listing(os.path.join(folder, "lost-wal.txt"))
        try:
            options = [f"--end={wal_end}"] if wal_end else []
            # Named, for the reason that `WalReader._tail` gives; it happened that a lost row was told as none.
            code = await reader.dump(timeline, start, listing.take, *options, *(names and (names[0], names[-1])))
        finally:
            await asyncio.to_thread(listing.close)
        count = wal.parse_lsn(wal_end) - wal.parse_lsn(start) if wal_end else 0
        lost = {
            "fromLsn": start,
            "toLsn": wal_end,
            "bytes": count,
            "commits": listing.commits,
            "complete": wal_end is not None and code == 0,
            "kept": complete and bool(names),
        }
    summary = {
        **about,
        "divergedTimeline": lost_from[0] if lost_from else None,
        "divergedAt": lost_from[1] if lost_from else None,
        "walEnd": wal_end,
        "bytes": lost["bytes"] if lost else 0,
        "commits": lost["commits"] if lost else 0,
        "complete": lost["complete"] if lost else True,
        "segments": names if complete else [],
        "segmentsLeftOut": [] if complete else names,
    }
    text = json.dumps(summary, indent=2) + "\n"
    await asyncio.to_thread(statefile.replace, os.path.join(folder, "summary.json"), text)
    await asyncio.to_thread(statefile.sync_directory, os.path.dirname(folder))
    return (folder, lost)

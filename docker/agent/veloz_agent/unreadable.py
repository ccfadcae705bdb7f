"""Files of the data directory that the server's user may not read: one of them ends every copy of the node.

`pg_basebackup` and `pg_rewind` read all that lies there, whoever put it there, and give up at the first file that they can't open. The
server itself never opens such a file, and so nothing else tells. The agent has given root up and is the server's user itself.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import stat
from typing import Iterator, Optional

from .kept import Kept

# A walk asks for each file's rights once.
KEPT_S = 60
TOLD = 12

# What no copy reads: the directories stay empty, the files are left out (backup/basebackup.c, rewind/filemap.c).
_EMPTY = {
    "pg_wal", "pg_stat_tmp", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_subtrans",
}
_LEFT_OUT = {
    "postmaster.pid", "postmaster.opts", "postgresql.auto.conf.tmp", "current_logfiles.tmp", "backup_label", "tablespace_map",
    "backup_manifest",
}
_LEFT_OUT_PREFIXES = ("pgsql_tmp", "pg_internal.init")


def walk(folder: str, top: bool = True) -> Iterator[dict]:
    """`{path, mode, owner}` of each file and directory that this process may not read, in the order in which they are found."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.name in _LEFT_OUT or entry.name.startswith(_LEFT_OUT_PREFIXES):
            continue
        try:
            # Links, sockets and the like are passed over by a copy, or followed as tablespaces, which readiness tells of.
            is_folder = entry.is_dir(follow_symlinks=False)
            if not is_folder and not entry.is_file(follow_symlinks=False):
                continue
            if not os.access(entry.path, os.R_OK | os.X_OK if is_folder else os.R_OK, effective_ids=True):
                # One that was removed meanwhile can't be read either.
                yield _told(entry.path, entry.stat(follow_symlinks=False))
                continue
        except FileNotFoundError:
            continue
        if is_folder and not (top and entry.name in _EMPTY):
            yield from walk(entry.path, False)


def _told(path: str, entry: os.stat_result) -> dict:
    try:
        owner = pwd.getpwuid(entry.st_uid).pw_name
    except KeyError:
        owner = str(entry.st_uid)
    return {"path": path, "mode": f"{stat.S_IMODE(entry.st_mode):04o}", "owner": owner}


def _is_well(told: Optional[dict]) -> bool:
    return told is not None and not told["files"]


class Unreadable:
    """Looks, and keeps what it found."""

    def __init__(self, data: str) -> None:
        self._data = data
        self._kept = Kept(lambda: asyncio.to_thread(self._look), _is_well, KEPT_S)

    async def answer(self) -> Optional[dict]:
        """`{user, files: [{path, mode, owner}], more}`: who can't read them, the first of them, and how many others; None where it is not known."""
        return await self._kept.answer()

    def _look(self) -> Optional[dict]:
        try:
            found = list(walk(self._data))
            user = pwd.getpwuid(os.geteuid()).pw_name
        except (OSError, KeyError):
            return None
        return {"user": user, "files": found[:TOLD], "more": max(0, len(found) - TOLD)}

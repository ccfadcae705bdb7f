"""What keeps a node from being copied: files that the server's user may not read, and links.

`pg_basebackup` and `pg_rewind` read all that lies in the data directory, whoever put it there, and give up at the first file that they
can't open. The server itself never opens such a file, and so nothing else tells. The agent has given root up and is the server's user itself.

A link is followed by the server, whatever it leads to, and by no copy: `pg_basebackup` warns of it and ends well, without a database that
somebody moved to another disk. It makes links to tablespaces anew, and a directory of a link that `pg_wal` is. A link that is no part of the
database counts only where the server's settings name what it leads to: a copy without that would not start.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import stat
from typing import Iterator, Optional

from . import base_backup, config_files, tablespaces
from .kept import Kept
from .recovery_settings import is_on
from .settings import PostgresSettings

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
# Nothing is lost with them.
_LOGS = ("log", "pg_log")
# Files of the settings, and where each lies in the data directory while nothing names it.
_NAMED = {"hba_file": "pg_hba.conf", "ident_file": "pg_ident.conf"}
_NAMED_WITH_SSL = {
    "ssl_cert_file": "server.crt", "ssl_key_file": "server.key", "ssl_ca_file": "", "ssl_crl_file": "", "ssl_crl_dir": "",
    "ssl_dh_params_file": "",
}  # fmt: skip


def walk(folder: str, top: bool = True, logs: tuple = _LOGS, data: bool = True) -> Iterator[dict]:
    """`{path, mode, owner}` of each file and directory that this process may not read, `{path, target}` of each link that is a part of the
    database and that no copy follows, in the order in which they are found. `logs`: names of the directory of logs, which may be a link.
    `data`: what lies in the folder is a part of the database."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.name in _LEFT_OUT or entry.name.startswith(_LEFT_OUT_PREFIXES):
            continue
        part = data and not (top and (entry.name in logs or not base_backup.is_part(entry.name)))
        try:
            if entry.is_symlink():
                # The names of what stays empty count in every directory.
                if part and entry.name not in _EMPTY:
                    yield {"path": entry.path, "target": os.readlink(entry.path)}
                continue
            # Sockets and the like hold no data.
            is_folder = entry.is_dir(follow_symlinks=False)
            if not is_folder and not entry.is_file(follow_symlinks=False):
                continue
            if not os.access(entry.path, os.R_OK | os.X_OK if is_folder else os.R_OK, effective_ids=True):
                # One that was removed meanwhile can't be read either.
                yield _told(entry.path, entry.stat(follow_symlinks=False))
                continue
        except FileNotFoundError:
            continue
        if is_folder and top and entry.name == tablespaces.DIRECTORY:
            yield from _in_tablespaces(entry.path)
        elif is_folder and not (top and entry.name in _EMPTY):
            yield from walk(entry.path, False, data=part)


def _in_tablespaces(folder: str) -> Iterator[dict]:
    """A tablespace is a link, or, within the data directory, a directory; of either a copy reads what the server has put there."""
    for name in sorted(os.listdir(folder)):
        space = os.path.join(folder, name)
        try:
            inside = [entry for entry in os.listdir(space) if entry.startswith("PG_")]
        except OSError:
            # Dropped meanwhile, or not there, which readiness tells of.
            continue
        for entry in sorted(inside):
            yield from walk(os.path.join(space, entry), False)


def _told(path: str, entry: os.stat_result) -> dict:
    try:
        owner = pwd.getpwuid(entry.st_uid).pw_name
    except KeyError:
        owner = str(entry.st_uid)
    return {"path": path, "mode": f"{stat.S_IMODE(entry.st_mode):04o}", "owner": owner}


def named(config_file: str, data: str) -> list:
    """`{path, target, setting, leadsTo}` of each link below the data directory on the way to a file that the server's settings name.
    `leadsTo`: where that file really is."""
    files = config_files.read(config_file, data)
    values = {name: setting.value for name, setting in files.settings.items()}
    places = {**_NAMED, **(_NAMED_WITH_SSL if is_on(values.get("ssl", "off")) else {})}
    wanted = [("config_file" if path == config_file else "include", path) for path in files.files]
    wanted += [(name, values.get(name) or place) for name, place in places.items()]
    found: dict = {}
    for setting, path in wanted:
        link = _link_on_the_way(data, path)
        # What is a part of the database is found with it.
        if link and not base_backup.is_part(os.path.relpath(link, data)):
            leads_to = os.path.realpath(os.path.join(data, path))
            found.setdefault((link, setting), {"path": link, "target": os.readlink(link), "setting": setting, "leadsTo": leads_to})
    return list(found.values())


def _link_on_the_way(data: str, path: str) -> Optional[str]:
    parts = os.path.relpath(os.path.join(data, path), data).split(os.sep)
    at = data
    for part in parts if parts[0] != os.pardir else []:
        at = os.path.join(at, part)
        if os.path.islink(at):
            return at
    return None


def _is_well(told: Optional[dict]) -> bool:
    # A link is looked at again each time: it may stay for good, and a walk of all files is dear.
    return told is not None and not told["unreadable"]


class Uncopied:
    """Looks, and keeps what it found."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings
        self._kept = Kept(lambda: asyncio.to_thread(self._look), _is_well, KEPT_S)
        self._last: Optional[dict] = None
        self._looking: Optional[asyncio.Future] = None

    async def answer(self) -> dict:
        """`unreadable`: `{user, files: [{path, mode, owner}], more}`: who can't read them, the first of them, and how many others.
        `leftOut`: `{links: [{path, target}], more}`, those that settings name as `named` has them. Both None where it is not known."""
        return await asyncio.to_thread(self._answer, await self._kept.answer())

    async def anew(self, limit_s: float) -> dict:
        """The same for who is about to copy this node, of names that were looked through now; where that takes longer, as it was last known."""
        # One that takes longer than who asked for it waits is not begun beside itself.
        if self._looking is None:
            self._looking = asyncio.ensure_future(asyncio.to_thread(self._look))
            self._looking.add_done_callback(self._looked)
        look = self._looking
        done, _ = await asyncio.wait([look], timeout=limit_s)
        return await asyncio.to_thread(self._answer, look.result() if done else self._last)

    def _looked(self, _look: asyncio.Future) -> None:
        self._looking = None

    def _answer(self, found: Optional[dict]) -> dict:
        if found is None:
            return {"unreadable": None, "leftOut": None}
        links = [link for link in found["links"] if os.path.islink(link["path"])]
        try:
            links += named(self._settings.config_file, self._settings.data)
        except OSError:
            # A link that was replaced this moment.
            pass
        files = found["unreadable"]
        return {
            "unreadable": {"user": found["user"], "files": files[:TOLD], "more": max(0, len(files) - TOLD)},
            "leftOut": {"links": links[:TOLD], "more": max(0, len(links) - TOLD)},
        }

    def _look(self) -> Optional[dict]:
        s = self._settings
        try:
            found = list(walk(s.data, logs=(*_LOGS, *self._log_directory())))
            user = pwd.getpwuid(os.geteuid()).pw_name
        except (OSError, KeyError):
            return None
        self._last = {
            "user": user,
            "unreadable": [one for one in found if "mode" in one],
            "links": [one for one in found if "target" in one],
        }
        return self._last

    def _log_directory(self) -> tuple:
        setting = config_files.read(self._settings.config_file, self._settings.data).settings.get("log_directory")
        return (setting.value,) if setting else ()

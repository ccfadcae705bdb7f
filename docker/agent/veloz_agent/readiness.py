"""What an agent knows of whether its server could be stopped, started, promoted and followed, while all is well."""

from __future__ import annotations

import asyncio
import glob
import os
import statistics
import subprocess
import time
import weakref
from typing import TYPE_CHECKING, Optional

from . import (
    access_rules,
    archiving,
    config_files,
    control_database,
    control_file,
    database_directories,
    origin_files,
    recovery_settings,
    session_defaults,
    sleeping_settings,
    tablespaces,
)
from .archiving import Archiving, InForce
from .kept import Kept
from .libraries import Libraries
from .replication_path import ReplicationPath
from .uncopied import Uncopied

if TYPE_CHECKING:
    from .config_files import ConfigFiles
    from .postgres_server import PostgresSupervisor
    from .settings import PostgresSettings

# Settings whose value at the next start somebody has to compare with another node's, or with where others look for it.
COMPARED = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
    "max_replication_slots",
    "wal_level",
    "hot_standby",
    "port",
    "listen_addresses",
    "recovery_min_apply_delay",
    "unix_socket_directories",
    # A run reloads the files itself: what sleeps in them counts for every client then.
    "default_transaction_read_only",
    "synchronous_commit",
)
# A start is tried anew after this time, even where no file changed: a library may have gone.
TRIAL_AGE_S = 30


# One path to each peer for as long as the agent runs.
_paths: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _path(node: PostgresSupervisor) -> ReplicationPath:
    if node not in _paths:
        _paths[node] = ReplicationPath(node.settings)
    return _paths[node]


# What one look at the libraries found is kept for as long.
_libraries: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


async def _missing(node: PostgresSupervisor) -> Optional[dict]:
    if node not in _libraries:
        _libraries[node] = Libraries(node.settings)
    return await _libraries[node].answer()


# The same of what nobody could copy.
_uncopied: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def uncopied(node: PostgresSupervisor) -> Uncopied:
    if node not in _uncopied:
        _uncopied[node] = Uncopied(node.settings)
    return _uncopied[node]


# Since when the archiver has had its command.
_archiving: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _archiving_of(node: PostgresSupervisor) -> Archiving:
    if node not in _archiving:
        _archiving[node] = Archiving(node.settings)
    return _archiving[node]


# The names of all files of a database are looked through for it: some 400 000 where there are 100 000 tables.
UNLOGGED_KEPT_S = 60
_unlogged_of: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


async def _count_unlogged(node: PostgresSupervisor, kept_s: float) -> int:
    """Counted anew for everybody but who asks all the time: a report tells what a promotion has just emptied."""
    if node not in _unlogged_of:
        data = node.settings.data
        _unlogged_of[node] = Kept(lambda: asyncio.to_thread(_unlogged, data), lambda _count: True, 0)
    return await _unlogged_of[node].answer(UNLOGGED_KEPT_S if kept_s > 0 else 0)


async def _nothing() -> None:
    return None


async def _unknown() -> tuple:
    return None, None, None, None, None, None, None


# What was asked over the socket last: the files as they were, when that was, and what came of it.
_asked: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


async def _own_words(node: PostgresSupervisor, files: ConfigFiles, pooler: Optional[str], kept_s: float) -> tuple:
    """What was found well is kept for `kept_s` where no file has changed: to ask costs the server a session."""
    s = node.settings
    others = [config_files.hba_file(files.settings, s.data), config_files.ident_file(files.settings, s.data)]
    key = (files.fingerprint(), config_files.stamps(others), pooler)
    before = _asked.get(node)
    if before is not None and before[0] == key and time.monotonic() - before[1] <= kept_s:
        return before[2]
    found = await _by_socket(s, pooler)
    # A reload changes no file: what sleeps in them is asked for each time.
    if _is_well(*found[:3]) and not (found[4] or {}).get("databases") and found[5] == []:
        _asked[node] = (key, time.monotonic(), found)
    else:
        _asked.pop(node, None)
    return found


def _is_well(own: dict, access: Optional[dict], defaults: Optional[dict]) -> bool:
    if not own["ok"] or access is None or defaults is None:
        return False
    return not (access["errors"] or access["identErrors"] or access["refused"] or access["clients"])


async def _by_socket(settings: PostgresSettings, pooler: Optional[str]) -> tuple:
    """The agent's own door, and what the server itself reads in its files, in one session: to open one costs more than all that is asked."""
    own, session = await control_database.own_door(settings)
    if session is None:
        return own, None, None, None, None, None, None
    try:
        return (
            own,
            await access_rules.read(settings, session, pooler),
            await session_defaults.read(settings, session),
            await archiving.in_force(session),
            await database_directories.lacking(settings.data, session),
            await sleeping_settings.read(settings, session),
            await origin_files.in_force(session),
        )
    finally:
        session.close()


async def readiness(
    node: PostgresSupervisor, start: bool = True, pooler: Optional[str] = None, kept_s: float = 0
) -> dict:
    """The answer to `readiness`. Only a server that runs as it should is asked to start again, and only where `start` wants it.

    `pooler`: the host whose clients' way in is looked for in the rules of access. `kept_s`: how old an answer may be that found all well,
    for whoever asks all the time.
    """
    s = node.settings
    files = await asyncio.to_thread(config_files.read, s.config_file, s.data)
    running = node.server_state() == "running"
    trial: Optional[dict] = None
    if start and running and node.desired == "up" and not node.jobs.running:
        trial = await node.trial.answer(files, TRIAL_AGE_S)
    (own, access, defaults, in_force, lacking, sleeping, origins), replication, missing = await asyncio.gather(
        _own_words(node, files, pooler, kept_s) if running else _unknown(),
        _path(node).answer(kept_s),
        _missing(node) if running else _nothing(),
    )
    return {
        "at": round(time.time() * 1000),
        "start": trial,
        "access": access,
        "own": own,
        "lacking": lacking,
        "sessionDefaults": defaults,
        "sleeping": sleeping,
        "origins": origins,
        "serverSettings": session_defaults.of_server(files, s.repl_password.encode()),
        "replication": replication,
        "libraries": missing,
        "next": _next(files, s.data),
        "leftovers": recovery_settings.leftovers(s.version, files.settings, s.data),
        "signals": await asyncio.to_thread(_signals, s, running),
        # While a copy is made the directory is not the node's own yet.
        **(await uncopied(node).answer() if running else {"unreadable": None, "leftOut": None}),
        "archive": await asyncio.to_thread(_archive_known, node, in_force, files),
        "unlogged": await _count_unlogged(node, kept_s),
        **await asyncio.to_thread(_on_disk, s),
    }


def _next(files: ConfigFiles, data: str) -> dict:
    """What the files name; of the rules of access always the path, whose default is no value that a server knows."""
    named = {name: files.settings[name].value for name in COMPARED if name in files.settings}
    return {**named, "hba_file": config_files.hba_file(files.settings, data)}


def _on_disk(settings: PostgresSettings) -> dict:
    return {
        "tablespaces": _tablespaces(settings),
        "walOutside": _link_target(os.path.join(settings.data, "pg_wal")),
    }


def _signals(settings: PostgresSettings, running: bool) -> list:
    try:
        histories = control_file.strange_histories(settings.data, settings.bin) if running else []
    except (OSError, subprocess.SubprocessError):
        # What can't be read is told by whoever needs it.
        histories = []
    return [*recovery_settings.left_signals(settings.data, running), *(f"pg_wal/{name}" for name in histories)]


def _link_target(path: str) -> Optional[str]:
    return os.readlink(path) if os.path.islink(path) else None


def _tablespaces(settings: PostgresSettings) -> list:
    """Directories outside of the data directory that hold a part of the databases. `own`: on the node's own volume, where a copy replaces
    them as it does the data directory."""
    return [
        {"oid": oid, "path": path, "there": os.path.isdir(path), "own": tablespaces.on_own_volume(settings, path)}
        for oid, path in tablespaces.links(settings.data).items()
    ]


def _unlogged(data: str) -> int:
    """Tables, indexes and sequences that no WAL is written of: each has an init fork, to which a promotion empties it."""
    spaces = [
        version
        for space in _folders(os.path.join(data, "pg_tblspc"))
        for version in _folders(space)
        if os.path.basename(version).startswith("PG_")
    ]
    databases = [folder for space in (os.path.join(data, "base"), *spaces) for folder in _folders(space)]
    return sum(_init_forks(folder) for folder in databases)


def _folders(path: str) -> list:
    try:
        with os.scandir(path) as entries:
            # A tablespace is a link.
            return [entry.path for entry in entries if entry.is_dir()]
    except OSError:
        # Dropped meanwhile, or not there.
        return []


def _init_forks(folder: str) -> int:
    try:
        with os.scandir(folder) as entries:
            return sum(entry.name.endswith("_init") for entry in entries)
    except OSError:
        return 0


def _archive_known(node: PostgresSupervisor, in_force: Optional[InForce], files: ConfigFiles) -> dict:
    """As `_archive`, by the command that is in force now: `setAgeMs` for how long, `sleeps` whether the files name another one. Both None
    where that is not known."""
    if in_force is None:
        return {**_archive(node.settings.data), "setAgeMs": None, "sleeps": None}
    kept = _archiving_of(node)
    since = kept.since(in_force, files)
    found = _archive(node.settings.data, since)
    return {
        **found,
        "fileMs": kept.took(found["fileMs"]),
        "setAgeMs": max(0, round((time.time() - since) * 1000)),
        "sleeps": archiving.sleeps(in_force, files),
    }


def _archive(data: str, since: float = 0) -> dict:
    """What waits for the archiver, how long the last files took, and for how long the present one has taken.

    A file's status is written when it is complete and renamed when it is archived: a rename keeps the time of the first
    and has a time of its own. While several wait, each begins when the one before it has ended. What was archived before `since`, seconds
    since the epoch, tells nothing of the command of now.
    """
    folder = os.path.join(data, "pg_wal", "archive_status")
    done, ready = [], []
    for path in glob.glob(os.path.join(glob.escape(folder), "*")):
        try:
            entry = os.stat(path)
        except FileNotFoundError:
            continue
        if path.endswith(".done"):
            # A receiver and a copy write this of what others archived, and nobody has renamed it since.
            if entry.st_ctime_ns > entry.st_mtime_ns:
                done.append((entry.st_ctime, entry.st_mtime))
        elif path.endswith(".ready"):
            ready.append(entry.st_mtime)
    done.sort()
    recent = done[-6:]
    took = [
        ended - max(queued, recent[i - 1][0] if i else queued) for i, (ended, queued) in enumerate(recent) if ended >= since
    ]
    since = max(min(ready), done[-1][0] if done else 0) if ready else None
    return {
        "ready": len(ready),
        # One file that was slow, or tried again, is not how long the next one takes: a stall that lasts shows in `presentMs`.
        "fileMs": round(statistics.median_low(took[-5:]) * 1000) if took else None,
        "presentMs": None if since is None else max(0, round((time.time() - since) * 1000)),
    }

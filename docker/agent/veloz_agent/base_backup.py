"""A copy of another node's data, made beside the data directory and put in its place when it is complete.

So are its tablespaces: until then the old data is whole, wherever it lies.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import time
from typing import Optional

from . import auto_conf, statefile, tablespaces
from .jobs import conninfo
from .node_files import NodeFiles
from .settings import PostgresSettings

AUTO_CONF = "postgresql.auto.conf"
# What PostgreSQL itself has below a data directory but for rules of access and logs, and what a tablespace has.
_PART = re.compile(
    r"^(/|(\./)?((base|global)(/|$)|PG_VERSION$|postgresql\.auto\.conf$|pg_(?!hba\.conf|ident\.conf|log(/|$))))"
)
_SKIPPED = re.compile(r'skipping special file "([^"]+)"')
# The copy is complete, and is being put in its place: what a container that ends leaves half-done is done at its next start.
_OLD_GOES = "the old data goes"
_NEW_COMES = "the copy comes"


def side_directory(settings: PostgresSettings) -> str:
    return settings.data + ".incomplete"


def side_tablespaces(settings: PostgresSettings) -> str:
    return settings.data + ".incomplete-tablespaces"


def command(settings: PostgresSettings, upstream: dict, beside: Optional[dict] = None) -> list:
    """The slot has to exist: WAL that the copy needs later is kept by it. `beside`: as in `tablespaces.Places`."""

    def quoted(path: str) -> str:
        return path.replace("=", "\\=")

    staged = side_tablespaces(settings)
    mapped = [
        f"--tablespace-mapping={quoted(path)}={quoted(os.path.join(staged, oid))}" for oid, path in (beside or {}).items()
    ]
    return [
        "pg_basebackup", "-d", conninfo(settings, upstream), "-D", side_directory(settings), "-P", "-X", "stream",
        "-c", "fast", "-S", settings.slot, "-w", *mapped,
    ]  # fmt: skip


def is_part(path: str) -> bool:
    """Whether what lies there, below a data directory or in a tablespace, is a part of the database. Of all else a copy may lack what is no file."""
    return _PART.match(path) is not None


def left_out(told: Optional[str]) -> list:
    """Parts of the database that `pg_basebackup` passed over, by what it printed. It only warns of them, of each more than once, and ends well."""
    return [path for path in dict.fromkeys(_SKIPPED.findall(told or "")) if is_part(path)]


def left_out_sentence(paths: list) -> str:
    return (
        f"pg_basebackup left out what is no file and no directory on the upstream: {', '.join(paths[:12])}. Such a copy lacks data, and "
        "is not used; on the upstream a directory has to take the place of each link"
    )


def set_aside(settings: PostgresSettings) -> None:
    """What an attempt left; renamed, which takes no time, so that the next one can begin at once."""
    for left in (side_directory(settings), side_tablespaces(settings)):
        if os.path.lexists(left):
            os.rename(left, f"{settings.data}.discarded-{time.time_ns()}")


def discarded(settings: PostgresSettings) -> list:
    return glob.glob(glob.escape(settings.data) + ".discarded-*")


def replaced(settings: PostgresSettings) -> list:
    """Data directories whose place a copy took."""
    return sorted(glob.glob(glob.escape(settings.data) + ".replaced-*"))


def remove_discarded(settings: PostgresSettings) -> None:
    """Takes as long as it takes."""
    for path in discarded(settings):
        shutil.rmtree(path, ignore_errors=True)


def keep_own_settings(data: str, ours: str) -> None:
    path = os.path.join(data, AUTO_CONF)
    statefile.replace(path, auto_conf.merged(statefile.read(path) or "", ours))


def own_settings(data: str) -> str:
    try:
        return statefile.read(os.path.join(data, AUTO_CONF)) or ""
    except (OSError, ValueError):
        return ""


def put_in_place(settings: PostgresSettings, files: NodeFiles, upstream: dict, beside: Optional[dict] = None) -> None:
    """The copy can only ever start as a standby, from before it has its name on. What was there is kept beside it.

    `beside`: as `command` was given it.
    """
    side = side_directory(settings)
    keep_own_settings(side, own_settings(settings.data))
    files.write_upstream(upstream)
    files.write_signal(side)
    if beside:
        tablespaces.link_back(side, beside)
        statefile.replace(_marker(settings), _OLD_GOES)
    try:
        _take_place(settings, files)
    except OSError:
        give_up(settings)
        raise


def give_up(settings: PostgresSettings) -> None:
    """A copy that could not take its place does not take it later: what is in it goes on meanwhile, and may be the primary by then.

    Where the old data has gone, the copy is all that there is.
    """
    if statefile.read(_marker(settings)) == _OLD_GOES and os.path.exists(os.path.join(settings.data, "PG_VERSION")):
        os.unlink(_marker(settings))
        statefile.sync_directory(settings.own)


def _marker(settings: PostgresSettings) -> str:
    return os.path.join(settings.own, "copy-takes-its-place")


def _take_place(settings: PostgresSettings, files: NodeFiles) -> None:
    """Until its last step there is no data directory that could be started. Goes on where it was cut short, where it left a marker."""
    side, data, marker = side_directory(settings), settings.data, statefile.read(_marker(settings))
    if marker != _NEW_COMES:
        if os.path.isdir(data) and not os.listdir(data):
            os.rmdir(data)
        elif os.path.lexists(data):
            stamp = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{time.time_ns() % 1000:03d}"
            os.rename(data, f"{data}.replaced-{stamp}")
            statefile.sync_directory(os.path.dirname(data))
        tablespaces.take_along(settings, replaced(settings)[::-1])
    if marker is not None:
        statefile.replace(_marker(settings), _NEW_COMES)
        tablespaces.put(settings, side, side_tablespaces(settings))
    os.rename(side, data)
    statefile.sync_directory(os.path.dirname(data))
    files.unmark_rewind()
    _unmark(settings)


def _unmark(settings: PostgresSettings) -> None:
    shutil.rmtree(side_tablespaces(settings), ignore_errors=True)
    try:
        os.unlink(_marker(settings))
    except FileNotFoundError:
        return
    statefile.sync_directory(settings.own)


def finish(settings: PostgresSettings, files: NodeFiles) -> bool:
    """Puts a complete copy in its place where that was cut short, before anything else touches it. Whether it has it now."""
    marker = statefile.read(_marker(settings))
    if marker is None:
        return False
    if os.path.isdir(side_directory(settings)):
        _take_place(settings, files)
    else:
        # Of a copy that never came the old data may be a rewind that did not end.
        if marker == _NEW_COMES:
            files.unmark_rewind()
        _unmark(settings)
    return os.path.exists(os.path.join(settings.data, "PG_VERSION"))

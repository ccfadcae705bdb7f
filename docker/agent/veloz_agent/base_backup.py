"""A copy of another node's data, made beside the data directory and put in its place when it is complete."""

from __future__ import annotations

import glob
import os
import shutil
import time

from . import auto_conf, statefile
from .jobs import conninfo
from .node_files import NodeFiles
from .settings import PostgresSettings

AUTO_CONF = "postgresql.auto.conf"


def side_directory(settings: PostgresSettings) -> str:
    return settings.data + ".incomplete"


def command(settings: PostgresSettings, upstream: dict) -> list:
    """The slot has to exist: WAL that the copy needs later is kept by it."""
    return [
        "pg_basebackup", "-d", conninfo(settings, upstream), "-D", side_directory(settings), "-P", "-X", "stream",
        "-c", "fast", "-S", settings.slot, "-w",
    ]  # fmt: skip


def set_aside(settings: PostgresSettings) -> None:
    """What an attempt left; renamed, which takes no time, so that the next one can begin at once."""
    side = side_directory(settings)
    if os.path.lexists(side):
        os.rename(side, f"{settings.data}.discarded-{time.time_ns()}")


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


def put_in_place(settings: PostgresSettings, files: NodeFiles, upstream: dict) -> None:
    """The copy can only ever start as a standby, from before it has its name on. What was there is kept beside it."""
    side, data = side_directory(settings), settings.data
    keep_own_settings(side, own_settings(data))
    files.write_upstream(upstream)
    files.write_signal(side)
    if os.path.isdir(data) and not os.listdir(data):
        os.rmdir(data)
    elif os.path.lexists(data):
        os.rename(data, f"{data}.replaced-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{time.time_ns() % 1000:03d}")
    os.rename(side, data)
    statefile.sync_directory(os.path.dirname(data))
    files.unmark_rewind()

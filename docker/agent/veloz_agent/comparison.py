"""How a node's data stands to the history of its upstream-to-be: what a rejoin is decided from."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import Optional

from . import wal
from .control_file import read_control
from .control_session import open_control, open_session
from .errors import CommandError
from .node_files import NodeFiles
from .settings import PostgresSettings
from .wal_end import WalReader
from .wire import Connection, ProtocolError, ServerError

LIMIT_S = 10

# What the control file of a primary says, running or not. A standby's says "in archive recovery" or "shut down in recovery".
_PRIMARY = ("in production", "shutting down", "shut down", "in crash recovery")

_POSITION = (
    "SELECT pg_is_in_recovery() AS recovering, CASE WHEN pg_is_in_recovery() "
    "THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) ELSE pg_current_wal_lsn() END AS lsn"
)
_SIZE = (
    "SELECT (SELECT sum(pg_database_size(oid)) FROM pg_database)::bigint AS data, "
    "(SELECT coalesce(sum(size), 0) FROM pg_ls_waldir())::bigint AS wal"
)


async def _session(settings: PostgresSettings, upstream: dict, replication: bool) -> Connection:
    host, port = upstream["host"], upstream["port"]
    if not replication:
        return await open_control(host, port, settings.ha_user, settings.ha_password)
    return await open_session(
        host, port, settings.repl_user, settings.repl_password, "replication", {"replication": "true"}
    )


async def ask_upstream(settings: PostgresSettings, upstream: dict) -> tuple:
    """({systemIdentifier, timeline, writable, lsn}, history)."""
    session = await _session(settings, upstream, replication=True)
    try:
        (system,) = await session.query("IDENTIFY_SYSTEM")
        timeline = int(system["timeline"])
        history: list = []
        if timeline > 1:
            (row,) = await session.query(f"TIMELINE_HISTORY {timeline}")
            history = wal.parse_history(row["content"])
    finally:
        session.close()
    session = await _session(settings, upstream, replication=False)
    try:
        (position,) = await session.query(_POSITION)
    finally:
        session.close()
    about = {
        "systemIdentifier": system["systemid"],
        "timeline": timeline,
        "writable": position["recovering"] == "f",
        "lsn": position["lsn"] or system["xlogpos"],
    }
    return (about, history)


async def upstream_size(settings: PostgresSettings, upstream: dict) -> int:
    """Bytes that a copy of the upstream takes, by and large."""
    session = await _session(settings, upstream, replication=False)
    try:
        (row,) = await session.query(_SIZE)
    finally:
        session.close()
    return int(row["data"]) + int(row["wal"])


def disk_usage(path: str) -> int:
    """Bytes that a directory takes on its disk; what vanishes meanwhile does not count."""
    total = 0
    pending = [path]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except OSError:
            continue
    return total


async def look_here(settings: PostgresSettings, files: NodeFiles, reader: WalReader) -> dict:
    """The part of the comparison that the data directory tells."""
    usage = asyncio.get_running_loop().run_in_executor(None, disk_usage, settings.data)
    control: Optional[dict] = None
    end = None
    try:
        control = read_control(settings.data, settings.bin)
        timeline, end = await reader.end(control)
    except (OSError, ValueError, KeyError, subprocess.SubprocessError):
        timeline = control["timeline"] if control else None
    return {
        "systemIdentifier": control["systemIdentifier"] if control else None,
        "timeline": timeline,
        "state": control["state"] if control else None,
        "wasPrimary": bool(control) and was_primary(settings.data, control),
        "checkpointLsn": control["checkpointLsn"] if control else None,
        "walEnd": end,
        "checksums": bool(control and control["checksums"]),
        "rewindBegun": files.rewind_begun,
        "dataBytes": await usage,
    }


async def compare(settings: PostgresSettings, files: NodeFiles, reader: WalReader, upstream: dict) -> dict:
    """Changes nothing. CommandError when the upstream can't be asked or it takes longer than `LIMIT_S`."""
    try:
        async with asyncio.timeout(LIMIT_S):
            asked, local = await asyncio.gather(
                ask_upstream(settings, upstream), look_here(settings, files, reader), return_exceptions=True
            )
    except TimeoutError:
        raise CommandError("CompareTimeout", f"The comparison took longer than {LIMIT_S} s.") from None
    if isinstance(asked, (OSError, ServerError, ProtocolError, asyncio.IncompleteReadError)):
        where = f"{upstream['host']}:{upstream['port']}"
        raise CommandError("UpstreamUnreachable", f"{where} could not be asked: {str(asked) or repr(asked)}")
    for outcome in (asked, local):
        if isinstance(outcome, BaseException):
            raise outcome
    about, history = asked
    return {"upstream": about, "history": history, "local": local}


def was_primary(data: str, control: dict) -> bool:
    """Was this data last a primary's? A copy that was never started has its source's control file, and a label beside it."""
    return control["state"] in _PRIMARY and not os.path.exists(os.path.join(data, "backup_label"))


def apart(comparison: dict) -> bool:
    """Were both primaries on one timeline? Its number and the point where it began may be the same: what was written is not."""
    local = comparison["local"]
    if not local.get("wasPrimary"):
        return False
    upstream = comparison["upstream"]
    return upstream["writable"] and local["timeline"] == upstream["timeline"]


def beyond(end: Optional[str], diverged: Optional[tuple]) -> bool:
    """Is there WAL behind a known divergence?"""
    return end is not None and diverged is not None and wal.parse_lsn(end) > wal.parse_lsn(diverged[1])


def divergence(comparison: dict) -> Optional[tuple]:
    """(timeline, LSN) from which on the local WAL is none of the upstream's; None when there is no such part.

    Also None where both were primaries on the first timeline: where they parted is not known then, see `apart`.
    """
    local, upstream = comparison["local"], comparison["upstream"]
    timeline, end = local["timeline"], local["walEnd"]
    if end is None or local["systemIdentifier"] != upstream["systemIdentifier"]:
        return None
    if apart(comparison):
        left = comparison["history"][-1]["endLsn"] if comparison["history"] else None
    elif timeline == upstream["timeline"]:
        left = upstream["lsn"]
    else:
        left = wal.left_at(comparison["history"], upstream["timeline"], timeline)
    if left is None or wal.parse_lsn(end) <= wal.parse_lsn(left):
        return None
    return (timeline, left)

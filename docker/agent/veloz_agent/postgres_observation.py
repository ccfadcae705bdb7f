"""What a PostgreSQL node's agent sees: everything a worker may want to know without asking the server."""

from __future__ import annotations

import glob
import os
import pwd
import stat
from typing import TYPE_CHECKING, Any, Optional

from .control_file import read_control

if TYPE_CHECKING:
    from .postgres_server import PostgresSupervisor


def observation(node: PostgresSupervisor) -> dict:
    """The answer to `observe`; reads a few small files and never waits."""
    s = node.settings
    try:
        control: Optional[dict] = read_control(s.data, s.bin)
    except OSError:
        control = None
    disk = os.statvfs(s.volume)
    return {
        "agent": 1,
        "node": node.node,
        "postgres": {
            "state": node.server_state(),
            "pid": node.server.pid if node.server else None,
            "sinceMs": node.since_ms,
        },
        "desired": node.desired,
        "token": node.claims.current,
        "deadman": {"inMs": node.deadman.remaining_ms} if node.deadman.armed else None,
        "control": control,
        "signals": {"standby": node.files.is_standby},
        "upstream": node.files.upstream() if node.files.is_standby else None,
        "disk": {"freeBytes": disk.f_bavail * disk.f_frsize, "totalBytes": disk.f_blocks * disk.f_frsize},
        "dataDirectory": _directory(s.data),
        "archiveReady": len(glob.glob(os.path.join(s.data, "pg_wal", "archive_status", "*.ready"))),
        "startGuard": node.start_guard,
        "fencedBy": node.fenced_by if node.fenced_for_good else None,
        "job": node.jobs.current.as_answer() if node.jobs.current else None,
        "crashes": node.crashes.as_answer(),
        "promotion": node.promotion,
        "revoked": node.claims.revoked,
        "lastExpiry": node.last_expiry,
        "lastCorrection": node.last_correction,
    }


def _directory(path: str) -> Optional[dict]:
    try:
        entry = os.stat(path)
    except OSError:
        return None
    try:
        owner: Any = pwd.getpwuid(entry.st_uid).pw_name
    except KeyError:
        owner = str(entry.st_uid)
    return {"path": path, "owner": owner, "mode": format(stat.S_IMODE(entry.st_mode), "04o")}

"""Since when the archiver has had the command that it has, and how long a segment takes with it.

How long a segment took with another command tells nothing of the next one, and PostgreSQL keeps no time at which a setting got its value.
So the agent does, beside the data directory: a container that is replaced has not set a command anew.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
from typing import TYPE_CHECKING, NamedTuple, Optional

from . import statefile
from .wire import Connection

if TYPE_CHECKING:
    from .config_files import ConfigFiles
    from .settings import PostgresSettings

LIMIT_S = 3
# Either does the archiving, and a reload takes a new one over.
_COMMANDS = ("archive_command", "archive_library")
_QUESTION = (
    "SELECT name, setting AS value, boot_val AS default, extract(epoch FROM pg_conf_load_time()) AS loaded "
    "FROM pg_settings WHERE name IN ('archive_mode', 'archive_command', 'archive_library')"
)


class InForce(NamedTuple):
    """What the running server has. `loaded`: seconds since the epoch at which it last read its files."""

    values: dict
    defaults: dict
    loaded: float


async def in_force(session: Connection) -> Optional[InForce]:
    """None where it is not known. Never raises."""
    try:
        rows = await asyncio.wait_for(session.query(_QUESTION), LIMIT_S)
        return InForce(
            {row["name"]: row["value"] or "" for row in rows},
            {row["name"]: row["default"] or "" for row in rows},
            float(rows[0]["loaded"]),
        )
    except Exception:  # noqa: BLE001 - a question beside others: without an answer nothing is told
        return None


class Archiving:
    """Keeps since when the command is in force, and what a segment took since then."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._path = os.path.join(settings.own, "archiving.json")
        self._key = settings.repl_password.encode()
        self._kept: Optional[dict] = None

    def since(self, now: InForce, files: ConfigFiles) -> float:
        """Seconds since the epoch: the command has been in force for as long at least. Blocks: it may write a file."""
        # A command may hold a password.
        words = json.dumps(now.values, sort_keys=True).encode()
        command = hmac.new(self._key, words, hashlib.sha256).hexdigest()
        known = self._kept or self._read()
        if known is None or known["command"] != command:
            since = now.loaded
            if known is None:
                # Nobody looked before. What names the command was not changed since it was written.
                written = [_written(files.settings[name].file) for name in _COMMANDS if name in files.settings]
                since = min(since, max(written, default=since))
            known = {"command": command, "since": since, "fileMs": None}
            self._write(known)
        self._kept = known
        return known["since"]

    def took(self, file_ms: Optional[int]) -> Optional[int]:
        """`file_ms`: what a segment takes by those that lie there; a checkpoint removes them. Returns what it takes as far as is known."""
        known = self._kept
        if known is None or file_ms is None:
            return known and known["fileMs"]
        first = known["fileMs"] is None
        known["fileMs"] = file_ms
        if first:
            self._write(known)
        return file_ms

    def _read(self) -> Optional[dict]:
        try:
            kept = json.loads(statefile.read(self._path) or "null")
            return None if kept is None else {"command": kept["command"], "since": float(kept["since"]), "fileMs": kept["fileMs"]}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write(self, known: dict) -> None:
        try:
            statefile.replace(self._path, json.dumps(known))
        except OSError:
            # On a full disk it counts for as long as this agent runs.
            pass


def sleeps(now: InForce, files: ConfigFiles) -> bool:
    """Do the files name another command than is in force? The next reload takes it over, and a run makes one."""
    if now.values.get("archive_mode", "off") == "off":
        return False
    return any(
        now.values.get(name, "") != (files.settings[name].value if name in files.settings else now.defaults.get(name, ""))
        for name in _COMMANDS
    )


def _written(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0

"""What the next reload of this node would bring: settings that stand in its files, or were taken out of them, and are not in force.

Whoever wrote them may have forgotten the reload, and a run makes one, when it sets `synchronous_standby_names`: at the moment of a promotion
a setting comes into force that nobody has seen at work.
"""

from __future__ import annotations

import asyncio
import re
from typing import Optional

from .session_defaults import digest, plain
from .settings import PostgresSettings
from .wire import Connection

LIMIT_S = 3
TOLD = 50
# Of a setting that was taken out of the files the default counts; where a line of them is no setting at all, a reload changes nothing. Left
# out is what runs and agents set themselves, what is logged, and what the agent says on the command line.
_QUESTION = (
    "WITH files AS MATERIALIZED (SELECT lower(name) AS name, setting, sourcefile, sourceline, applied, error FROM pg_file_settings) "
    "SELECT s.name, s.vartype, s.unit, s.setting AS now, s.boot_val, f.setting AS next, f.sourcefile AS file, f.sourceline AS line "
    "FROM pg_settings s LEFT JOIN files f ON f.applied AND f.name = lower(s.name) "
    "WHERE s.context = 'sighup' AND s.source <> 'command line' "
    "AND s.name NOT IN ('synchronous_standby_names', 'primary_conninfo', 'primary_slot_name') "
    "AND lower(s.name) !~ '^(log|track|debug|trace|syslog|event_source)' "
    "AND (f.name IS NOT NULL OR s.source = 'configuration file' "
    "AND NOT EXISTS (SELECT FROM files o WHERE o.name = lower(s.name)) "
    "AND NOT EXISTS (SELECT FROM files o LEFT JOIN pg_settings k ON lower(k.name) = o.name "
    "WHERE o.error IS NOT NULL AND k.name IS NULL)) ORDER BY 1 LIMIT 500"
)
_SECRET = re.compile(r"\.|command|conninfo|passphrase|password")
_ON, _OFF = ("true", "yes", "1"), ("false", "no", "0")


async def read(settings: PostgresSettings, session: Connection) -> Optional[list]:
    """As `sleeping`; None where it is not known. `session`: the superuser's. Never raises."""
    try:
        rows = await asyncio.wait_for(session.query(_QUESTION), LIMIT_S)
        return sleeping(rows, settings.repl_password.encode())
    except Exception:  # noqa: BLE001 - a question beside others: without an answer nothing is told
        return None


def sleeping(rows: list, key: bytes) -> list:
    """`{name, now, value, file, line}` of each setting that the next reload changes. Of one that was taken out of the files `file` is empty,
    and `line` 0.

    `rows`: name, vartype, unit, now, boot_val, next, file and line, each a text or None. `key`: as for `session_defaults.told`.
    """
    found = []
    for row in rows:
        comes = row["boot_val"] if row["file"] is None else row["next"]
        now, value = (_same(text or "", row["vartype"], row["unit"]) for text in (row["now"], comes))
        if now == value:
            continue
        if _SECRET.search(row["name"]):
            now, value = digest(key, now), digest(key, value)
        found.append(
            {"name": row["name"], "now": now, "value": value, "file": row["file"] or "", "line": int(row["line"] or 0)}
        )
    return found[:TOLD]


def _same(value: str, vartype: str, unit: Optional[str]) -> str:
    text = plain(value, vartype, unit)
    if vartype != "enum":
        return text
    # Several of them take another word for on and off.
    return "on" if text in _ON else "off" if text in _OFF else text

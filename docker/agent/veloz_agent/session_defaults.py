"""With which settings a client's session begins on this node, and with which it runs, as its files say: nothing that ALTER SYSTEM sets
travels to another node."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from typing import Optional

from .config_files import ConfigFiles
from .recovery_settings import is_on
from .settings import PostgresSettings
from .wire import Connection

LIMIT_S = 3
TOLD = 200
# What is logged and counted is the node's own matter.
_QUESTION = (
    "SELECT coalesce(s.name, lower(f.name)) AS name, f.setting AS value, coalesce(s.vartype, 'string') AS vartype, s.unit, "
    # pg_settings does not show what no library defines.
    "s.boot_val FROM pg_file_settings f LEFT JOIN pg_settings s ON lower(s.name) = lower(f.name) "
    "WHERE f.applied AND (s.context IN ('user', 'superuser', 'backend', 'superuser-backend') "
    "OR s.name IS NULL AND f.name LIKE '%.%') "
    "AND lower(f.name) !~ '^(log|track|debug|trace)_' ORDER BY 1 LIMIT 200"
)
# Settings above a session's level of which somebody learns only after a move that they were another node's: type, unit and default
# (utils/misc/guc_tables.c).
_SERVER = {
    "archive_mode": ("archive_mode", None, "off"),
    "archive_command": ("secret", None, ""),
    "archive_library": ("secret", None, ""),
    "shared_preload_libraries": ("list", None, ""),
    "autovacuum": ("bool", None, "on"),
    "max_slot_wal_keep_size": ("integer", "MB", "-1"),
    "max_logical_replication_workers": ("integer", None, "4"),
}
_NUMBER = re.compile(r"^([+-]?[0-9]*\.?[0-9]+)\s*([A-Za-z]*)$")
# Each from the smallest unit on.
_MS = {"us": 0.001, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_KB = {"B": 1 / 1024, "kB": 1, "MB": 1 << 10, "GB": 1 << 20, "TB": 1 << 30}


async def read(settings: PostgresSettings, session: Connection) -> Optional[dict]:
    """`{setting: value}` of what is not the default; None where it is not known. `session`: the superuser's. Never raises."""
    try:
        # The files, and not pg_settings: this session has settings of its own, which hide the server's.
        rows = await asyncio.wait_for(session.query(_QUESTION), LIMIT_S)
        return told(rows, settings.repl_password.encode())
    except Exception:  # noqa: BLE001 - a question beside others: without an answer nothing is told
        return None


def of_server(files: ConfigFiles, key: bytes) -> dict:
    """`{setting: value}` of what the files say of the server and is not the default. `key`: as for `told`."""
    found = {}
    for name, (kind, unit, default) in _SERVER.items():
        setting = files.settings.get(name)
        value = _of_server(setting.value, kind, unit) if setting else default
        if value != _of_server(default, kind, unit):
            found[name] = digest(key, value) if kind == "secret" else value
    return found


def _of_server(value: str, kind: str, unit: Optional[str]) -> str:
    if kind == "archive_mode":
        return "always" if value.lower() == "always" else plain(value, "bool", None)
    if kind == "list":
        return ", ".join(name.strip() for name in value.split(",") if name.strip())
    return plain(value, kind, unit)


def digest(key: bytes, value: str) -> str:
    """What may hold a password: that it differs is told, and not what it is. The key is for whoever would try passwords against a digest
    in a report."""
    return "digest " + hmac.new(key, value.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:8]


def told(rows: list, key: bytes) -> dict:
    """`rows`: name, value, vartype, unit and boot_val, each a text or None. `key`: what the nodes of a cluster have in common, and keep."""
    found = {}
    for row in rows[:TOLD]:
        value = plain(row["value"] or "", row["vartype"], row["unit"])
        if "." in row["name"]:
            # A setting of an application.
            found[row["name"]] = digest(key, value)
        elif row["boot_val"] is None or value != plain(row["boot_val"], row["vartype"], row["unit"]):
            found[row["name"]] = value
    return found


def plain(value: str, vartype: str, unit: Optional[str]) -> str:
    """The same value is the same text, in whatever unit and letters it was typed: what the server runs with, which has whole numbers of its
    own unit where the type is `integer`."""
    if vartype == "bool":
        return "on" if is_on(value) else "off"
    if vartype == "enum":
        return value.lower()
    number = _NUMBER.match(value.strip()) if vartype in ("integer", "real") else None
    if number is None:
        return value
    amount, typed = float(number[1]), number[2]
    for family, name in ((_MS, "ms"), (_KB, "kB")):
        # The server's own unit may be a multiple: 8kB.
        own = re.match(r"^([0-9]*)([A-Za-z]+)$", unit or "")
        if own is None or own[2] not in family:
            continue
        step = int(own[1] or 1) * family[own[2]]
        if typed and typed not in family:
            return value
        # Below zero a value is a switch, and no amount.
        if amount < 0:
            return f"{amount:g}"
        return f"{_rounded(_in_own_unit(amount, typed, family, step), vartype) * step:.10g}{name}"
    return f"{_rounded(amount, vartype):.10g}" if not typed else value


def _rounded(amount: float, vartype: str) -> float:
    # pg_settings shows a real number with six digits.
    return round(amount) if vartype == "integer" else float(f"{amount:g}")


def _in_own_unit(amount: float, typed: str, family: dict, step: float) -> float:
    """As the server reads it (utils/misc/guc.c, convert_to_base_unit): of a fraction it takes whole ones of the next smaller unit."""
    if not typed:
        return amount
    own = amount * (family[typed] / step)
    units = list(family)
    if typed == units[0]:
        return own
    smaller = family[units[units.index(typed) - 1]] / step
    return round(own / smaller) * smaller

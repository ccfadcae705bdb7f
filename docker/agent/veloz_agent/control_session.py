"""Sessions with settings of their own: whatever role, database and server are set to, they behave the same.

What a client asks for at its start wins over ALTER ROLE, ALTER DATABASE and ALTER SYSTEM. The worker's sessions do the
same, see src/systems/control-session.ts.
"""

from __future__ import annotations

import os
from typing import Mapping, Optional

from .wire import Connection, ServerError, TlsError

SETTINGS = {
    # Nothing that an application owns is found by a name without a schema.
    "search_path": "pg_catalog, pg_temp",
    "role": "none",
    "local_preload_libraries": "",
    "row_security": "off",
    # Each question has a limit on this side.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "exit_on_error": "off",
    "post_auth_delay": "0",
    # A hot standby knows no serializable transactions.
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "client_encoding": "UTF8",
    "client_min_messages": "warning",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}
# A server that does not know one of them refuses the connection: they came with PostgreSQL 14 and 17.
_LATER = {"idle_session_timeout": "0", "transaction_timeout": "0"}
_UNDEFINED_OBJECT = "42704"
# No line of pg_hba.conf lets it in, or one rejects it; also a role that may not log in.
_NOT_LET_IN = "28000"
# The database does not exist, takes no connections, or none of this role, or no more, or its sessions are to load a library that is not
# there.
_NOT_THIS_DATABASE = ("3D000", "55000", "42501", "53300", "58P01")


def databases(env: Mapping) -> list:
    """Where a session of the control role goes, in this order: its own database, and where that is missing, others."""
    names = [env.get("VELOZ_PG_CONTROL_DATABASE") or "veloz_ha", "postgres", env.get("VELOZ_PG_DATABASE") or "veloz"]
    return list(dict.fromkeys(names))


def startup_options(values: dict) -> str:
    """The start-up parameter `options`. Blanks and backslashes in values are escaped, as the server wants it."""

    def escaped(text: str) -> str:
        return "".join(f"\\{letter}" if letter == "\\" or letter.isspace() else letter for letter in text)

    return " ".join(f"-c {name}={escaped(value)}" for name, value in values.items())


CURRENT = startup_options({**SETTINGS, **_LATER})
OLDER = startup_options(SETTINGS)


async def open_session(
    host: str, port: int, user: str, password: str, database: str, extra: Optional[dict] = None
) -> Connection:
    """As `Connection.open`. A session for replication, which has no database, takes the same options.

    Over TLS where the server speaks it, else without: as libpq does by itself, and so a WAL receiver and the tools.
    """
    parameters = {"application_name": "veloz_agent", **(extra or {})}
    try:
        return await _preferring_tls(host, port, user, password, database, {**parameters, "options": CURRENT})
    except ServerError as error:
        if error.code != _UNDEFINED_OBJECT:
            raise
    return await _preferring_tls(host, port, user, password, database, {**parameters, "options": OLDER})


async def _preferring_tls(host: str, port: int, user: str, password: str, database: str, extra: dict) -> Connection:
    """A node may let a role in only over TLS, or only without. Where both are refused, the refusal of the first is told."""
    try:
        return await Connection.open(host, port, user, password, database, extra, tls="prefer")
    except TlsError as error:
        first: Exception = error
    except ServerError as error:
        if error.code != _NOT_LET_IN or not error.encrypted:
            raise
        first = error
    try:
        return await Connection.open(host, port, user, password, database, extra)
    except ServerError as error:
        if error.code == _NOT_LET_IN:
            raise first from error
        raise


async def open_control(host: str, port: int, user: str, password: str) -> Connection:
    """A session in the control database, or in another one where there is none that takes it."""
    first: Optional[ServerError] = None
    for database in databases(os.environ):
        try:
            return await open_session(host, port, user, password, database)
        except ServerError as error:
            if error.code not in _NOT_THIS_DATABASE:
                raise
            first = first or error
    assert first
    raise first

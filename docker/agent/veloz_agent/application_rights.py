"""What PgBouncer's question on each new connection calls, granted by name to PgBouncer's user in the database of its clients.

With these rights a client never gets a connection to a standby (`NEVER_A_STANDBY` in pgbouncer_files.py). PUBLIC has them in a server as
it is made, and who hardens a server takes them from it. roles.sql grants them where a database system is made; the primary's agent grants
them in a database that is older, or was restored.

The database is the application's: the session is a superuser's, and runs nothing that the application made. It has event triggers
off, which a GRANT would fire, loads no library, and finds no name but the catalog's. Where event triggers are not off, as before
PostgreSQL 17, nothing is granted. Nothing of the application is waited for, and nothing else depends on this.
"""

from __future__ import annotations

import asyncio
from typing import Optional

from . import control_database
from .settings import PostgresSettings
from .wire import ServerError

EVERY_S = 30
LIMIT_S = 5
# roles.sql grants the same.
ROUTINES = (
    "set_config(text, text, boolean)", "current_setting(text)", "pg_is_in_recovery()", "pg_sleep(double precision)",
    "pg_backend_pid()", "pg_terminate_backend(integer, bigint)", "count()", "int4pl(integer, integer)",
    "int4lt(integer, integer)",
)  # fmt: skip
# The database does not exist, or takes no connections: the reports of runbooks and `status` tell it (C10).
_NO_DATABASE = ("3D000", "55000")


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def question(user: str) -> str:
    """Rows `routine`: those of `ROUTINES` that the role does not have by name. None where nothing may be granted from here."""
    rows = ", ".join(f"({control_database.literal(routine)})" for routine in ROUTINES)
    return (
        f"SELECT c.routine FROM (VALUES {rows}) AS c(routine), pg_catalog.pg_proc p, pg_catalog.pg_roles r "
        "WHERE p.oid = pg_catalog.to_regprocedure('pg_catalog.' || c.routine) "
        f"AND r.rolname = {control_database.literal(user)} AND NOT pg_catalog.pg_is_in_recovery() "
        "AND pg_catalog.current_setting('event_triggers', true) = 'off' "
        "AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(p.proacl) a WHERE a.grantee = r.oid AND a.privilege_type = 'EXECUTE')"
    )


def grant(user: str, lacking: list) -> str:
    """`lacking`: of `ROUTINES`. Nothing of what the database answered goes into the statement."""
    calls = ", ".join(f"pg_catalog.{routine}" for routine in ROUTINES if routine in lacking)
    return f"GRANT EXECUTE ON ROUTINE {calls} TO {_identifier(user)}"


async def ensure(settings: PostgresSettings) -> Optional[str]:
    """Grants what is missing. Returns what was done, or None. Raises when it can't be done now."""
    return await asyncio.wait_for(_ensure(settings), LIMIT_S)


async def _ensure(settings: PostgresSettings) -> Optional[str]:
    try:
        session = await control_database.superuser(settings, settings.database)
    except ServerError as error:
        if error.code in _NO_DATABASE:
            return None
        raise
    try:
        lacking = [row["routine"] for row in await session.query(question(settings.user))]
        if not lacking:
            return None
        await session.query(grant(settings.user, lacking))
    finally:
        session.close()
    return (
        f"Granted to {settings.user} by name in the database {settings.database}, so that PgBouncer keeps its clients from a "
        f"standby also where PUBLIC may not call it: {', '.join(lacking)}."
    )

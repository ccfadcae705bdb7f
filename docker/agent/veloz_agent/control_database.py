"""The control database: where the sessions of runbooks and agents go, so that nothing of the application's is needed.

The agent of the primary looks every few seconds whether it is whole, over the socket and as the superuser, and makes what
is missing: the database, the rights in it, the settings of the control role there, the table of epochs.
"""

from __future__ import annotations

import asyncio
import os
from typing import Optional

from . import control_session, statefile
from .log import log
from .processes import Processes
from .settings import PostgresSettings
from .wire import Connection, ProtocolError, ServerError

EVERY_S = 10
LIMIT_S = 20
# How long a session over the socket may take to open.
OWN_LIMIT_S = 3
SCRIPT = "/usr/local/share/veloz/control.sql"

# Commits wait for nobody: while no standby confirms, nothing of this may hang.
SUPERUSER_OPTIONS = control_session.startup_options(
    {
        **control_session.SETTINGS,
        "session_preload_libraries": "",
        # What runs at each login may write, which a standby refuses.
        "event_triggers": "off",
        "synchronous_commit": "local",
        "statement_timeout": "15s",
        "lock_timeout": "5s",
    }
)

_FUNCTIONS = (
    "pg_reload_conf()", "pg_wal_replay_resume()", "pg_switch_wal()", "pg_ls_waldir()", "pg_control_system()",
    "pg_control_checkpoint()", "pg_control_init()", "pg_control_recovery()",
)  # fmt: skip
_REWIND_FUNCTIONS = (
    "pg_ls_dir(text, boolean, boolean)", "pg_stat_file(text, boolean)", "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
)  # fmt: skip
_MAY_REWIND = "pg_read_binary_file(text, bigint, bigint, boolean)"


def literal(text: str) -> str:
    """As SQL takes it, under standard_conforming_strings."""
    return "'" + text.replace("'", "''") + "'"


def _has_setting(role: str, entry: str) -> str:
    """Whether the role, as SQL takes it, has a setting like this in this database."""
    return (
        "EXISTS (SELECT FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole "
        "JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) AS c(entry) "
        f"WHERE r.rolname = {role} AND d.datname = current_database() AND c.entry LIKE {literal(entry)})"
    )


def question(settings: PostgresSettings) -> str:
    """What is missing, each in a few words; no row when it is whole, or when this server can't write."""
    ha, repl = literal(settings.ha_user), literal(settings.repl_user)
    calls = [(ha, name) for name in _FUNCTIONS] + [(repl, name) for name in _REWIND_FUNCTIONS]
    rights = ", ".join(
        f"({literal(f'the right to call {name}')}, has_function_privilege({role}, {literal(name)}, 'EXECUTE'))"
        for role, name in calls
    )
    roles = ", ".join(
        f"({literal(f'membership in {name}')}, pg_has_role({ha}, {literal(name)}, 'USAGE'))"
        for name in ("pg_monitor", "pg_checkpoint", "pg_signal_backend", "pg_use_reserved_connections")
    )
    return (
        f"SELECT what FROM (VALUES {rights}, {roles}, "
        f"('the right to set synchronous_standby_names', "
        f"has_parameter_privilege({ha}, 'synchronous_standby_names', 'ALTER SYSTEM')), "
        f"('the right to connect', has_database_privilege({ha}, current_database(), 'CONNECT') "
        f"AND has_database_privilege({repl}, current_database(), 'CONNECT')), "
        "('connections without limit', (SELECT datconnlimit = -1 FROM pg_database WHERE datname = current_database())), "
        "('the table veloz_ha.epoch', to_regclass('veloz_ha.epoch') IS NOT NULL), "
        f"('the settings of the control role', {_has_setting(ha, 'session_preload_libraries=%')}), "
        f"('track_activities of the control role', {_has_setting(ha, 'track_activities=on')}) "
        ") AS needed(what, there) WHERE there IS NOT TRUE AND NOT pg_is_in_recovery()"
    )


async def superuser(settings: PostgresSettings, *databases: str) -> Connection:
    """A session of the superuser over the socket: in the first of these databases that takes it, else in whichever there is.

    Raises what the first one said.
    """
    extra = {"application_name": "veloz_agent", "options": SUPERUSER_OPTIONS}
    first: Optional[ServerError] = None
    for database in databases or (settings.control_database, "postgres", "template1"):
        try:
            return await Connection.open(settings.socket_dir, 5432, "postgres", "", database, extra)
        except ServerError as error:
            first = first or error
    assert first
    raise first


async def own_door(settings: PostgresSettings) -> tuple:
    """`{ok, problem, socketDir}` and the session: can this agent open one of its own? `ok` is None where the server was silent.

    Never raises. Whoever asks closes the session, which is None where there is none.
    """
    answer: dict = {"ok": True, "problem": None, "socketDir": settings.socket_dir}
    try:
        session = await asyncio.wait_for(superuser(settings), OWN_LIMIT_S)
    except asyncio.TimeoutError:
        return {**answer, "ok": None, "problem": f"no answer within {OWN_LIMIT_S} s"}, None
    except ServerError as error:
        # It is not shut out where every place is taken, or while the server starts or ends.
        unclear = error.code == "53300" or error.code.startswith("57P")
        return {**answer, "ok": None if unclear else False, "problem": str(error)}, None
    except Exception as error:  # noqa: BLE001 - a question beside others
        return {**answer, "ok": False, "problem": str(error) or type(error).__name__}, None
    return answer, session


async def missing(settings: PostgresSettings) -> list:
    """What the control database lacks, each in a few words."""
    try:
        session = await superuser(settings, settings.control_database)
    except ServerError as error:
        # It does not exist, or takes no connections. Anything else says nothing about it.
        if error.code in ("3D000", "55000"):
            return [f"the database {settings.control_database}"]
        raise
    try:
        return [row["what"] for row in await session.query(question(settings))]
    finally:
        session.close()


async def ensure(settings: PostgresSettings, processes: Processes) -> None:
    """Makes what is missing. Raises when that can't be done now."""
    lacks = await asyncio.wait_for(missing(settings), 5)
    if not lacks:
        return
    output = os.path.join(settings.run, "control.log")
    log("warn", f"The control database is put in order: it lacks {', '.join(lacks)}.")
    environment = {
        "PATH": f"{settings.bin}:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "PGOPTIONS": SUPERUSER_OPTIONS,
        "PGAPPNAME": "veloz_agent",
        "VELOZ_PG_HA_USER": settings.ha_user,
        "VELOZ_PG_REPL_USER": settings.repl_user,
        "VELOZ_PG_CONTROL_DATABASE": settings.control_database,
    }
    for database in ("postgres", "template1"):
        child = processes.spawn(
            [
                os.path.join(settings.bin, "psql"), "-X", "-q", "-h", settings.socket_dir, "-U", "postgres",
                "-d", database, "-v", "ON_ERROR_STOP=1", "-f", SCRIPT,
            ],
            environment,
            output_to=output,
        )  # fmt: skip
        try:
            code = await asyncio.wait_for(asyncio.shield(child.exited), LIMIT_S)
        except asyncio.TimeoutError:
            child.signal(9)
            raise
        if code == 0:
            await _take_over_epochs(settings)
            log("info", "The control database is in order.")
            return
    raise OSError(f"psql ended with exit code {code}: {(statefile.read(output) or '').strip()[-600:]}")


async def _take_over_epochs(settings: PostgresSettings) -> None:
    """From where earlier versions kept them, the application's database. Read as its own role: it may be anything by now."""
    try:
        source = await Connection.open(
            settings.socket_dir, 5432, settings.user, "", settings.database, {"options": control_session.CURRENT}
        )
        try:
            rows = await asyncio.wait_for(
                source.query("SELECT epoch::text, node, timeline::text, run, at::text FROM veloz_ha.epoch LIMIT 10000"), 5
            )
        finally:
            source.close()
    except (ServerError, ProtocolError, OSError, EOFError, asyncio.TimeoutError):
        return
    if not rows:
        return
    target = await superuser(settings, settings.control_database)
    try:
        columns = ("epoch", "node", "timeline", "run", "at")
        values = ", ".join("(" + ", ".join(literal(row[name] or "") for name in columns) + ")" for row in rows)
        await target.query(
            "INSERT INTO veloz_ha.epoch (epoch, node, timeline, run, at) "
            f"SELECT v.epoch::bigint, v.node, v.timeline::int, v.run, v.at::timestamptz FROM (VALUES {values}) "
            "AS v(epoch, node, timeline, run, at) ON CONFLICT (epoch) DO NOTHING"
        )
    finally:
        target.close()


async def for_rewind(settings: PostgresSettings, upstream: dict) -> str:
    """The database of the upstream in which pg_rewind may read files."""
    for database in control_session.databases(os.environ):
        try:
            session = await control_session.open_session(
                upstream["host"], upstream["port"], settings.repl_user, settings.repl_password, database
            )
        except (ServerError, ProtocolError):
            continue
        except OSError:
            # pg_rewind meets the same, and says it in its own words.
            break
        try:
            (row,) = await session.query(
                f"SELECT has_function_privilege({literal(_MAY_REWIND)}, 'EXECUTE') AS may"
            )
        finally:
            session.close()
        if row["may"] == "t":
            return database
    return "postgres"

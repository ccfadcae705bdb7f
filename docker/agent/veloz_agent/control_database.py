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
# So much of what is missing stands in the log.
TOLD = 8
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

# What the sessions of runbooks, agents and pg_rewind call, themselves or by a view, and what PUBLIC may call in a server as it is made.
# Somebody who hardens a server takes it from PUBLIC; what a role was granted by name stays. The worker's own list is
# src/systems/control-rights.ts.
CALLED = (
    # Reads.
    "age", "bool_or", "clock_timestamp", "concat_ws", "count", "current_database", "current_setting", "div",
    "extract", "format",
    "generate_series", "has_database_privilege", "has_function_privilege", "has_parameter_privilege", "has_schema_privilege",
    "has_table_privilege", "inet_server_addr", "json_agg", "json_build_object", "json_object_agg", "lower", "lpad", "max", "min", "mod", "now",
    "set_config", "split_part", "starts_with", "substr", "sum", "to_hex", "to_json", "to_jsonb", "to_regclass", "unnest", "upper",
    "aclexplode", "pg_backend_pid", "pg_blocking_pids", "pg_current_wal_flush_lsn", "pg_current_wal_insert_lsn",
    "pg_current_wal_lsn", "pg_database_size", "pg_encoding_to_char", "pg_get_replication_slots", "pg_get_wal_replay_pause_state",
    "pg_has_role", "pg_is_in_recovery", "pg_is_wal_replay_paused", "pg_last_wal_receive_lsn", "pg_last_wal_replay_lsn",
    "pg_lock_status", "pg_lsn_mi", "pg_prepared_xact", "pg_show_all_settings", "pg_size_bytes", "pg_stat_get_activity",
    "pg_stat_get_archiver", "pg_stat_get_db_checksum_failures", "pg_stat_get_progress_info", "pg_stat_get_wal_receiver",
    "pg_stat_get_wal_senders", "pg_tablespace_location", "pg_wal_lsn_diff", "pg_walfile_name",
    # Changes.
    "pg_create_physical_replication_slot", "pg_drop_replication_slot", "pg_logical_emit_message", "pg_terminate_backend",
)  # fmt: skip
# The same of what they read.
READ = (
    "pg_class", "pg_database", "pg_db_role_setting", "pg_init_privs", "pg_locks", "pg_prepared_xacts", "pg_proc",
    "pg_replication_slots", "pg_roles", "pg_settings", "pg_stat_activity", "pg_stat_archiver", "pg_stat_database",
    "pg_stat_progress_basebackup", "pg_stat_replication", "pg_stat_wal_receiver", "pg_tablespace",
)  # fmt: skip
# What the roles have of their own in the control database, as control.sql sets it: a session can't ask for these, and with another value
# of one of them it may not even open.
HA_SETTINGS = ("session_preload_libraries=", "lc_messages=C", "max_stack_depth=2MB", "track_activities=on")
REPL_SETTINGS = ("session_preload_libraries=",)
# Both, since PostgreSQL 17.
NO_EVENT_TRIGGERS = "event_triggers=off"
# Objects of the catalog that a server makes for itself have smaller numbers.
_FIRST_OF_OTHERS = 16384


def literal(text: str) -> str:
    """As SQL takes it, under standard_conforming_strings."""
    return "'" + text.replace("'", "''") + "'"


def _has_setting(role: str, entry: str) -> str:
    """Whether the role, as SQL takes it, has this setting with this value in this database, as `ALTER ROLE … SET` writes it down."""
    return (
        "EXISTS (SELECT FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole "
        "JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) AS c(entry) "
        f"WHERE r.rolname = {role} AND d.datname = current_database() AND c.entry = {literal(entry)})"
    )


def _settings(ha: str, repl: str) -> list:
    """Rows of each setting that a role is to have: what is told of it, and whether it is there."""
    older = "current_setting('server_version_num')::int < 170000 OR "
    wanted = [(ha, entry, "") for entry in HA_SETTINGS] + [(repl, entry, "") for entry in REPL_SETTINGS]
    wanted += [(role, NO_EVENT_TRIGGERS, older) for role in (ha, repl)]
    return [
        f"({literal(f'the setting {entry} of')} || ' ' || {role}, {unless}{_has_setting(role, entry)})"
        for role, entry, unless in wanted
    ]


def script_environment(settings: PostgresSettings) -> dict:
    """What control.sql reads."""
    return {
        "PGOPTIONS": SUPERUSER_OPTIONS,
        "VELOZ_PG_HA_USER": settings.ha_user,
        "VELOZ_PG_REPL_USER": settings.repl_user,
        "VELOZ_PG_CONTROL_DATABASE": settings.control_database,
        "VELOZ_PG_CALLED": ",".join(CALLED),
        "VELOZ_PG_READ": ",".join(READ),
    }


def _taken_from_public(roles: tuple) -> str:
    """Rows `what`: rights to the catalog that PUBLIC has in a server as it is made, and that these roles, as SQL takes them, do not have by
    name, where it is known that they need them, or at all.

    Whatever else is missing stands behind an operator, a cast or a view. control.sql grants the same.
    """
    role = f"(SELECT oid, rolname FROM pg_roles WHERE rolname IN ({', '.join(roles)})) AS r"

    def by_name(acl: str, names: str, column: str) -> str:
        listed = ", ".join(literal(name) for name in names)
        return f"({column} IN ({listed}) AND NOT EXISTS (SELECT FROM aclexplode({acl}) a WHERE a.grantee = r.oid))"

    return (
        f"SELECT 'the right to call ' || p.oid::regprocedure || ' for ' || r.rolname AS what FROM pg_proc p, {role} "
        f"WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.oid < {_FIRST_OF_OTHERS} "
        f"AND ({by_name('p.proacl', CALLED, 'p.proname')} "
        "OR p.proacl IS NOT NULL AND NOT has_function_privilege(r.oid, p.oid, 'EXECUTE')) "
        "AND NOT EXISTS (SELECT FROM pg_init_privs i WHERE i.classoid = 'pg_proc'::regclass AND i.objoid = p.oid) "
        f"UNION ALL SELECT 'the right to read ' || c.relname || ' for ' || r.rolname FROM pg_class c, {role} "
        f"WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.oid < {_FIRST_OF_OTHERS} AND c.relkind IN ('r', 'v') "
        f"AND ({by_name('c.relacl', READ, 'c.relname')} OR NOT has_table_privilege(r.oid, c.oid, 'SELECT')) "
        "AND EXISTS (SELECT FROM pg_init_privs i, aclexplode(i.initprivs) a WHERE i.classoid = 'pg_class'::regclass "
        "AND i.objoid = c.oid AND i.objsubid = 0 AND a.grantee = 0 AND a.privilege_type = 'SELECT') "
        f"UNION ALL SELECT 'the right to use pg_catalog for ' || r.rolname FROM pg_namespace n, {role} "
        "WHERE n.nspname = 'pg_catalog' AND NOT EXISTS (SELECT FROM aclexplode(n.nspacl) a WHERE a.grantee = r.oid)"
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
        f"('rights to the table veloz_ha.epoch', has_schema_privilege({ha}, to_regnamespace('veloz_ha')::oid, 'USAGE') "
        f"AND has_table_privilege({ha}, to_regclass('veloz_ha.epoch')::oid, 'SELECT') "
        f"AND has_table_privilege({ha}, to_regclass('veloz_ha.epoch')::oid, 'INSERT')), "
        f"{', '.join(_settings(ha, repl))} "
        ") AS needed(what, there) WHERE there IS NOT TRUE AND NOT pg_is_in_recovery() "
        f"UNION ALL SELECT what FROM ({_taken_from_public((ha, repl))}) AS taken WHERE NOT pg_is_in_recovery()"
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
    more = f", and {len(lacks) - TOLD} more" if len(lacks) > TOLD else ""
    log("warn", f"The control database is put in order: it lacks {', '.join(lacks[:TOLD])}{more}.")
    environment = {
        "PATH": f"{settings.bin}:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "PGAPPNAME": "veloz_agent",
        **script_environment(settings),
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

"""PgBouncer's files: its configuration and user list, made at each start, and the routing file, which is kept."""

from __future__ import annotations

import os
import re
from string import Template
from typing import Optional

from . import statefile
from .settings import PgBouncerSettings

_ROUTE = re.compile(r"^; Route: (\S+) port (\d+)$", re.MULTILINE)
_SERVER = re.compile(r"host=(\S+) port=(\d+)")

# PgBouncer runs it on each new connection to a server, before a client is given it: no client reaches a standby, whoever has the
# primary's address by now, and whatever a primary was restarted as. A node becomes a standby only by a restart, so a connection that
# was let through once stays one to a primary. PgBouncer ignores errors there, but not that the connection ends. So on a standby any error
# ends it (`exit_on_error`), and on a primary none does. It waits for a moment instead of ending at once: a standby that is being
# promoted is used as soon as it is the primary, and one that is not is not logged in to fifty times a second. The wait is shorter than
# PgBouncer's `server_connect_timeout`. The other settings are those that an application may have for its role or database, and with
# which the question itself would fail: a standby runs nothing under `serializable`, its replay holds locks, and another role may not
# end the session of the one that logged in. `SET ROLE NONE` and not `RESET`, which goes back to what the role has set.
NEVER_A_STANDBY = "; ".join(
    (
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET LOCAL statement_timeout = 0",
        "SET LOCAL lock_timeout = 0",
        "SELECT pg_catalog.set_config($$exit_on_error$$, pg_catalog.current_setting($$in_hot_standby$$), true)",
        "SET LOCAL ROLE NONE",
        "WITH RECURSIVE waited(times) AS (SELECT 1 WHERE pg_catalog.pg_is_in_recovery()"
        " UNION ALL SELECT times OPERATOR(pg_catalog.+) 1 FROM waited"
        " WHERE times OPERATOR(pg_catalog.<) 150 AND pg_catalog.pg_sleep(0.01) IS NOT NULL AND pg_catalog.pg_is_in_recovery())"
        " SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())"
        " FROM (SELECT pg_catalog.count(*) FROM waited) AS all_of_it WHERE pg_catalog.pg_is_in_recovery()",
    )
)


def route_path(settings: PgBouncerSettings) -> str:
    return os.path.join(settings.route_dir, "route.ini")


def render_route(settings: PgBouncerSettings, route: dict, address: Optional[str] = None) -> str:
    return (
        "; Written by the agent: where clients go. Renamed into place, then RELOAD.\n"
        f"; Route: {route['host']} port {route['port']}\n"
        "[databases]\n"
        f"{settings.database} = host={address or route['host']} port={route['port']} dbname={settings.database}"
        f" connect_query='{NEVER_A_STANDBY}'\n"
    )


def read_route(settings: PgBouncerSettings) -> Optional[dict]:
    """Where clients go: the node's name, whatever address it has."""
    content = statefile.read(route_path(settings)) or ""
    found = _ROUTE.search(content) or _SERVER.search(content)
    return {"host": found[1], "port": int(found[2])} if found else None


def write_route(settings: PgBouncerSettings, route: dict, address: Optional[str] = None, sync: bool = True) -> None:
    """`address`: that of the route's host, if it is known; otherwise PgBouncer looks the name up."""
    statefile.replace(route_path(settings), render_route(settings, route, address), sync=sync)


def quoted(value: str) -> str:
    """A name or password of PgBouncer's user list."""
    if "\n" in value or "\r" in value:
        raise ValueError("A user name or password has a line break, which PgBouncer's user list can't hold.")
    return '"' + value.replace('"', '""') + '"'


def write_configuration(settings: PgBouncerSettings) -> None:
    """Passwords stand in the user list as they are: PgBouncer needs them to log in to PostgreSQL with SCRAM."""
    users = [
        (settings.user, settings.password),
        (settings.ha_user, settings.ha_password),
        (settings.admin_user, settings.admin_password),
    ]
    user_list = os.path.join(settings.run, "userlist.txt")
    statefile.replace(user_list, "".join(f"{quoted(u)} {quoted(p)}\n" for u, p in users), sync=False)
    template = statefile.read(settings.template)
    if template is None:
        raise ValueError(f"{settings.template} is missing.")
    content = Template(template).substitute(
        route_file=route_path(settings),
        user_list=user_list,
        socket_dir=settings.socket_dir,
        port=settings.port,
        admin_user=settings.admin_user,
        stats_user=settings.ha_user,
    )
    statefile.replace(os.path.join(settings.run, "pgbouncer.ini"), content, sync=False)
    if read_route(settings) is None:
        write_route(settings, settings.first_route)

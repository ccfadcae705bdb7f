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
# ends it (`exit_on_error`), whatever an application has for its role or database, and on a primary none does. What comes before that is
# what it could fail by itself with: a standby runs nothing under `serializable`. It waits for a moment instead of ending at once: a
# standby that is being promoted is used as soon as it is the primary, and one that is not is not logged in to fifty times a second. The
# wait is shorter than PgBouncer's `server_connect_timeout`.
NEVER_A_STANDBY = "; ".join(
    (
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET LOCAL search_path=pg_catalog",
        "SET LOCAL statement_timeout=0",
        "SELECT set_config($$exit_on_error$$,current_setting($$in_hot_standby$$),true)",
        "WITH RECURSIVE waited(n) AS (SELECT 1 WHERE pg_is_in_recovery() UNION ALL SELECT n+1 FROM waited"
        " WHERE n<150 AND pg_sleep(0.01) IS NOT NULL AND pg_is_in_recovery())"
        " SELECT pg_terminate_backend(pg_backend_pid()) FROM (SELECT count(*) FROM waited) AS x WHERE pg_is_in_recovery()",
    )
)
# PgBouncer 1.24 sends it in one packet of 512 bytes at most, with six of its own, and one that is longer never: clients wait for ever.
LONGEST_QUERY = 506


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

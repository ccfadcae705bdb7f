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


def route_path(settings: PgBouncerSettings) -> str:
    return os.path.join(settings.route_dir, "route.ini")


def render_route(settings: PgBouncerSettings, route: dict, address: Optional[str] = None) -> str:
    return (
        "; Written by the agent: where clients go. Renamed into place, then RELOAD.\n"
        f"; Route: {route['host']} port {route['port']}\n"
        "[databases]\n"
        f"{settings.database} = host={address or route['host']} port={route['port']} dbname={settings.database}\n"
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

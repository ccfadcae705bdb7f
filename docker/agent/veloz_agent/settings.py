"""What the environment says. Secrets come from `NAME` or from the file that `NAME_FILE` names, which wins."""

from __future__ import annotations

import os
import pwd
import re
import socket
from typing import Mapping

from .arguments import parse_address_list


def value(env: Mapping, name: str, default: str) -> str:
    return env.get(name) or default


def slot_name(node: str) -> str:
    """The replication slot of a node: the same rule as `slotName` of the workers, who look for it by that name."""
    return re.sub("[^a-z0-9_]", "_", node.lower())


def secret(env: Mapping, name: str, default: str) -> str:
    path = env.get(name + "_FILE")
    if path:
        with open(path, encoding="utf-8") as file:
            return file.read().rstrip("\r\n")
    return value(env, name, default)


class Settings:
    """Settings that both agents have. Read once at the start, while still root, so that secret files may be root's."""

    def __init__(self, env: Mapping) -> None:
        self.node = value(env, "VELOZ_NODE", socket.gethostname())
        self.user = value(env, "VELOZ_PG_USER", "veloz")
        self.password = secret(env, "VELOZ_PG_PASSWORD", "veloz")
        self.database = value(env, "VELOZ_PG_DATABASE", "veloz")
        # The control role's own; see control_database.py.
        self.control_database = value(env, "VELOZ_PG_CONTROL_DATABASE", "veloz_ha")
        self.ha_user = value(env, "VELOZ_PG_HA_USER", "veloz_ha")
        self.ha_password = secret(env, "VELOZ_PG_HA_PASSWORD", "veloz_ha")


class PostgresSettings(Settings):
    """Settings and paths of a PostgreSQL node."""

    bin = "/usr/lib/postgresql/17/bin"
    volume = "/var/lib/postgresql"
    data = "/var/lib/postgresql/data"
    own = "/var/lib/postgresql/veloz"
    config_file = "/etc/veloz/postgresql.conf"
    # The same with the data directory, for the server that pg_rewind starts by itself: it says no setting on the command line.
    rewind_config_file = "/run/veloz/rewind.conf"
    run = "/run/veloz"
    socket_dir = "/var/run/postgresql"
    pass_file = "/run/veloz/pgpass"
    os_user = "postgres"

    @property
    def version(self) -> int:
        """PostgreSQL's major version, as the path of its programs names it; 0 where it does not."""
        named = re.search(r"/(\d+)/bin/?$", self.bin)
        return int(named[1]) if named else 0

    def __init__(self, env: Mapping) -> None:
        super().__init__(env)
        self.repl_user = value(env, "VELOZ_PG_REPL_USER", "replicator")
        self.repl_password = secret(env, "VELOZ_PG_REPL_PASSWORD", "replicator")
        self.role = value(env, "VELOZ_PG_ROLE", "primary")
        if self.role not in ("primary", "standby"):
            raise ValueError(f"VELOZ_PG_ROLE: expected primary or standby, got {self.role!r}.")
        peers = parse_address_list(env.get("VELOZ_PG_PEERS", ""), 5432)
        self.peers = [peer for peer in peers if peer["host"] != self.node]
        self.synchronous_standby_names = env.get("VELOZ_PG_SYNCHRONOUS_STANDBY_NAMES", "veloz_standby")
        self.wal_segment_mb = int(value(env, "VELOZ_PG_WAL_SEGMENT_MB", "4"))
        self.application_name = value(env, "VELOZ_PG_APPLICATION_NAME", "veloz_standby")
        self.slot = slot_name(self.node)


class PgBouncerSettings(Settings):
    """Settings and paths of a PgBouncer node."""

    binary = "/usr/sbin/pgbouncer"
    volume = "/var/lib/pgbouncer"
    route_dir = "/var/lib/pgbouncer/route"
    template = "/etc/veloz/pgbouncer.ini.template"
    run = "/run/veloz"
    socket_dir = "/run/pgbouncer"
    port = 6432
    os_user = "pgbouncer"

    def __init__(self, env: Mapping) -> None:
        super().__init__(env)
        self.admin_user = value(env, "VELOZ_PGBOUNCER_ADMIN_USER", "pgbouncer_admin")
        self.admin_password = secret(env, "VELOZ_PGBOUNCER_ADMIN_PASSWORD", "pgbouncer_admin")
        routes = parse_address_list(env.get("VELOZ_PG_ROUTE") or "veloz-postgres-primary:5432", 5432)
        self.first_route = routes[0]
        self.peers = parse_address_list(env.get("VELOZ_PG_PEERS", ""), 5432)


def become(user: str, directories: list) -> None:
    """Takes the directories over for `user` and gives root up for good. Does nothing when not root."""
    if os.geteuid() != 0:
        return
    entry = pwd.getpwnam(user)
    for path in directories:
        os.makedirs(path, mode=0o700, exist_ok=True)
        if os.stat(path).st_uid != entry.pw_uid:
            os.chown(path, entry.pw_uid, entry.pw_gid)
    os.setgroups([])
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    os.umask(0o077)
    os.environ["HOME"] = entry.pw_dir

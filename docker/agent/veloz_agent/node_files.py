"""The files of a PostgreSQL node that decide what it becomes when it starts."""

from __future__ import annotations

import os
import re
from typing import Optional

from . import statefile

STANDBY_SIGNAL = "standby.signal"
_CONNINFO = re.compile(r"^primary_conninfo\s*=\s*'(.*)'\s*$", re.MULTILINE)
_HOST = re.compile(r"(?:^|\s)host=(\S+)")
_PORT = re.compile(r"(?:^|\s)port=(\d+)")
# What needs no quotes within a connection string that stands in quotes itself.
_PLAIN = re.compile(r"^[A-Za-z0-9_.-]+$")


class NodeFiles:
    """`standby.conf` (upstream and slot, kept outside the data directory so that a copy of another node's data never
    overwrites it) and `standby.signal`. The password stays out of both: it is in the pass file.
    """

    def __init__(self, data: str, conf_dir: str, user: str, pass_file: str, application_name: str, slot: str, database: str = "") -> None:
        self.data = data
        self.conf_path = os.path.join(conf_dir, "standby.conf")
        self.signal_path = os.path.join(data, STANDBY_SIGNAL)
        self.rewind_path = os.path.join(conf_dir, "rewind-begun")
        self._user = user
        self._pass_file = pass_file
        self._application_name = application_name
        self._slot = slot
        self._database = database if _PLAIN.match(database) else ""

    def render(self, upstream: dict) -> str:
        # Keepalives and tcp_user_timeout end a session with a vanished upstream within some three seconds.
        conninfo = (
            f"host={upstream['host']} port={upstream['port']} user={self._user} passfile={self._pass_file} "
            f"application_name={self._application_name} connect_timeout=2 "
            "keepalives_idle=1 keepalives_interval=1 keepalives_count=3 tcp_user_timeout=3000"
        )
        # Streaming itself needs no database; what copies logical slots (sync_replication_slots) does.
        return self._rendered(f"{conninfo} dbname={self._database}" if self._database else conninfo)

    def _rendered(self, conninfo: str) -> str:
        return (
            "# Written by the node's agent at each change of its upstream.\n"
            f"primary_conninfo = '{conninfo}'\n"
            f"primary_slot_name = '{self._slot}'\n"
        )

    @property
    def is_standby(self) -> bool:
        return os.path.exists(self.signal_path)

    @property
    def rewind_begun(self) -> bool:
        """A rewind was begun here and did not end: the data directory is no database any more."""
        return os.path.exists(self.rewind_path)

    def mark_rewind(self) -> None:
        statefile.replace(self.rewind_path, "A rewind was begun here. Without its end only a full copy helps.\n")

    def unmark_rewind(self) -> None:
        try:
            os.unlink(self.rewind_path)
        except FileNotFoundError:
            return
        statefile.sync_directory(os.path.dirname(self.rewind_path))

    def upstream(self) -> Optional[dict]:
        """Where `standby.conf` points, None without one."""
        conninfo = _CONNINFO.search(statefile.read(self.conf_path) or "")
        host = conninfo and _HOST.search(conninfo[1])
        port = conninfo and _PORT.search(conninfo[1])
        return {"host": host[1], "port": int(port[1])} if host and port else None

    def ensure_conf(self) -> None:
        """PostgreSQL complains about a missing include file."""
        if statefile.read(self.conf_path) is None:
            statefile.replace(self.conf_path, "# Written by the node's agent when the node follows an upstream.\n")

    def follows(self, upstream: dict) -> bool:
        """A file of an earlier version, without the database, leads to the same place: nothing is restarted for it."""
        text, wanted = statefile.read(self.conf_path), self.render(upstream)
        return text == wanted or (bool(self._database) and text == wanted.replace(f" dbname={self._database}'", "'"))

    def write_upstream(self, upstream: dict, sync: bool = True) -> None:
        statefile.replace(self.conf_path, self.render(upstream), sync=sync)

    def write_signal(self, data: Optional[str] = None, sync: bool = True) -> None:
        path = os.path.join(data or self.data, STANDBY_SIGNAL)

        def write() -> None:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
            if sync:
                statefile.make_durable(path)

        statefile.with_reserve(write)

    def remove_signal(self) -> None:
        try:
            os.unlink(self.signal_path)
        except FileNotFoundError:
            return
        statefile.sync_directory(self.data)

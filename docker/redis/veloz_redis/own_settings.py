"""What a node is set to, whatever somebody says while it runs; and whether its files have all that it has."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from typing import Mapping

from .log import log
from .opinion import fields_of
from .resp import Client, ReplyError
from .settings import VOLUME, Settings

LOOK_EVERY_S = 0.5
# In the volume for as long as the node's files lack something that it has: its append-only file was off, and is not whole again.
BEHIND = "files-behind"
BIND = "* -::*"
# Redis's own default. With fewer, a replica could not take the clients of its master.
MAX_CLIENTS = 10_000
# So many places are free for whoever mends and for the Sentinels, as long as there are no more than MORE clients too many.
KEPT_FREE = 32
MORE = 1_000


def owned(settings: Settings) -> Mapping[str, str]:
    """The settings that are put back, as Redis words them."""
    return {
        "appendonly": "yes",
        # A snapshot that fails has a master refuse all writes.
        "save": "",
        # Of two nodes one alone would take none. Who wants a write on both says WAIT.
        "min-replicas-to-write": "0",
        # A replica that takes writes acknowledges what nobody gets. A master that is demoted keeps what it was set to.
        "replica-read-only": "yes",
        # A replica that empties itself before it has its copy has nothing where the master fails in the middle of it.
        "repl-diskless-load": "disabled",
        # One that says nothing without its master looks like none that answers just when it is to take over.
        "replica-serve-stale-data": "yes",
        # A master needs it too: it is a replica after a failover.
        "masterauth": settings.password,
        # The password is that of the user default, and the nodes speak without TLS.
        "masteruser": "",
        # Connections that are held go on with another one, and no new one gets in: no control, no Sentinel, no replica.
        "requirepass": settings.password,
        "port": str(settings.port),
        "bind": BIND,
        "tls-replication": "no",
    }


def is_behind(volume: str = VOLUME) -> bool:
    return os.path.exists(os.path.join(volume, BEHIND))


def has_whole_file(info: str) -> bool:
    """Whether all that the node has, and that is right, is in its append-only file, by its INFO."""
    fields = fields_of(info)
    at_work = ("loading", "aof_rewrite_in_progress", "aof_rewrite_scheduled")
    return (
        fields.get("aof_enabled") == "1"
        and all(fields.get(key) == "0" for key in at_work)
        and fields.get("aof_last_bgrewrite_status") == "ok"
        and fields.get("aof_last_write_status") == "ok"
        # One that has just started follows nobody yet, and holds what was in its files: that is no more than before.
        and (fields.get("role") == "master" or fields.get("master_link_status") == "up")
    )


def max_clients(used: int, at_least: int) -> tuple[int, int]:
    """How many clients a node lets in at least, with so many connected; and what it is set to where it lets in fewer."""
    most = at_least + MORE
    return max(at_least, min(used + KEPT_FREE, most)), max(at_least, min(used + 2 * KEPT_FREE, most))


class OwnSettings:
    """Puts back what somebody changed, and marks the volume while its files lack something."""

    def __init__(self, settings: Settings, volume: str = VOLUME) -> None:
        self.node = settings.node
        self.own = Client(("127.0.0.1", 6379), settings.password)
        self.owned = owned(settings)
        self.volume = volume
        self._trouble = ""
        self._max_clients = MAX_CLIENTS

    async def run(self) -> None:
        while True:
            # The server loads its data, or ends; or who changed its settings took these commands away, too.
            with contextlib.suppress(OSError, EOFError, asyncio.TimeoutError, ReplyError):
                await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def close(self) -> None:
        self.own.close()

    async def look(self) -> None:
        # One question for all of them: it is asked twice a second.
        found = await self.own.call("CONFIG", "GET", *self.owned)
        now = dict(zip(found[::2], found[1::2]))
        for name, value in self.owned.items():
            if now.get(name, value) != value:
                await self.put_back(name, value)
        await self.keep_places()
        if is_behind(self.volume) and has_whole_file(await self.own.call("INFO", "replication", "persistence")):
            os.remove(os.path.join(self.volume, BEHIND))
            log(f"{self.node}: its append-only file has everything again")

    async def keep_places(self) -> None:
        """Lets in as many clients as ever, and a few more where all places are taken. Redis itself keeps none for anybody."""
        fields = fields_of(await self.own.call("INFO", "clients"))
        if "maxclients" not in fields:
            return
        used, limit = int(fields["connected_clients"]), int(fields["maxclients"])
        least, wanted = max_clients(used, self._max_clients)
        if limit >= least:
            return
        try:
            await self.own.call("CONFIG", "SET", "maxclients", str(wanted))
        except ReplyError as error:
            # The container may open fewer files than that. Redis says how many it could.
            can = re.search(r"try with (\d+)", str(error))
            if can is not None and int(can[1]) < self._max_clients:
                self._max_clients = int(can[1])
            self.say(f"{self.node}: {used} clients are connected, maxclients is {limit}, and could not be {wanted}: {error}")
            return
        log(f"{self.node}: maxclients was {limit} with {used} clients connected, and is {wanted}")

    async def put_back(self, name: str, value: str) -> None:
        if name == "appendonly":
            # First: it may end at any moment, and come back with the files of before.
            self.mark()
        try:
            await self.own.call("CONFIG", "SET", name, value)
        except ReplyError as error:
            self.say(f"{self.node}: {name} was changed while it ran, and could not be put back: {error}")
            return
        # Not what it was set to: it may be a secret.
        log(f"{self.node}: {name} was changed while it ran, and is put back")
        self._trouble = ""

    def mark(self) -> None:
        try:
            with open(os.path.join(self.volume, BEHIND), "w", encoding="utf-8") as file:
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self.say(f"{self.node}: it can't be kept in mind that its files are behind: {error}")

    def say(self, text: str) -> None:
        if text != self._trouble:
            log(text)
        self._trouble = text

"""What a node is set to, whatever somebody says while it runs; and whether its files have all that it has."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Mapping

from .log import log
from .opinion import fields_of
from .resp import Client, ReplyError
from .settings import VOLUME, Settings

LOOK_EVERY_S = 0.5
# In the volume for as long as the node's files lack something that it has: its append-only file was off, and is not whole again.
BEHIND = "files-behind"


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
        # A master needs it too: it is a replica after a failover.
        "masterauth": settings.password,
        # The password is that of the user default, and the nodes speak without TLS.
        "masteruser": "",
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


class OwnSettings:
    """Puts back what somebody changed, and marks the volume while its files lack something."""

    def __init__(self, settings: Settings, volume: str = VOLUME) -> None:
        self.node = settings.node
        self.own = Client(("127.0.0.1", 6379), settings.password)
        self.owned = owned(settings)
        self.volume = volume
        self._trouble = ""

    async def run(self) -> None:
        while True:
            # The server loads its data, or ends; or who changed its settings took these commands away, too.
            with contextlib.suppress(OSError, EOFError, asyncio.TimeoutError, ReplyError):
                await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def close(self) -> None:
        self.own.close()

    async def look(self) -> None:
        for name, value in self.owned.items():
            found = await self.own.call("CONFIG", "GET", name)
            if found and found[1] != value:
                await self.put_back(name, value)
        if is_behind(self.volume) and has_whole_file(await self.own.call("INFO", "replication", "persistence")):
            os.remove(os.path.join(self.volume, BEHIND))
            log(f"{self.node}: its append-only file has everything again")

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

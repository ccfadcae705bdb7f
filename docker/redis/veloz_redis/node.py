"""A Redis node: starts read-only, and takes the role that the Sentinels give it."""

from __future__ import annotations

import asyncio
import os
from typing import Optional

from .log import log
from .opinion import Opinion, agreed, opinion, place
from .resp import Client, ReplyError
from .settings import RUN, VOLUME, Address, Settings

CONFIG = f"{VOLUME}/redis.conf"
PLACED = f"{RUN}/placed"
# Until the Sentinels have spoken the node follows an address where nobody is: it answers reads, takes no write, and
# keeps its data.
NOBODY = ("127.0.0.1", 1)
START_EVERY_S = 0.2
WATCH_EVERY_S = 1.0
# Rounds in a row. A planned failover is over sooner; and a node is demoted in favour of a node that is a master only.
ROUNDS = 3


def config(settings: Settings) -> str:
    password = quoted(settings.password)
    return "\n".join(
        [
            "port 6379",
            "bind * -::*",
            "protected-mode no",
            f"dir {VOLUME}",
            "daemonize no",
            'logfile ""',
            f"requirepass {password}",
            f"masterauth {password}",
            # The name stays, whatever the address of the container is after its next start.
            f"replica-announce-ip {settings.node}",
            "replica-announce-port 6379",
            f"replicaof {NOBODY[0]} {NOBODY[1]}",
            "replica-read-only yes",
            "appendonly yes",
            f"appendfsync {settings.fsync}",
            # A replica that was away for a while gets what it missed, not everything.
            "repl-backlog-size 64mb",
            # By default a copy waits 5 s for further replicas to share it with.
            "repl-diskless-sync-delay 0",
            "repl-ping-replica-period 1",
            "repl-timeout 10",
            "tcp-keepalive 15",
            # The standby engine learns from these that the lock was let go.
            "notify-keyspace-events Kgx",
            "",
        ]
    )


def quoted(text: str) -> str:
    """A word of Redis's configuration."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def write(path: str, text: str) -> None:
    with open(f"{path}.new", "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
    os.replace(f"{path}.new", path)


class Keeper:
    """Gives the node its role at the start, and takes a master back that another one has replaced."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.own = Client(("127.0.0.1", 6379), settings.password)
        self.sentinels = [Client(address, settings.password) for address in settings.sentinels]
        self.others = {
            address: Client(address, settings.password) for address in settings.nodes if address[0] != settings.node
        }
        self.placed = False
        self._said: Optional[str] = None
        self._rounds = 0

    async def run(self) -> None:
        while True:
            try:
                await (self.watch() if self.placed else self.take_place())
            except (OSError, EOFError, asyncio.TimeoutError, ReplyError):
                # The server loads its data, or ends.
                pass
            await asyncio.sleep(WATCH_EVERY_S if self.placed else START_EVERY_S)

    async def opinions(self) -> list[Optional[Opinion]]:
        replies = await asyncio.gather(
            *(sentinel.ask("SENTINEL", "MASTER", self.settings.master) for sentinel in self.sentinels)
        )
        return [opinion(reply) for reply in replies]

    async def masters(self) -> list[str]:
        """The other nodes that are a master now."""
        replies = await asyncio.gather(*(client.ask("ROLE") for client in self.others.values()))
        return [address[0] for address, role in zip(self.others, replies) if role and role[0] == "master"]

    async def take_place(self) -> None:
        opinions, masters = await asyncio.gather(self.opinions(), self.masters())
        master = place(opinions, self.settings.majority, self.settings.node, masters)
        if master is None:
            answered = sum(said is not None for said in opinions)
            known = f"{answered} of {len(opinions)} Sentinels answer"
            self.say(f"waits, read-only: {known}" + (f"; {masters[0]} is a master" if masters else ""))
            return
        if master[0] == self.settings.node:
            await self.own.call("REPLICAOF", "NO", "ONE")
            self.say("is the master, as a majority of the Sentinels says")
        else:
            await self.follow(master)
            self.say(f"follows {master[0]}, as a majority of the Sentinels says")
        self.placed = True
        write(PLACED, "")

    async def watch(self) -> None:
        role = await self.own.call("ROLE")
        named: Optional[Address] = agreed(await self.opinions(), self.settings.majority)
        stale = role[0] == "master" and named is not None and named[0] != self.settings.node
        if not stale or named is None or named[0] not in await self.masters():
            self._rounds = 0
            return
        self._rounds += 1
        if self._rounds >= ROUNDS:
            await self.follow(named)
            self.say(f"was a second master: follows {named[0]}, which a majority of the Sentinels names")
            self._rounds = 0

    async def follow(self, master: Address) -> None:
        await self.own.call("REPLICAOF", master[0], str(master[1]))

    def say(self, text: str) -> None:
        if text != self._said:
            log(f"{self.settings.node} {text}")
        self._said = text

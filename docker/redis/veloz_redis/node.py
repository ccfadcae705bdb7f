"""A Redis node: starts read-only, and takes the role that the Sentinels give it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Optional

from .log import log
from .mistaken import Mistaken
from .opinion import (
    Opinion,
    Other,
    agreed,
    copy_from,
    has_loaded,
    is_heir,
    keys_in,
    may_lead,
    none_to_choose,
    opinion,
    place,
    whose_data,
    would_wipe,
)
from .own_settings import BIND, OwnSettings, is_behind
from .record import TOLD, Record, keep, load, next_record, text_of, told_in
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
# Sentinels never choose a replica with this one; of the others that with the lowest.
NEVER_CHOSEN = 0
MAY_BE_CHOSEN = 100
# Another replica that was restarted, or is started as the master that was replaced, may be chosen again within this time.
NOBODY_ELSE_S = 30.0
# A node that is empty or behind asks for its own replacement this often: a Sentinel that could not choose may be able to a moment later.
ASK_EVERY_S = 5.0
BEHIND_SAYS = "its append-only file was off, and may lack what it had"


def config(settings: Settings) -> str:
    password = quoted(settings.password)
    return "\n".join(
        [
            "port 6379",
            f"bind {BIND}",
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
            # The copy lies on the disk before the old data goes.
            "repl-diskless-load disabled",
            # Until it has the data (Keeper.may_be_chosen): a master without any would have the others copy nothing.
            f"replica-priority {NEVER_CHOSEN}",
            "appendonly yes",
            f"appendfsync {settings.fsync}",
            # The append-only file has everything; by default a snapshot that fails has a master refuse all writes.
            'save ""',
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
        self.own_settings = OwnSettings(settings)
        self.mistaken = Mistaken(settings)
        self.placed = False
        self.eligible = False
        self.loaded = False
        """The server has read its files, and answered since."""
        self.record: Optional[Record] = load()
        self._teller = Client(("127.0.0.1", 6379), settings.password)
        self._compared = False
        self._said: Optional[str] = None
        self._rounds = 0
        self._named: Optional[Address] = None
        self._asked_at: Optional[float] = None
        self._alone_since: Optional[float] = None
        self._watched_at = float("-inf")

    async def run(self) -> None:
        # Beside each other: a look at a silent Sentinel takes its time.
        await asyncio.gather(self.roles(), self.own_settings.run())

    async def roles(self) -> None:
        while True:
            # On a connection of its own, which is named; one that was made anew has no name.
            await self._teller.ask("CLIENT", "SETNAME", f"{TOLD}{text_of(self.record)}")
            try:
                # A look at the Sentinels takes its time where one is silent: a node that has its data is not to wait for that.
                if not self.eligible:
                    await self.may_be_chosen()
                if not self.placed:
                    await self.take_place()
                elif self._watch_is_due():
                    await self.watch()
                    await self.stay_eligible()
            except (OSError, EOFError, asyncio.TimeoutError, ReplyError):
                # The server loads its data, or ends.
                pass
            await asyncio.sleep(WATCH_EVERY_S if self.placed and self.eligible else START_EVERY_S)

    def _watch_is_due(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._watched_at < WATCH_EVERY_S * 0.9:
            return False
        self._watched_at = now
        return True

    async def may_be_chosen(self) -> None:
        """Lets the Sentinels choose this node once it has what a master has to have."""
        info = await self.own.call("INFO", "replication", "persistence", "keyspace")
        self.loaded = self.loaded or has_loaded(info)
        if not may_lead(info, is_behind(self.own_settings.volume)):
            return
        await self.own.call("CONFIG", "SET", "replica-priority", str(MAY_BE_CHOSEN))
        self.eligible = True

    async def stay_eligible(self) -> None:
        """
        Where every other node is the master, is gone, or says by hand too that it is never to be chosen, the Sentinels have nobody for a
        master that fails. Which of several they prefer, and which of several they never choose, is a person's.
        """
        if not self.eligible:
            return
        found = await self.own.call("CONFIG", "GET", "replica-priority")
        if not found or found[1] != str(NEVER_CHOSEN):
            self._alone_since = None
            return
        if not await self.is_only_heir():
            return
        await self.own.call("CONFIG", "SET", "replica-priority", str(MAY_BE_CHOSEN))
        log(f"{self.settings.node}: replica-priority was changed while it ran, nobody else could be chosen, and it is put back")

    async def is_only_heir(self) -> bool:
        """Whether the Sentinels could choose no other node, and another one is not on its way back."""
        if len(self.others) < 2:
            # Of two nodes the one that is not the master is the only one, whichever that is after the next move.
            return True
        # The one that they name is the one to be replaced, whatever it says that it is.
        others = [client for address, client in self.others.items() if address != self._named]
        infos = await asyncio.gather(*(client.ask("INFO", "replication", "persistence", "keyspace") for client in others))
        if any(is_heir(info) for info in infos):
            self._alone_since = None
            return False
        clock = asyncio.get_running_loop().time()
        if self._alone_since is None:
            self._alone_since = clock
        return clock - self._alone_since >= NOBODY_ELSE_S

    async def opinions(self) -> list[Optional[Opinion]]:
        replies = await asyncio.gather(
            *(sentinel.ask("SENTINEL", "MASTER", self.settings.master) for sentinel in self.sentinels)
        )
        return [opinion(reply) for reply in replies]

    async def look(self) -> list[Other]:
        """The other nodes as they are now."""

        async def one(client: Client) -> Other:
            # One after the other: a connection is for one question at a time.
            role = await client.ask("ROLE")
            # Refused while it loads: what it has by then is not what it holds.
            loaded = bool(role) and await client.ask("DBSIZE") is not None
            keyspace = await client.ask("INFO", "keyspace") if loaded else None
            return Other(client.address[0], keyspace is not None, bool(role) and role[0] == "master", keys_in(keyspace))

        return list(await asyncio.gather(*(one(client) for client in self.others.values())))

    async def copy_from(self) -> tuple[Optional[Other], str]:
        """Whom this node may copy where its own files can't be read, or why nobody. The server does not run."""
        opinions, others = await asyncio.gather(self.opinions(), self.look())
        return copy_from(opinions, self.settings.majority, self.settings.node, others)

    def close(self) -> None:
        self.own_settings.close()
        for client in (self.own, self._teller, *self.sentinels, *self.others.values()):
            client.close()

    async def take_place(self) -> None:
        opinions, others = await asyncio.gather(self.opinions(), self.look())
        masters = [other.node for other in others if other.master]
        role = await self.own.call("ROLE")
        if role[0] == "master":
            # A person made it one, who knows more than the Sentinels.
            self.say("was made the master by hand")
            self.taken()
            return
        nobody_else = any(said is not None and said.busy for said in opinions) and await self.nobody_else(opinions)
        master = place(opinions, self.settings.majority, self.settings.node, masters, nobody_else)
        behind = is_behind(self.own_settings.volume)
        if master is None:
            answered = sum(said is not None for said in opinions)
            known = f"{answered} of {len(opinions)} Sentinels answer"
            self.say(f"waits, read-only: {known}" + (f"; {masters[0]} is a master" if masters else ""))
            return
        if master[0] != self.settings.node:
            await self.follow(master)
            self.say(f"follows {master[0]}, as a majority of the Sentinels says")
        elif (holder := whose_data(await self.keys(), others, opinions, behind)) is not None:
            await self.yield_to(holder, BEHIND_SAYS if behind else "it is empty")
            return
        else:
            await self.own.call("REPLICAOF", "NO", "ONE")
            self.say("is the master, as a majority of the Sentinels says")
        self.taken()

    async def nobody_else(self, opinions: list[Optional[Opinion]]) -> bool:
        """Whether no Sentinel that answers could choose another node now."""
        replies = await asyncio.gather(
            *(
                sentinel.ask("SENTINEL", "REPLICAS", self.settings.master)
                for sentinel, said in zip(self.sentinels, opinions)
                if said is not None
            )
        )
        return none_to_choose(replies, self.settings.node)

    async def keys(self) -> int:
        """Its own. @raises ReplyError while it loads its files"""
        await self.own.call("DBSIZE")
        return keys_in(await self.own.call("INFO", "keyspace"))

    async def yield_to(self, holder: Other, why: str) -> None:
        """Named as the master, and its replicas would copy less than they have. One that has the data is to be chosen."""
        waits = f"waits, read-only: {why}, the Sentinels name it, and"
        if not holder.answers:
            self.say(f"{waits} {holder.node}, which may have the data, does not answer")
            return
        self.say(f"{waits} {holder.node} has data: they are asked to choose that one")
        now = asyncio.get_running_loop().time()
        if self._asked_at is None or now - self._asked_at >= ASK_EVERY_S:
            # The first look only begins to count: who has just started may be told more in a moment.
            first = self._asked_at is None
            self._asked_at = now if not first else now - ASK_EVERY_S + 1.0
            if not first:
                await self.ask_for_failover()

    async def ask_for_failover(self) -> None:
        """One Sentinel is enough. They find out too, after some 25 s in which their master says that it is none."""
        for sentinel in self.sentinels:
            if await sentinel.ask("SENTINEL", "FAILOVER", self.settings.master) == "OK":
                return

    def taken(self) -> None:
        self.placed = True
        write(PLACED, "")

    async def watch(self) -> None:
        role = await self.own.call("ROLE")
        opinions = await self.opinions()
        named: Optional[Address] = agreed(opinions, self.settings.majority)
        self._named = named
        await self.remember(role, opinions, named)
        await self.mistaken.finish(self.sentinels)
        if role[0] == "master":
            await self.mistaken.put_right(opinions, self.own, self.sentinels, self.others)
        if role[0] != "master" or named is None or named[0] == self.settings.node:
            self._rounds = 0
            return
        right = next((other for other in await self.look() if other.node == named[0] and other.master), None)
        if right is None:
            self._rounds = 0
            return
        keys = await self.keys()
        if would_wipe(keys, right):
            self._rounds = 0
            self.say(
                f"stays a second master: {named[0]}, which the Sentinels name, has no keys, and it has {keys}. "
                f"Next: docker exec {named[0]} redis-cli replicaof {self.settings.node} {self.settings.port}"
            )
            return
        self._rounds += 1
        if self._rounds >= ROUNDS:
            await self.follow(named)
            self.say(f"was a second master: follows {named[0]}, which a majority of the Sentinels names")
            self._rounds = 0

    async def remember(self, role: list, opinions: list[Optional[Opinion]], named: Optional[Address]) -> None:
        """
        Keeps who is the master, where this node is that one, or has what it has. Sentinels that lose their state ask the
        nodes for it: the one that was the master to the end has writes that an older one lacks.
        """
        if named is None or any(said is not None and said.busy for said in opinions):
            return
        if role[0] == "master":
            holds = named[0] == self.settings.node
        else:
            holds = (role[1], int(role[2])) == named and role[3] == "connected"
        epoch = max(said.epoch for said in opinions if said is not None and said.master == named)
        known = self.record
        if not holds or (self._compared and known is not None and known.master == named and known.number >= epoch):
            return
        clients = await asyncio.gather(*(other.ask("CLIENT", "LIST") for other in self.others.values()))
        record = next_record(named, epoch, [known, *(told_in(text)[1] for text in clients)])
        if record != known:
            try:
                await asyncio.to_thread(keep, record)
            except OSError as error:
                self.say(f"can't keep who is the master ({text_of(record)}): {error}. Next: df in its volume {VOLUME}")
                return
        self.record = record
        self._compared = True

    async def follow(self, master: Address) -> None:
        # First: a replica that was set otherwise would take its clients' writes, and lose them. Who may not set it follows all the same.
        with contextlib.suppress(ReplyError):
            await self.own.call("CONFIG", "SET", "replica-read-only", "yes")
        await self.own.call("REPLICAOF", master[0], str(master[1]))

    def say(self, text: str) -> None:
        if text != self._said:
            log(f"{self.settings.node} {text}")
        self._said = text

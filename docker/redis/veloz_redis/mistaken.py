"""
Sentinels that are connected to one node where they mean another one, whose address it has now (names.py keeps a Sentinel of
this version from it). What they do to the one they do to the other: a master is told to follow itself, or a master that was
promoted the one that it has replaced; or a master that is well seems to be none, and is replaced.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Iterable, Mapping, Optional

from .log import log
from .opinion import Opinion, fields_of
from .resp import Client, ReplyError
from .settings import Address, Settings

# Of those that forget replicas or look names up one at a time, and the next one once it knows the others again: they tell it who they are
# every 2 s. Those that are left to the end have 8 s at least until they tell a node that they mistake to follow somebody.
NEXT_AFTER_S = 3.0
# A Sentinel asks a node who it is every 10 s. Until then it tells what was before.
AGAIN_AFTER_S = 12.0


class Remedy(Enum):
    """What puts a Sentinel right, with the least that it forgets."""

    LOOK_UP = "was told to look all names up again"
    """Its connections are made anew; it forgets nothing. In vain where the name is that of a node that is away."""
    FORGET = "was told to forget its replicas, and finds them again by their names"
    WATCH = "was told to watch this node, which is the master"


def mistaken_for(
    said: Opinion, replicas: Optional[list], ids: Mapping[str, str], own: str, silent: Iterable[str], heard: bool
) -> Optional[tuple[str, Remedy]]:
    """
    For whom a Sentinel takes somebody else, as the master sees it, and what puts that right. None: it mistakes nobody.

    `ids`: the run ids of the nodes that answer, by name. `silent`: those that don't. `heard`: another Sentinel hears from the node that
    this one names, and that is silent here: who is the master is for the Sentinels to say then.
    """
    names = {run_id: name for name, run_id in ids.items() if run_id}
    silent = set(silent)
    named = said.master[0]
    really = names.get(said.run_id)
    if named == own and really not in (None, own):
        return own, Remedy.LOOK_UP
    if really == own and named in ids:
        return (named, Remedy.LOOK_UP) if named != own else in_replicas(replicas, names, own, silent)
    if really == own and named in silent and not heard:
        return named, Remedy.WATCH
    return in_replicas(replicas, names, own, silent)


def in_replicas(
    replicas: Optional[list], names: Mapping[str, str], own: str, silent: set[str]
) -> Optional[tuple[str, Remedy]]:
    """The same of the replicas that it knows: only what is connected to the master is told to follow it."""
    for reply in replicas or []:
        one = dict(zip(reply[::2], reply[1::2]))
        name = one.get("ip", "")
        if names.get(one.get("runid", "")) == own and name != own:
            if name in silent:
                return name, Remedy.FORGET
            if name in names.values():
                return name, Remedy.LOOK_UP
    return None


class Mistaken:
    """Puts such Sentinels right. For the master alone: of two that act nobody could say which one is right."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._told: dict[int, float] = {}
        self._next_at = float("-inf")
        self._unwatched: dict[int, list[str]] = {}
        """Sentinels that were told to forget the group, and not yet to watch it again, with how they have to."""

    async def finish(self, sentinels: list[Client]) -> None:
        """Has a Sentinel watch somebody again that could not be told at once; whatever this node is by then: it hears from the others."""
        for index in list(self._unwatched):
            await self._watch(index, sentinels[index])

    async def put_right(
        self, opinions: list[Optional[Opinion]], own_server: Client, sentinels: list[Client], others: Mapping[Address, Client]
    ) -> None:
        """`opinions`: what the Sentinels say now, in their order."""
        now = asyncio.get_running_loop().time()
        there = {index: said for index, said in enumerate(opinions) if said is not None}
        # A Sentinel that forgets what it knows ends its failover, and one that was to vote does not.
        if now < self._next_at or any(said.busy for said in there.values()):
            return
        own = fields_of(await own_server.ask("INFO", "server") or "").get("run_id", "")
        if not own:
            return
        lists = await asyncio.gather(
            *(sentinels[index].ask("SENTINEL", "REPLICAS", self._settings.master) for index in there)
        )
        replicas = dict(zip(there, lists))
        if not any(self._is_odd(said, replicas[index], own) for index, said in there.items()):
            return
        infos = await asyncio.gather(*(client.ask("INFO", "server") for client in others.values()))
        ids = {address[0]: fields_of(info or "").get("run_id", "") for address, info in zip(others, infos)}
        silent = {name for name, run_id in ids.items() if not run_id}
        ids = {name: run_id for name, run_id in ids.items() if run_id} | {self._settings.node: own}
        for index, said in there.items():
            if said.down or now - self._told.get(index, float("-inf")) < AGAIN_AFTER_S:
                continue
            heard = self._heard(said, own, there.values())
            found = mistaken_for(said, replicas[index], ids, self._settings.node, silent, heard)
            if found is None or not await self._remedy(index, sentinels[index], *found):
                continue
            self._told[index] = now
            self._next_at = now + NEXT_AFTER_S
            # One that is left with the old name would win over again those that were told: its word is of a later version.
            if found[1] is not Remedy.WATCH:
                return

    def _is_odd(self, said: Opinion, replicas: Optional[list], own: str) -> bool:
        """Whether the other nodes have to be asked who they are: the master is not where it should be, or is where it should not."""
        if (said.run_id == own) != (said.master[0] == self._settings.node):
            return True
        return any(own in reply for reply in replicas or [])

    @staticmethod
    def _heard(said: Opinion, own: str, opinions: Iterable[Opinion]) -> bool:
        """Whether another Sentinel hears from the very node that this one names."""
        return any(one.master == said.master and not one.down and one.run_id not in ("", own) for one in opinions)

    async def _remedy(self, index: int, sentinel: Client, taken_for: str, remedy: Remedy) -> bool:
        group = self._settings.master
        if remedy is Remedy.LOOK_UP:
            # Told its password, a Sentinel connects anew to all nodes, and looks their names up for that.
            done = await carried_out(sentinel, "SET", group, "auth-pass", self._settings.password)
        elif remedy is Remedy.FORGET:
            done = await carried_out(sentinel, "RESET", group)
        else:
            done = await self._watch_anew(index, sentinel)
        if done:
            log(f"{sentinel.address[0]} took another node for {taken_for}, whose address that has now: it {remedy.value}")
        return done

    async def _watch_anew(self, index: int, sentinel: Client) -> bool:
        """With the quorum and the other settings that it has."""
        group, settings = self._settings.master, self._settings
        fields = await sentinel.ask("SENTINEL", "MASTER", group)
        if not fields:
            return False
        before = dict(zip(fields[::2], fields[1::2]))
        kept = {
            "down-after-milliseconds": settings.down_after_ms,
            "failover-timeout": settings.failover_timeout_ms,
            "parallel-syncs": 1,
        }
        how = [word for key, preset in kept.items() for word in (key, before.get(key, str(preset)))]
        self._unwatched[index] = [before.get("quorum", str(settings.quorum)), "auth-pass", settings.password, *how]
        # Where its answer is lost it may have forgotten the group all the same.
        await carried_out(sentinel, "REMOVE", group)
        await self._watch(index, sentinel)
        return True

    async def _watch(self, index: int, sentinel: Client) -> None:
        group, node = self._settings.master, self._settings.node
        quorum, *how = self._unwatched[index]
        if not await sentinel.ask("SENTINEL", "MASTER", group):
            if not await carried_out(sentinel, "MONITOR", group, node, str(self._settings.port), quorum):
                return
        if await carried_out(sentinel, "SET", group, *how):
            del self._unwatched[index]


async def carried_out(sentinel: Client, *words: str) -> bool:
    """Whether a Sentinel did what it was told. One that can't write it down has done it all the same."""
    try:
        await sentinel.call("SENTINEL", *words)
    except ReplyError as error:
        return "save config" in str(error)
    except (OSError, EOFError, asyncio.TimeoutError, ValueError):
        return False
    return True

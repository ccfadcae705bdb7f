"""Whom a Sentinel watches that knows nothing, and whom nobody tells. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Optional, Sequence

from .opinion import Opinion
from .record import Record
from .settings import Address


@dataclass(frozen=True)
class Held:
    """A node, by what it says now."""

    address: Address
    answers: bool = False
    """It has read its files: what it says of its keys is what it holds."""
    master: bool = False
    keys: int = 0
    tells: bool = False
    """It says who was the master last, or that it does not know."""
    record: Optional[Record] = None


@dataclass(frozen=True)
class Choice:
    """The master to watch, and the config-epoch to begin with: later than all that any node remembers."""

    master: Address
    epoch: int = 0


def first_master(nodes: Sequence[Held], opinions: Iterable[Optional[Opinion]]) -> tuple[Optional[Choice], str]:
    """
    The master, or why nobody can say yet: the wrong one would have the others copy older data, and acknowledged writes
    would be gone. So a node becomes the master by what it holds and by what the nodes remember, never as a default; only
    where all nodes answer and none holds a key it is the first one.
    """
    records = [node.record for node in nodes if node.record is not None]
    records += [Record(said.master, said.epoch) for said in opinions if said is not None]
    number = max((record.number for record in records), default=0)
    last = {record.master for record in records if record.number == number}

    def choose(node: Held) -> tuple[Choice, str]:
        # An epoch later than all that is remembered of somebody else.
        return Choice(node.address, number + 1 if last - {node.address} else number), ""

    masters = [node for node in nodes if node.master]
    if len(masters) == 1:
        # It took writes until now; or a person made it one, who knows more.
        return choose(masters[0])
    if masters:
        right = [node for node in masters if last == {node.address}]
        if right:
            return choose(right[0])
        return None, f"{names(masters)} are masters, and no record says which one is the later one. {decide('')}"
    silent = [node for node in nodes if not node.answers]
    if silent:
        known = f"; the last known master is {host(last)}" if last else ""
        return None, (
            f"{names(silent)}, which may hold newer data, {'do' if len(silent) > 1 else 'does'} not answer{known} "
            f"(limit: all {len(nodes)} nodes answer). Next: docker start {silent[0].address[0]}; "
            f"where it is gone for good, {decide(' that has the data', 'on the node')}"
        )
    mute = [node for node in nodes if not node.tells]
    if mute:
        return None, (
            f"{names(mute)} did not say yet who was the master last (limit: all {len(nodes)} nodes). "
            f"Next: docker logs --tail 50 {mute[0].address[0]}, where that lasts"
        )
    holders = [node for node in nodes if node.keys > 0]
    named = [node for node in nodes if node.address in last]
    if last and not named:
        return None, (
            f"the last known master is {host(last)}, which is none of the nodes {names(nodes)}. {decide('')}"
        )
    if not holders:
        return choose(named[0] if named else nodes[0])
    if len(last) <= 1:
        if named and named[0] in holders:
            return choose(named[0])
        if len(holders) == 1:
            return choose(holders[0])
        # The last master lost what it had: whoever had a copy of it to the end is as good.
        copies = [node for node in holders if node.record is not None and node.record.number == number]
        if len(copies) == 1:
            return choose(copies[0])
    return None, (
        f"{' and '.join(f'{node.address[0]} has {node.keys} keys' for node in holders)}, and no record says which of them "
        f"is newer. {decide('')}"
    )


def names(nodes: Iterable[Held]) -> str:
    return " and ".join(node.address[0] for node in nodes)


def host(last: Iterable[Address]) -> str:
    return " or ".join(sorted(address[0] for address in last))


def decide(which: str, where: str = "Next: on the right one") -> str:
    return f"{where}{which}: docker exec NODE redis-cli replicaof no one"

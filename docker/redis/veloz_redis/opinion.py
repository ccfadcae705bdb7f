"""What the Sentinels say, and what follows from it. No I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Iterable, Mapping, Optional

from .settings import Address


@dataclass(frozen=True)
class Opinion:
    """What one Sentinel says about the group."""

    master: Address
    busy: bool
    """It counts the master as down, or is failing over: what it says may be otherwise in a moment."""
    replicas: int = 0
    """Replicas that it has ever heard of: 0 in a group that has just been made."""
    epoch: int = 0
    """The version of what it says: of two Sentinels the one with the higher one is believed."""
    run_id: str = ""
    """Of the server that it is connected to where it means the master, by its last INFO; empty before the first one."""
    acts: bool = False
    """It is failing over."""
    down: bool = False
    """That one gives it no answer, or says for long that it is no master."""


@dataclass(frozen=True)
class Other:
    """Another node, as it answers now."""

    node: str
    answers: bool
    master: bool = False
    keys: int = 0


def opinion(reply: Optional[list]) -> Optional[Opinion]:
    """Reads the answer to SENTINEL MASTER; None where a Sentinel did not answer, or knows no such group."""
    if not reply:
        return None
    fields: Mapping[str, str] = dict(zip(reply[::2], reply[1::2]))
    flags = fields.get("flags", "").split(",")
    return Opinion(
        master=(fields.get("ip", ""), int(fields.get("port", "0"))),
        busy=any(flag in flags for flag in ("o_down", "failover_in_progress")),
        replicas=int(fields.get("num-slaves", "0")),
        epoch=int(fields.get("config-epoch", "0")),
        run_id=fields.get("runid", ""),
        acts="failover_in_progress" in flags,
        down="s_down" in flags,
    )


def keys_in(keyspace: Optional[str]) -> int:
    """How many keys INFO keyspace tells of, in all databases."""
    lines = [line for line in (keyspace or "").splitlines() if line.startswith("db") and ":keys=" in line]
    return sum(int(line.split(":keys=")[1].split(",")[0]) for line in lines)


def fields_of(info: str) -> Mapping[str, str]:
    return dict(line.split(":", 1) for line in info.splitlines() if ":" in line)


def has_loaded(info: str) -> bool:
    """Whether a server has read all of its files, by its INFO."""
    return fields_of(info).get("loading") == "0"


def may_lead(info: str, behind: bool = False) -> bool:
    """
    Whether a node may be chosen as the master, by its INFO: it is one, it has a whole copy of its master's data, or it holds data of its
    own, which is no proof where its files are behind. One that has just been made holds nothing until its first copy is whole: as the master it would have everybody copy nothing.
    """
    fields = fields_of(info)
    if not has_loaded(info):
        return False
    return fields.get("role") == "master" or fields.get("master_link_status") == "up" or (keys_in(info) > 0 and not behind)


def is_heir(info: Optional[str]) -> bool:
    """Whether the Sentinels may choose that node, by its INFO (None: no answer): a replica that has the data, and says a number above 0."""
    if info is None or not may_lead(info):
        return False
    fields = fields_of(info)
    return fields.get("role") == "slave" and int(fields.get("slave_priority", "0")) > 0


def would_wipe(keys: int, named: Optional[Other]) -> bool:
    """Whether a second master with that many keys would lose them by following the master that the Sentinels name."""
    return keys > 0 and (named is None or not named.answers or named.keys == 0)


def whose_data(
    keys: int, others: Iterable[Other], opinions: Iterable[Optional[Opinion]], behind: bool = False
) -> Optional[Other]:
    """
    The node whose data a master without any, or with less, would wipe out: its replicas copy whatever it has, and be it nothing. None:
    nobody's.

    A node is empty when its volume was lost or made anew, and has less where its append-only file was off before it ended. One that is
    silent may hold everything, unless the group has just been made.
    """
    if keys > 0 and not behind:
        return None
    there = list(others)
    holder = next((other for other in there if other.keys > 0), None)
    if holder is not None:
        return holder
    lived = any(said is not None and said.replicas > 0 for said in opinions)
    return next((other for other in there if lived and not other.answers), None)


def copy_from(
    opinions: list[Optional[Opinion]], majority: int, own: str, others: Iterable[Other]
) -> tuple[Optional[Other], str]:
    """
    The node that one whose own files can't be read may copy, so that these are needed no more: a majority of all
    Sentinels names it, none of them is choosing another one, and it answers as the only master, with keys. Without one:
    None, and why.
    """
    named = agreed(opinions, majority)
    if named is None:
        answer = sum(said is not None for said in opinions)
        return None, f"no majority of the Sentinels names a master: {answer} of {len(opinions)} answer"
    if named[0] == own:
        return None, "the Sentinels name this node as the master: nobody may have more"
    if any(said is not None and said.busy for said in opinions):
        return None, "a Sentinel counts the master as down, or is choosing another one"
    masters = [other for other in others if other.master]
    if [other.node for other in masters] != [named[0]]:
        there = " and ".join(other.node for other in masters) or "nobody"
        return None, f"the Sentinels name {named[0]}, and {there} answers as a master"
    if masters[0].keys == 0:
        return None, f"{named[0]}, which the Sentinels name, has no keys"
    return masters[0], ""


def agreed(opinions: Iterable[Optional[Opinion]], majority: int) -> Optional[Address]:
    """The master that a majority of all Sentinels names."""
    named = Counter(said.master for said in opinions if said is not None)
    for address, count in named.items():
        if count >= majority:
            return address
    return None


def place(
    opinions: list[Optional[Opinion]],
    majority: int,
    own: str,
    other_masters: Iterable[str],
    nobody_else: bool = False,
) -> Optional[Address]:
    """
    Whom a node that starts has to follow; its own address where it is the master. None: not known yet, ask again.

    Nobody becomes a master while another node is one, nor while a Sentinel is choosing a new one. `nobody_else`: there is nobody whom they
    could choose (`none_to_choose`). Then they count the master as down for no longer than it says that it is none: one that ended twice
    within ten seconds has said so for too long when it comes back, and would wait for a failover of theirs, two minutes later.
    """
    master = agreed(opinions, majority)
    if master is None or master[0] != own:
        return master
    if any(other_masters) or any(said is not None and (said.acts or (said.busy and not nobody_else)) for said in opinions):
        return None
    return master


def none_to_choose(replies: Iterable[Optional[list]], own: str) -> bool:
    """Whether no Sentinel could choose another node, by their answers to SENTINEL REPLICAS: each counts all of them as down."""
    nodes = []
    for reply in replies:
        if reply is None:
            return False
        nodes += [dict(zip(one[::2], one[1::2])) for one in reply]
    return all("s_down" in one.get("flags", "").split(",") for one in nodes if one.get("ip") != own)

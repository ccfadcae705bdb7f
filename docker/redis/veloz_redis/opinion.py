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


def opinion(reply: Optional[list]) -> Optional[Opinion]:
    """Reads the answer to SENTINEL MASTER; None where a Sentinel did not answer, or knows no such group."""
    if not reply:
        return None
    fields: Mapping[str, str] = dict(zip(reply[::2], reply[1::2]))
    flags = fields.get("flags", "").split(",")
    return Opinion(
        master=(fields.get("ip", ""), int(fields.get("port", "0"))),
        busy=any(flag in flags for flag in ("o_down", "failover_in_progress")),
    )


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
) -> Optional[Address]:
    """
    Whom a node that starts has to follow; its own address where it is the master. None: not known yet, ask again.

    Nobody becomes a master while another node is one, nor while a Sentinel is choosing a new one.
    """
    master = agreed(opinions, majority)
    if master is None or master[0] != own:
        return master
    if any(said is not None and said.busy for said in opinions) or any(other_masters):
        return None
    return master

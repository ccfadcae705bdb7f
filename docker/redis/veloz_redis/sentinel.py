"""A Sentinel: what it keeps across restarts, and what is written anew."""

from __future__ import annotations

import asyncio
import re
from typing import Optional

from .log import log
from .node import quoted, write
from .opinion import agreed, opinion
from .resp import Client
from .settings import VOLUME, Address, Settings

CONFIG = f"{VOLUME}/sentinel.conf"
# What a Sentinel has learnt, as it writes that. Everything else comes from the settings at each start. A damaged line
# would keep it from starting, again and again; one that is left out it learns anew from the others.
WORD = "[!-~]+"
EPOCH = "[0-9]{1,19}"
WHERE = f"{WORD} {WORD} [0-9]{{1,5}}"
KEPT = re.compile(
    f"sentinel (myid [0-9a-f]{{40}}|(config|leader)-epoch {WORD} {EPOCH}|current-epoch {EPOCH}"
    f"|known-replica {WHERE}|known-sentinel {WHERE} [0-9a-f]{{40}})"
)
MONITORED = re.compile(f"sentinel monitor {WHERE} [0-9]+")


def monitored(saved: str, master: str) -> Optional[Address]:
    """The master that the saved configuration names."""
    for line in saved.splitlines():
        words = line.split()
        if words[:3] == ["sentinel", "monitor", master] and len(words) == 6 and MONITORED.fullmatch(line):
            return words[3], int(words[4])
    return None


def config(settings: Settings, saved: str, master: Address, moved: bool) -> str:
    """
    The configuration to start with. `moved`: the master changed while this Sentinel was away; what it remembers about the
    old one, above all the epoch by which it would win the others over, is dropped.
    """
    name = settings.master
    dropped = ("sentinel config-epoch ", "sentinel known-replica ") if moved else ()
    kept = [
        line for line in saved.splitlines() if KEPT.fullmatch(line) and not (dropped and line.startswith(dropped))
    ]
    return "\n".join(
        [
            "port 26379",
            "bind * -::*",
            "protected-mode no",
            f"dir {VOLUME}",
            "daemonize no",
            'logfile ""',
            f"requirepass {quoted(settings.password)}",
            f"sentinel sentinel-pass {quoted(settings.password)}",
            # Names stay right when addresses change.
            "sentinel resolve-hostnames yes",
            "sentinel announce-hostnames yes",
            f"sentinel announce-ip {settings.node}",
            "sentinel announce-port 26379",
            f"sentinel monitor {name} {master[0]} {master[1]} {settings.quorum}",
            f"sentinel auth-pass {name} {quoted(settings.password)}",
            f"sentinel down-after-milliseconds {name} {settings.down_after_ms}",
            f"sentinel failover-timeout {name} {settings.failover_timeout_ms}",
            f"sentinel parallel-syncs {name} 1",
            *kept,
            "",
        ]
    )


async def choose_master(settings: Settings, remembered: Optional[Address]) -> Address:
    """
    Whom to watch: what the others agree on, since this Sentinel may have been away when the master moved; else what it
    remembers; else the node that is a master; else the first one.
    """
    others = [Client(address, settings.password) for address in settings.sentinels if address[0] != settings.node]
    replies = await asyncio.gather(*(other.ask("SENTINEL", "MASTER", settings.master) for other in others))
    for other in others:
        other.close()
    named = agreed([opinion(reply) for reply in replies], settings.majority)
    if named is not None:
        return named
    if remembered is not None:
        return remembered
    nodes = [Client(address, settings.password) for address in settings.nodes]
    roles = await asyncio.gather(*(node.ask("ROLE") for node in nodes))
    for node in nodes:
        node.close()
    masters = [address for address, role in zip(settings.nodes, roles) if role and role[0] == "master"]
    return masters[0] if len(masters) == 1 else settings.nodes[0]


def prepare(settings: Settings) -> str:
    """Writes the configuration, and returns its path."""
    try:
        with open(CONFIG, encoding="utf-8", errors="replace") as file:
            saved = file.read()
    except FileNotFoundError:
        saved = ""
    remembered = monitored(saved, settings.master)
    master = asyncio.run(choose_master(settings, remembered))
    moved = remembered is not None and remembered != master
    if moved:
        log(f"{settings.node} remembers {remembered[0]}; the other Sentinels watch {master[0]}")
    write(CONFIG, config(settings, saved, master, moved))
    return CONFIG

"""Whether another node holds data, asked of its agent: beside data of the cluster no new database system is created.

A server that gives no answer proves nothing: it may be frozen, or down, with all the data. So each peer whose name is
known on the network, because its container runs or is paused, has to say itself that it holds none. A name that nobody
knows counts as absent, unless the node was there before and did not say so: a container that was killed takes its name along.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Awaitable, Callable, Optional

from . import arguments, base_backup
from .peer_channel import ChannelError
from .settings import PostgresSettings

ASK_LIMIT_MS = 1000
QUESTION = "holdsData"

# Asks the agent on a host.
AskAgent = Callable[[str, dict, int], Awaitable[dict]]


def held_here(settings: PostgresSettings, system: Optional[str]) -> Optional[str]:
    """What data this node holds or has held, in half a sentence; None for one that never held any.

    `system`: the database system that it held, saw at a peer while it was empty, or has begun to copy.
    """
    if system:
        return f"it has held database system {system}, or was about to copy it"
    if base_backup.replaced(settings):
        return "data that a copy replaced are beside its data directory"
    if os.path.isdir(settings.data) and os.listdir(settings.data):
        return "its data directory is not empty"
    return None


def answer(settings: PostgresSettings, system: Optional[str], content: dict) -> dict:
    """The answer to a peer that is about to create a new database system."""
    if content.get("to") != settings.node:
        raise arguments.bad("to", f"this node, {settings.node}", content.get("to"))
    why = held_here(settings, system)
    return {"node": settings.node, "answer": "empty" if why is None else "data", "why": why}


async def objection(peer: dict, node: str, ask_agent: AskAgent, seen: Optional[dict] = None) -> Optional[str]:
    """Why this peer keeps `node` from creating a new database system, in half a sentence; None where it does not.

    `seen`: by host, why one that was there objected when it was last asked. Kept up to date here.
    """
    host = peer["host"]
    seen = {} if seen is None else seen
    try:
        await asyncio.get_running_loop().getaddrinfo(host, peer["port"], type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        return f"{host} was there and is not any more; when it was last asked: {seen[host]}" if host in seen else None
    why = await _asked(host, node, ask_agent)
    if why is None:
        seen.pop(host, None)
    else:
        seen[host] = why
    return why


async def _asked(host: str, node: str, ask_agent: AskAgent) -> Optional[str]:
    """What the agent of a peer that is there has against it; None where it says that it holds no data."""
    try:
        reply = await ask_agent(host, {"do": QUESTION, "from": node, "to": host}, ASK_LIMIT_MS)
    except TimeoutError:
        return f"{host} is there, and its agent gave no answer within {ASK_LIMIT_MS} ms"
    except (ChannelError, OSError) as error:
        return f"{host} is there, and its agent could not be asked: {error}"
    if reply.get("node") != host:
        return f"{host} is there, and its agent gave an answer of another node"
    if reply.get("answer") == "empty":
        return None
    return f"{host} does not say that it holds none: {reply.get('why')}"


async def objections(peers: list, node: str, ask_agent: AskAgent, seen: Optional[dict] = None) -> list:
    """Asks all at the same time."""
    found = await asyncio.gather(*(objection(peer, node, ask_agent, seen) for peer in peers))
    return [why for why in found if why is not None]

"""The way back of a fenced node: only when its target has ruled the promotion out may it be primary again."""

from __future__ import annotations

import asyncio
from typing import Awaitable, Callable

from . import arguments, deadman, peers
from .peer_channel import ChannelError

# A living target answers within some ten milliseconds: what takes time is making its record durable.
REVOKE_LIMIT_MS = 700
SQL_TRIES = 3
SQL_PAUSE_S = 0.1

# Asks the agent on a host, asks servers by SQL.
AskAgent = Callable[[str, dict, int], Awaitable[dict]]
AskServers = Callable[[list], Awaitable[list]]


def question(fence: dict, node: str) -> dict:
    """What the fenced node asks; `to` keeps it from being answered by another node than it is meant for."""
    return {"do": "revoke", "run": fence["run"], "from": node, "to": fence["upstream"]["host"]}


def run_of(content: dict, node: str) -> str:
    """The run that an authentic question is about; CommandError when it is not for this node or not understood."""
    if content.get("do") != "revoke":
        raise arguments.bad("do", "revoke", content.get("do"))
    if content.get("to") != node:
        raise arguments.bad("to", f"this node, {node}", content.get("to"))
    run = content.get("run")
    if not isinstance(run, str) or not 1 <= len(run) <= 200:
        raise arguments.bad("run", "the id of a run", run)
    return run


async def revoke(fence: dict, node: str, ask_agent: AskAgent) -> str:
    """Asks once. '' when the target has ruled out that this run promotes it, else why that is not known."""
    host = fence["upstream"]["host"]
    try:
        reply = await ask_agent(host, question(fence, node), REVOKE_LIMIT_MS)
    except TimeoutError:
        return f"{host} gave no answer within {REVOKE_LIMIT_MS} ms"
    except (ChannelError, OSError) as error:
        return f"{host} could not be asked: {error}"
    if reply.get("node") != host or reply.get("run") != fence["run"]:
        return f"{host} gave an answer that belongs to another question"
    if reply.get("answer") != "revoked":
        return f"{host} answered {reply.get('answer')!r}: {reply.get('why')}"
    return ""


async def way_back(fence: dict, node: str, addresses: list, ask_agent: AskAgent, ask_servers: AskServers) -> tuple:
    """(may be primary again, sentence part). Anything but a clear yes is a no.

    The other servers are asked at the same time as the target's agent; the target's own server afterwards, when nobody
    can ask for its promotion any more.
    """
    upstream = fence["upstream"]
    rest = asyncio.ensure_future(ask_servers([peer for peer in addresses if peer != upstream]))
    try:
        why = await revoke(fence, node, ask_agent)
        if why:
            return (False, why)
        for attempt in range(SQL_TRIES):
            if attempt:
                await asyncio.sleep(SQL_PAUSE_S)
            (target,) = await ask_servers([upstream])
            if target.standby or target.writable:
                break
        others = await rest
        told = peers.describe([target, *others])
        against = deadman.decide_fenced_expiry(target, others)
        if against:
            return (False, f"{upstream['host']} revoked run {fence['run']}, but {against} ({told})")
        return (True, f"{upstream['host']} revoked run {fence['run']} ({told})")
    finally:
        rest.cancel()

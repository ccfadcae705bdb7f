"""What role a node has, asked of its agent over the agents' channel: for when its server answers and does not say.

A server that starts, that is full, or that does not let the control role in is there all the same, and may be the primary.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Awaitable, Callable

from . import arguments
from .peer_channel import ChannelError
from .peers import Answer

ASK_LIMIT_MS = 500
QUESTION = "role"

# Asks the agent on a host.
AskAgent = Callable[[str, dict, int], Awaitable[dict]]


def answer(node: str, content: dict, state: str, standby: bool, control: dict) -> dict:
    """The answer to a peer. `state`: of the server. `standby`: it runs as one, and is not being promoted."""
    if content.get("to") != node:
        raise arguments.bad("to", f"this node, {node}", content.get("to"))
    return {
        "node": node,
        "answer": "standby" if standby else "primary",
        "state": state,
        "timeline": control["timeline"],
        "systemIdentifier": control["systemIdentifier"],
    }


async def clarify(answers: list, node: str, timeline: int, ask_agent: AskAgent) -> list:
    """The answers, each that is unclear replaced by what the node's agent says where that is clear. Never raises.

    `timeline`: of the node that asks. A primary that still recovers counts only where it is on a newer one: of two that start
    at the same time neither would else begin.
    """

    async def one(given: Answer) -> Answer:
        if not given.unclear:
            return given
        try:
            reply = await ask_agent(given.host, {"do": QUESTION, "from": node, "to": given.host}, ASK_LIMIT_MS)
        except (TimeoutError, ChannelError, OSError):
            return given
        theirs = reply.get("timeline")
        if reply.get("node") != given.host or not isinstance(theirs, int):
            return given
        state = reply.get("state")
        if reply.get("answer") == "standby":
            return replace(given, standby=state == "running")
        writable = state == "running" or (state == "starting" and theirs > timeline)
        return replace(given, writable=writable, timeline=theirs, system_identifier=reply.get("systemIdentifier"))

    return list(await asyncio.gather(*map(one, answers)))

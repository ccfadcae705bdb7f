"""Whether a full copy of another node would be whole, and could be made here: asked before one begins, and looked at after it.

What a copy leaves out is told by the agent of the node that is copied, over the agents' channel: `pg_basebackup` itself only warns. An agent
that gives no answer keeps nobody from copying; what the copy then lacks is found in what was printed, and in the copy itself.
"""

from __future__ import annotations

import asyncio
from typing import Optional

from . import arguments, base_backup, database_directories, tablespaces
from .control_session import open_control
from .first_start import AskAgent
from .peer_channel import ChannelError
from .settings import PostgresSettings
from .wire import ProtocolError, ServerError

QUESTION = "uncopied"
# The agent that is asked looks at all names below its data directory first, and has 2 s for all of it.
LOOK_LIMIT_S = 1.5
ASK_LIMIT_MS = 3000
SQL_LIMIT_S = 5
NAME_LIMIT_S = 2
# A line of the channel has room for so many.
TOLD = 5


def answer(settings: PostgresSettings, content: dict, found: dict) -> dict:
    """The answer to a node that is about to copy this one. `found`: as `Uncopied.answer` tells it."""
    if content.get("to") != settings.node:
        raise arguments.bad("to", f"this node, {settings.node}", content.get("to"))
    told: dict = {"node": settings.node, "leftOut": None, "unreadable": None}
    for name, listed in (("leftOut", "links"), ("unreadable", "files")):
        if found[name] is not None:
            all_of = found[name][listed]
            told[name] = {**found[name], listed: all_of[:TOLD], "more": found[name]["more"] + len(all_of[TOLD:])}
    return told


async def check(settings: PostgresSettings, upstream: dict, ask_agent: AskAgent) -> dict:
    """`{leftOut, unreadable, tablespaces}`: the first two as the upstream's agent tells them, None where it does not; the last those of which no
    copy can be made here, as `Places.problems`. Changes nothing. Raises what a session with the upstream raises."""
    theirs, places = await _look(settings, upstream, ask_agent)
    return {**theirs, "tablespaces": places.problems}


async def before(settings: PostgresSettings, upstream: dict, ask_agent: AskAgent) -> tuple:
    """(what is in the way of a copy, in a sentence without full stop, or None; where it puts the tablespaces)."""
    theirs, places = await _look(settings, upstream, ask_agent)
    where = upstream["host"]
    links, files = theirs["leftOut"] or {"links": []}, theirs["unreadable"] or {"files": []}
    if links["links"]:
        named = ", ".join(f"{link['path']} is a link to {link['target']}" for link in links["links"])
        if all("setting" in link for link in links["links"]):
            settings_of = ", ".join(dict.fromkeys(link["setting"] for link in links["links"]))
            lacks = f"what its settings name ({settings_of}), and not start: {named}"
            return f"A copy of {where} would lack {lacks}. Not begun; each has to name the place to which its link leads", places
        return f"A copy of {where} would lack data: {named}. Not begun; a directory has to take the place of each link", places
    if files["files"]:
        named = ", ".join(one["path"] for one in files["files"])
        return f"No copy of {where} can be made: its server may not read {named}. Not begun", places
    problem = places.sentence()
    return (f"No copy of {where} can be made here: {problem}. Not begun" if problem else None), places


async def _look(settings: PostgresSettings, upstream: dict, ask_agent: AskAgent) -> tuple:
    theirs, wanted = await asyncio.gather(
        _asked(settings, upstream, ask_agent), asyncio.wait_for(tablespaces.of(settings, upstream), SQL_LIMIT_S)
    )
    datas = [settings.data, *base_backup.replaced(settings)]
    return theirs, await asyncio.to_thread(tablespaces.places, settings, wanted, datas)


async def _asked(settings: PostgresSettings, upstream: dict, ask_agent: AskAgent) -> dict:
    host = upstream["host"]
    nothing = {"leftOut": None, "unreadable": None}

    async def by(name: str) -> Optional[dict]:
        reply = await ask_agent(host, {"do": QUESTION, "from": settings.node, "to": name}, ASK_LIMIT_MS)
        return reply if reply.get("node") == name else None

    try:
        reply = await by(host)
        if reply is None:
            # The host is an address, or another name of the node: its server tells its own.
            name = await name_of(settings, upstream)
            reply = await by(name) if name not in ("", host) else None
    except (TimeoutError, ChannelError, ServerError, ProtocolError, OSError, EOFError):
        return nothing
    if reply is None:
        return nothing
    return {name: reply.get(name) if isinstance(reply.get(name), dict) else None for name in nothing}


async def name_of(settings: PostgresSettings, upstream: dict) -> str:
    """The node's name, with which its agent starts the server; empty where somebody took it away. Raises what a session raises."""

    async def asked() -> str:
        session = await open_control(upstream["host"], upstream["port"], settings.ha_user, settings.ha_password)
        try:
            (row,) = await session.query("SHOW cluster_name")
            return row["cluster_name"] or ""
        finally:
            session.close()

    return await asyncio.wait_for(asked(), NAME_LIMIT_S)


async def databases(settings: PostgresSettings, upstream: dict) -> set:
    """(number, number of its tablespace) of each database of the upstream."""

    async def asked() -> set:
        session = await open_control(upstream["host"], upstream["port"], settings.ha_user, settings.ha_password)
        try:
            return set(await database_directories.of(session))
        finally:
            session.close()

    return await asyncio.wait_for(asked(), SQL_LIMIT_S)


async def lacking(settings: PostgresSettings, upstream: dict, known: set, told: Optional[str]) -> Optional[str]:
    """What the copy that was just made lacks, in a sentence, by what `pg_basebackup` printed and by what is there.

    `known`: the databases before it. Those that are there still have to be in it, wherever they lie.
    """
    skipped = base_backup.left_out(told)
    if skipped:
        return base_backup.left_out_sentence(skipped)
    try:
        still = known & await databases(settings, upstream)
    except (ServerError, ProtocolError, OSError, EOFError, asyncio.TimeoutError):
        # One that was dropped meanwhile can't be told from one that is lacking.
        return None
    absent = await asyncio.to_thread(database_directories.absent, base_backup.side_directory(settings), still)
    if not absent:
        return None
    named = ", ".join(sorted(oid for oid, _space in absent)[:12])
    return f"The copy lacks the directories of databases that are on the upstream: {named}. It is not used"

"""Databases whose directory is not there: a server goes on without it, and only who asks for that very database is told.

A copy leaves one out that is a link, and a standby made of it replays and confirms like any other.
"""

from __future__ import annotations

import asyncio
import os
from typing import Optional

from . import tablespaces
from .wire import Connection

DEFAULT_TABLESPACE = "1663"
# A database that is being dropped has lost its directory first: -2.
_QUESTION = "SELECT oid, datname AS name, dattablespace AS space FROM pg_database WHERE datconnlimit <> -2"
TOLD = 12
LIMIT_S = 2


async def of(session: Connection) -> dict:
    """Names of the server's databases, by (number, number of its tablespace)."""
    return {(row["oid"], row["space"]): row["name"] for row in await session.query(_QUESTION)}


def absent(data: str, databases: set) -> set:
    """Those of these databases whose directory a data directory lacks, wherever it should lie."""
    return {(oid, space) for oid, space in databases if not _is_there(data, oid, space)}


def _is_there(data: str, oid: str, space: str) -> bool:
    if space == DEFAULT_TABLESPACE:
        return os.path.isfile(os.path.join(data, "base", oid, "PG_VERSION"))
    folder = os.path.join(data, tablespaces.DIRECTORY, space)
    try:
        inside = os.listdir(folder)
    except OSError:
        return False
    return any(os.path.isfile(os.path.join(folder, name, oid, "PG_VERSION")) for name in inside if name.startswith("PG_"))


async def lacking(data: str, session: Connection) -> Optional[dict]:
    """`{databases: [{oid, name}], more}`: of the server that runs on this data directory. One that was dropped or moved meanwhile is none.
    None where it is not known. Never raises."""
    try:
        before = await asyncio.wait_for(of(session), LIMIT_S)
        found = await asyncio.to_thread(absent, data, set(before))
        if found:
            found &= set(await asyncio.wait_for(of(session), LIMIT_S))
            found = await asyncio.to_thread(absent, data, found)
    except Exception:  # noqa: BLE001 - a question beside others: without an answer nothing is told
        return None
    told = [{"oid": oid, "name": before[oid, space]} for oid, space in sorted(found)]
    return {"databases": told[:TOLD], "more": max(0, len(told) - TOLD)}

"""The progress of replication origins, as the last checkpoint wrote it: what a start takes up before anything else of its recovery.

A logical subscriber has an origin for each subscription, and loaders make some by hand. A start for which there are too many, or which can't
read the file, is a PANIC, and a copy of the node has the same file.
"""

from __future__ import annotations

import asyncio
import os
import struct
from typing import Optional

from .control_file import crc32c
from .wire import Connection

FILE = "pg_logical/replorigin_checkpoint"
LIMIT_S = 3
# replication/logical/origin.c of PostgreSQL 17: magic, a ReplicationStateOnDisk for each origin, CRC-32C of both.
_MAGIC = 0x1257DADE
_NUMBER = 4
_STATE = 16
# In older versions the room for slots is that for origins, too.
_ROOM_SINCE = 18


class DamagedError(Exception):
    """A start would end at this file. Says why, after its name."""


async def in_force(session: Connection) -> Optional[int]:
    """How many origins have progress in the running server; None where that is not known. `session`: the superuser's. Never raises."""
    try:
        (row,) = await asyncio.wait_for(session.query("SELECT count(*) AS origins FROM pg_replication_origin_status"), LIMIT_S)
        return int(row["origins"])
    except Exception:  # noqa: BLE001 - a question beside others: without an answer nothing is told
        return None


def count(data: str) -> int:
    """How many origins the file of a data directory has; 0 without one. Raises DamagedError."""
    try:
        with open(os.path.join(data, FILE), "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise DamagedError(f"can't be read: {error.strerror}") from error
    if len(content) < 2 * _NUMBER or (len(content) - 2 * _NUMBER) % _STATE:
        raise DamagedError(f"has {len(content)} bytes, which is no number of origins")
    (magic,), (told,) = struct.unpack("=I", content[:_NUMBER]), struct.unpack("=I", content[-_NUMBER:])
    if magic != _MAGIC:
        raise DamagedError("begins otherwise than such a file")
    if told != crc32c(content[:-_NUMBER]):
        raise DamagedError("has another checksum than it says")
    return (len(content) - 2 * _NUMBER) // _STATE


def problem(data: str, values: dict, version: int) -> Optional[str]:
    """Why a start with these settings, by name as text, would not take up the origins. `version`: PostgreSQL's major version."""
    name = "max_active_replication_origins" if version >= _ROOM_SINCE else "max_replication_slots"
    try:
        room = int(values.get(name, "10"))
    except ValueError:
        return None
    # With none the file is not read.
    if room == 0:
        return None
    try:
        origins = count(data)
    except DamagedError as error:
        return f"{FILE} {error}: a start would end there"
    if origins <= room:
        return None
    return f"{name} is {room}, and {FILE} has the progress of {origins} replication origins"


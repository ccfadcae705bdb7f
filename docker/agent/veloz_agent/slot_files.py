"""Replication slots as they lie on the disk: what a start has to take up before it lets anybody in."""

from __future__ import annotations

import os
import struct
from typing import NamedTuple, Optional

DIRECTORY = "pg_replslot"
# ReplicationSlotOnDisk of PostgreSQL 17 (replication/slot.c): magic, checksum, version, length; then
# ReplicationSlotPersistentData (replication/slot.h): the name in 64 bytes, the database's oid, the persistency.
_MAGIC = 0x1051CA1
_DATABASE_AT = 80
_SIZE = 88
_PERSISTENT = 0


class Slot(NamedTuple):
    """A slot that outlives its server. `logical`: it belongs to a database."""

    name: str
    logical: bool


def read(data: str) -> list:
    """The slots of a data directory. A file that is none, or of another layout, is left to PostgreSQL to speak of."""
    directory = os.path.join(data, DIRECTORY)
    found = []
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
        # One that is being made, which a start removes.
        slot = None if name.endswith(".tmp") else _slot(os.path.join(directory, name), name)
        if slot:
            found.append(slot)
    return found


def junk(data: str) -> list:
    """The directories there that hold no slot: of one without a state that it can read a start makes a PANIC, and a running server feels nothing."""
    directory = os.path.join(data, DIRECTORY)
    found = []
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
        path = os.path.join(directory, name)
        # A slot that is dropped or made meanwhile has another name until it is gone or whole, so that its directory goes with its state.
        if not name.endswith(".tmp") and not os.path.islink(path) and not _is_slot(path) and os.path.isdir(path):
            found.append(name)
    return found


def _is_slot(path: str) -> bool:
    try:
        with open(os.path.join(path, "state"), "rb") as file:
            head = file.read(_SIZE)
    except OSError:
        return False
    return len(head) == _SIZE and struct.unpack_from("=I", head)[0] == _MAGIC


def _slot(path: str, name: str) -> Optional[Slot]:
    try:
        with open(os.path.join(path, "state"), "rb") as file:
            head = file.read(_SIZE)
    except OSError:
        # Dropped meanwhile.
        return None
    if len(head) < _SIZE or struct.unpack_from("=I", head)[0] != _MAGIC:
        return None
    database, persistency = struct.unpack_from("=II", head, _DATABASE_AT)
    return Slot(name, database != 0) if persistency == _PERSISTENT else None


def problem(slots: list, room: int, wal_level: str) -> Optional[str]:
    """Why a start with these settings would not take up these slots. `room`: max_replication_slots."""
    if len(slots) > room:
        names = ", ".join(slot.name for slot in slots)
        return f"max_replication_slots is {room}, and there are {len(slots)} replication slots: {names}"
    level = wal_level.lower()
    logical = [slot.name for slot in slots if slot.logical]
    if logical and level != "logical":
        return f"wal_level is {level}, and logical replication slots need logical: {', '.join(logical)}"
    if slots and level == "minimal":
        return f"wal_level is minimal, and there are replication slots: {', '.join(slot.name for slot in slots)}"
    return None

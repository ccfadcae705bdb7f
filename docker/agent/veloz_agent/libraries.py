"""Libraries that functions of the databases name, and that this container lacks.

An extension is part of the data, and a standby gets it; its library is part of the image. Nothing asks a standby for the file
until it is the primary.
"""

from __future__ import annotations

import asyncio
import os
from typing import Optional

from . import control_database
from .kept import Kept
from .settings import PostgresSettings

# Each look opens a session in each database.
KEPT_S = 60
LIMIT_S = 3
DATABASES = 20
TOLD = 12

_DATABASES = (
    "SELECT datname, current_setting('dynamic_library_path') AS path FROM pg_database WHERE datallowconn ORDER BY oid DESC"
)
# What a new database system brings along belongs to the server itself.
_LIBRARIES = "SELECT DISTINCT probin FROM pg_proc WHERE probin IS NOT NULL AND oid >= 16384"


def found(name: str, path: str, settings: PostgresSettings) -> bool:
    """As the server looks for it: as it is named, and with the ending of a library."""
    libdir = os.path.join(os.path.dirname(settings.bin), "lib")
    folders = [""] if "/" in name else [folder for folder in path.split(":") if folder]
    for folder in folders:
        # A relative name counts from the data directory, where the server runs.
        whole = os.path.join(settings.data, os.path.join(folder, name).replace("$libdir", libdir, 1))
        if os.path.isfile(whole) or os.path.isfile(f"{whole}.so"):
            return True
    return False


def _is_well(told: Optional[dict]) -> bool:
    # Without an answer there is most likely a server that starts, or one that is busy.
    return told is None or not told["missing"]


class Libraries:
    """Asks, and keeps what it found."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings
        self._kept = Kept(self._look_in_time, _is_well, KEPT_S)

    async def answer(self) -> Optional[dict]:
        """`{missing: [{database, library}], unasked: [database]}`; None where it is not known. Never raises."""
        return await self._kept.answer()

    async def _look_in_time(self) -> Optional[dict]:
        try:
            return await asyncio.wait_for(self._look(), LIMIT_S)
        except Exception:  # noqa: BLE001 - a question beside others: without an answer nothing is told
            return None

    async def _ask(self, database: str, sql: str) -> list:
        names = (database,) if database else ()
        session = await control_database.superuser(self._settings, *names)
        try:
            return await session.query(sql)
        finally:
            session.close()

    async def _look(self) -> dict:
        rows = await self._ask("", _DATABASES)
        # That of the application first.
        names = sorted((row["datname"] for row in rows), key=lambda name: name != self._settings.database)
        missing, unasked = [], names[DATABASES:]
        for database in names[:DATABASES]:
            try:
                named = [row["probin"] for row in await self._ask(database, _LIBRARIES)]
            except Exception:  # noqa: BLE001 - dropped meanwhile, or closed
                unasked.append(database)
                continue
            lacking = await asyncio.to_thread(
                lambda names: [name for name in names if not found(name, rows[0]["path"], self._settings)], named
            )
            missing += [{"database": database, "library": name} for name in sorted(lacking)]
        return {"missing": missing[:TOLD], "unasked": unasked}

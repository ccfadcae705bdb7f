"""Libraries that functions of the databases name, and that this container lacks.

An extension is part of the data, and a standby gets it; its library is part of the image. Nothing asks a standby for the file
until it is the primary.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Optional

from . import control_database
from .settings import PostgresSettings

# Each look opens a session in each database.
KEPT_S = 60
# Somebody mends it.
KEPT_MISSING_S = 10
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


class Libraries:
    """Asks, and keeps what it found: several workers ask."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._found: Optional[dict] = None
        self._at: Optional[float] = None

    async def answer(self) -> Optional[dict]:
        """`{missing: [{database, library}], unasked: [database]}`; None where it is not known. Never raises."""
        async with self._lock:
            if self._at is None or time.monotonic() - self._at > self._kept_s():
                try:
                    self._found = await asyncio.wait_for(self._look(), LIMIT_S)
                except Exception:  # noqa: BLE001 - a question beside others: without an answer nothing is told
                    self._found = None
                self._at = time.monotonic()
            return self._found

    def _kept_s(self) -> float:
        return KEPT_MISSING_S if self._found and self._found["missing"] else KEPT_S

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

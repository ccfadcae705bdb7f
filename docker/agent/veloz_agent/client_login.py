"""Whether a client would be let in by a node, and could write there: tried as PgBouncer would, as its user, in its database.

A standby's own access rules, settings and libraries count only once it is the primary. This asks while another one is.
"""

from __future__ import annotations

import asyncio
import time

from . import arguments
from .settings import PgBouncerSettings
from .wire import Connection, LoginError, ServerError

# The second try is for a node that was only slow.
LIMITS_S = (1, 1.5)
# Several workers ask, and a login may run what an application has for it.
KEPT_S = 3
# A server tells it at each login (since PostgreSQL 14). A statement would meet the clients' own settings: a standby, for one, runs
# nothing under `serializable`, and a primary does.
_READ_ONLY = "default_transaction_read_only"


class ClientLogin:
    """Tries, and keeps what it found for a moment."""

    def __init__(self, settings: PgBouncerSettings) -> None:
        self._settings = settings
        self._kept: dict = {}

    async def answer(self, message: dict) -> dict:
        """The command `tryClient`."""
        addresses = arguments.addresses(message.get("addresses"), "addresses")
        answers = await asyncio.gather(*(self._one(address) for address in addresses))
        return {"user": self._settings.user, "database": self._settings.database, "answers": list(answers)}

    async def _one(self, address: dict) -> dict:
        key = (address["host"], address["port"])
        at, found = self._kept.get(key, (None, {}))
        if at is None or time.monotonic() - at > KEPT_S:
            found = await self._try(address)
            self._kept[key] = (time.monotonic(), found)
        return found

    async def _try(self, address: dict) -> dict:
        """`ok` None: nobody answered in time. `code`: the SQLSTATE of a refusal. `readOnly`: transactions are, unless they say otherwise."""
        none = {**address, "ok": None, "code": None, "readOnly": None}
        problem = ""
        for limit_s in LIMITS_S:
            try:
                value = await asyncio.wait_for(self._ask(address), limit_s)
                return {**none, "ok": True, "readOnly": value == "on", "problem": None}
            except asyncio.TimeoutError:
                problem = f"no answer within {limit_s} s"
            except ServerError as error:
                return {**none, "ok": False, "code": error.code, "problem": str(error)}
            except LoginError as error:
                return {**none, "ok": False, "problem": str(error)}
            except Exception as error:  # noqa: BLE001 - whatever is wrong with a node must not become ours
                problem = str(error) or type(error).__name__
        return {**none, "problem": problem}

    async def _ask(self, address: dict) -> str:
        s = self._settings
        session = await Connection.open(
            address["host"], address["port"], s.user, s.password, s.database, {"application_name": "veloz-ha client"}
        )
        session.close()
        return session.reported[_READ_ONLY]

"""Whether a client would be let in by a node, and could write there: tried as PgBouncer would, as its user, in its database.

A standby's own access rules, settings and libraries count only once it is the primary. This asks while another one is.
"""

from __future__ import annotations

import asyncio

from . import arguments
from .errors import CommandError
from .kept import Kept
from .pgbouncer_console import TROUBLE, Console
from .settings import PgBouncerSettings
from .wire import Connection, LoginError, ServerError

# The second try is for a node that was only slow.
LIMITS_S = (1, 1.5)
# PgBouncer's console answers within a millisecond; without its answer its default counts.
CONSOLE_LIMIT_S = 0.3
# A server tells it at each login (since PostgreSQL 14). A statement would meet the clients' own settings: a standby, for one, runs
# nothing under `serializable`, and a primary does.
_READ_ONLY = "default_transaction_read_only"


def _is_well(found: dict) -> bool:
    return found["ok"] is True and found["readOnly"] is False


class ClientLogin:
    """Tries, and keeps what it found for a moment."""

    def __init__(self, settings: PgBouncerSettings, console: Console) -> None:
        self._settings = settings
        self._console = console
        self._kept: dict = {}

    async def answer(self, message: dict) -> dict:
        """The command `tryClient`. `keptMs`: how old an answer may be in which all was well, for whoever asks all the time."""
        addresses = arguments.addresses(message.get("addresses"), "addresses")
        kept_s = arguments.milliseconds(message, "keptMs") / 1000 if "keptMs" in message else 0
        answers = await asyncio.gather(*(self._of(address).answer(kept_s) for address in addresses))
        return {"user": self._settings.user, "database": self._settings.database, "answers": list(answers)}

    async def _tls(self) -> str:
        """Whether PgBouncer asks a server for TLS: a node may let clients in only so, or only without."""
        try:
            rows = await asyncio.wait_for(self._console.ask("SHOW CONFIG"), CONSOLE_LIMIT_S)
        except (CommandError, *TROUBLE):
            rows = []
        mode = next((row["value"] for row in rows if row["key"] == "server_tls_sslmode"), "prefer")
        # To PgBouncer `allow` is `prefer`. What certificate a node has is not looked at here.
        return {"disable": "disable", "allow": "prefer", "prefer": "prefer"}.get(mode, "require")

    def _of(self, address: dict) -> Kept[dict]:
        key = (address["host"], address["port"])
        if key not in self._kept:
            self._kept[key] = Kept(lambda: self._try(address), _is_well)
        return self._kept[key]

    async def _try(self, address: dict) -> dict:
        """`ok` None: nobody answered in time. `code`: the SQLSTATE of a refusal. `readOnly`: transactions are, unless they say otherwise."""
        none = {**address, "ok": None, "code": None, "readOnly": None}
        problem = ""
        tls = await self._tls()
        for limit_s in LIMITS_S:
            try:
                value = await asyncio.wait_for(self._ask(address, tls), limit_s)
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

    async def _ask(self, address: dict, tls: str) -> str:
        s = self._settings
        session = await Connection.open(
            address["host"],
            address["port"],
            s.user,
            s.password,
            s.database,
            {"application_name": "veloz-ha client"},
            tls,
        )
        session.close()
        return session.reported[_READ_ONLY]

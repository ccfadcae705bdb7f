"""Whether this node could begin to replicate from each other node now: as its WAL receiver would, by the replication role.

A session that streams goes on whatever is done to its role and to the role's password; the next one is asked for them. So only a new
one tells whether a node that ends could come back as a standby.
"""

from __future__ import annotations

import asyncio
from typing import Optional

from .control_session import open_session
from .kept import Kept
from .settings import PostgresSettings
from .wire import LoginError, ServerError

# The first try, and a second one for a peer that was only slow.
LIMITS_S = (1, 1.5)


def _is_well(found: list) -> bool:
    return all(peer["ok"] is True for peer in found)


class ReplicationPath:
    """Tries, and keeps what it found for a moment."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings
        self._kept = Kept(self._try, _is_well)

    async def answer(self, kept_s: float = 0) -> list:
        """`[{host, port, ok, problem}]`, one for each peer; never raises. `ok` is None where the peer gave no answer in time.

        `kept_s`: how old an answer may be in which all was well.
        """
        return await self._kept.answer(kept_s)

    async def _try(self) -> list:
        return list(await asyncio.gather(*(self._peer(peer) for peer in self._settings.peers)))

    async def _peer(self, peer: dict) -> dict:
        ok: Optional[bool] = None
        problem: Optional[str] = None
        for limit_s in LIMITS_S:
            try:
                await asyncio.wait_for(self._identify(peer), limit_s)
                return {**peer, "ok": True, "problem": None}
            except asyncio.TimeoutError:
                ok, problem = None, f"no answer within {limit_s} s"
            except ServerError as error:
                # A server that starts or ends says nothing of whom it lets in.
                ok, problem = (None if error.code.startswith("57P") else False), str(error)
                break
            except LoginError as error:
                ok, problem = False, str(error)
                break
            except Exception as error:  # noqa: BLE001 - a question beside others
                ok, problem = None, str(error) or type(error).__name__
                break
        return {**peer, "ok": ok, "problem": problem}

    async def _identify(self, peer: dict) -> None:
        s = self._settings
        session = await open_session(
            peer["host"], peer["port"], s.repl_user, s.repl_password, "replication", {"replication": "true"}
        )
        try:
            await session.query("IDENTIFY_SYSTEM")
        finally:
            session.close()

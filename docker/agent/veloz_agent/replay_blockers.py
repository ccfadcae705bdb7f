"""Ends the readers that hold replay up, when a promotion waits for it.

A standby replays all that it received before it takes its first write. With `max_standby_streaming_delay = -1` it waits for a
reader in its way for as long as that reads: a promotion for ever. The server itself looks at none of its settings while it waits.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Callable

from . import control_database
from .log import log
from .settings import PostgresSettings

# A promotion without a reader in its way is through by then, and is spared the session that this opens.
FIRST_LOOK_S = 0.1
# A wait that is there in two looks is more than a moment's.
EVERY_S = 0.03
AGAIN_S = 0.5
# How long a session that is ended may take.
ENDS_S = 0.01

_WAITS = (
    "SELECT pid::text, wait_event_type AS kind, wait_event AS event, pg_last_wal_replay_lsn()::text AS replayed "
    "FROM pg_stat_activity WHERE backend_type = 'startup' AND (wait_event LIKE 'RecoveryConflict%' "
    "OR wait_event_type IN ('BufferPin', 'Lock'))"
)


def _in_the_way(wait: dict, count: int, ha_user: str) -> str:
    if wait["kind"] == "Lock":
        # pg_blocking_pids() knows nothing of the process that replays.
        pids = (
            "SELECT DISTINCT o.pid FROM pg_locks w JOIN pg_locks o ON o.granted AND o.pid <> w.pid AND o.locktype = w.locktype "
            "AND o.database IS NOT DISTINCT FROM w.database AND o.relation IS NOT DISTINCT FROM w.relation "
            f"WHERE w.pid = {int(wait['pid'])} AND NOT w.granted"
        )
    else:
        # Whose snapshot it is does not show. The oldest is in the way for sure, and the control role's own reads are short.
        pids = (
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() "
            "AND (backend_xmin IS NOT NULL OR xact_start IS NOT NULL) "
            f"ORDER BY usename = {control_database.literal(ha_user)}, age(backend_xmin) DESC NULLS LAST, xact_start LIMIT {count}"
        )
    return f"SELECT pid::text, pg_terminate_backend(pid)::text AS ended FROM ({pids}) b WHERE pid > 0"


async def end_while(settings: PostgresSettings, wanted: Callable[[], bool], first_look_s: float = FIRST_LOOK_S) -> int:
    """For as long as `wanted`: ends who is in the way of replay, and nobody where replay goes on. Returns how many."""
    ended = 0
    await asyncio.sleep(first_look_s)
    while wanted():
        try:
            session = await control_database.superuser(settings)
        except Exception:  # noqa: BLE001 - a server that takes nobody yet has no readers either
            await asyncio.sleep(AGAIN_S)
            continue
        try:
            ended += await _watch(session, settings.ha_user, wanted)
            return ended
        except Exception as error:  # noqa: BLE001 - the promotion is waited for all the same, and it is looked again
            log("warn", f"Who holds replay up could not be seen: {error!r}")
            await asyncio.sleep(AGAIN_S)
        finally:
            session.close()
    return ended


def _wake(pid: int) -> None:
    """The process that replays sleeps for up to a second before it looks again. This interrupts it, and it reads its settings."""
    try:
        os.kill(pid, signal.SIGHUP)
    except OSError:
        # It ended meanwhile: the promotion is through.
        pass


async def _watch(session, ha_user: str, wanted: Callable[[], bool]) -> int:
    before, ended, count = None, 0, 1
    while wanted():
        rows = await asyncio.wait_for(session.query(_WAITS), 5)
        wait = rows[0] if rows else None
        if wait is not None and wait == before:
            found = await asyncio.wait_for(session.query(_in_the_way(wait, count, ha_user)), 5)
            pids = [row["pid"] for row in found if row["ended"] == "true"]
            if pids:
                log("warn", f"Ended sessions that held replay up ({wait['event']}): {', '.join(pids)}.")
            ended += len(pids)
            await asyncio.sleep(ENDS_S)
            _wake(int(wait["pid"]))
            # Many readers of one table are not ended one by one.
            count = min(count * 2, 64)
        elif wait is None:
            count = 1
        before = wait
        await asyncio.sleep(EVERY_S)
    return ended

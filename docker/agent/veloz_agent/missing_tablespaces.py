"""Directories of tablespaces that a standby is about to look for: made before it starts.

A primary's CREATE TABLESPACE wants the directory, and makes none; the standby that replays it ends, at each start anew, until somebody makes
the directory there as well. Which ones those are the upstream says, and, where it is silent or has dropped them since, the WAL that the standby
has to replay.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from typing import Optional

from . import tablespaces, wal
from .control_file import read_control
from .log import log
from .settings import PostgresSettings
from .wal_end import WalReader
from .wire import ProtocolError, ServerError

# A start waits for it.
ASK_LIMIT_S = 1
READ_LIMIT_S = 20
# The start is in vain then, and what it takes to read the WAL is no loss; but a server ends for other reasons as well, and once they are
# mended each read would keep it down.
READ_AT = (2, 3)
READ_EACH = 5
_CREATED = re.compile(rb'desc: CREATE \d+ "(/[^\n]*)"')


async def make(settings: PostgresSettings, upstream: Optional[dict], reader: WalReader, crashes: int) -> None:
    """Raises nothing that a start would not survive. `crashes`: how often the server has ended by itself in a row. A link that leads nowhere is left: what lay there is lost."""
    paths: set = set()
    if upstream is not None:
        try:
            paths |= set((await asyncio.wait_for(tablespaces.of(settings, upstream), ASK_LIMIT_S)).values())
        except (ServerError, ProtocolError, OSError, EOFError, asyncio.TimeoutError):
            # Gone, or it starts itself.
            pass
    if crashes in READ_AT or (crashes > 0 and crashes % READ_EACH == 0):
        paths |= await _in_wal(settings, reader)
    known = set(tablespaces.links(settings.data).values())
    made, failed = await asyncio.to_thread(tablespaces.make, sorted(paths - known))
    if made:
        log("warn", f"Made directories of tablespaces, without which this standby would end: {', '.join(made)}.")
    if failed:
        log("error", f"This standby ends where it replays a tablespace whose directory can't be made: {'; '.join(failed)}.")


async def _in_wal(settings: PostgresSettings, reader: WalReader) -> set:
    try:
        async with asyncio.timeout(READ_LIMIT_S):
            return await created(reader, read_control(settings.data, settings.bin))
    except (OSError, ValueError, KeyError, subprocess.SubprocessError, TimeoutError) as error:
        log("warn", f"Which tablespaces this standby has to replay could not be read: {error!r}")
        return set()


async def created(reader: WalReader, control: dict) -> set:
    """Paths of the tablespaces that are made in the WAL from the last checkpoint's redo position on, on its timeline and on newer ones."""
    found: set = set()
    own = control["checkpointTimeline"]
    for timeline in wal.timelines(reader.pg_wal):
        if timeline < own:
            break
        start = control["redoLsn"] if timeline == own else reader.begins(timeline)
        end = start and await reader.end_of_timeline(timeline, start)
        if end:
            told = await reader.told(timeline, start, end, "--rmgr=Tablespace")
            found |= {path.decode("utf-8", "surrogateescape") for path in _CREATED.findall(told)}
    return found

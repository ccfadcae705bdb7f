"""The two jobs that make a stopped node a standby again: a rewind, and a full copy."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from typing import Optional

from . import base_backup, comparison, control_database, copy_check, quarantine, tablespaces
from .bootstrap import ensure_slot
from .control_file import read_control
from .errors import CommandError
from .first_start import AskAgent
from .jobs import Job, JobError, Jobs, conninfo
from .log import log
from .node_files import NodeFiles
from .settings import PostgresSettings
from .wal_end import WalReader

SLOT_LIMIT_MS = 5000
# The upstream notices after wal_sender_timeout, 5 s, that a session is gone.
SLOT_TAKEN_S = 10
# A copy needs this much more than its databases have now.
ROOM = 1.1


class RejoinJobs:
    """Carries them out; the node is fenced for good meanwhile, and its server can't be started. `ask_agent` asks the agent of another node."""

    def __init__(
        self, settings: PostgresSettings, files: NodeFiles, reader: WalReader, jobs: Jobs, ask_agent: AskAgent
    ) -> None:
        self._ask_agent = ask_agent
        self._settings = settings
        self._files = files
        self._reader = reader
        self._jobs = jobs

    def _about(self, job: Job, upstream: dict) -> dict:
        return {
            "kind": job.kind,
            "run": job.run,
            "node": self._settings.node,
            "upstream": upstream,
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }

    async def _keep(
        self, job: Job, upstream: dict, lost_from: Optional[tuple], end: Optional[str], unknown: bool = False
    ) -> None:
        await self._jobs.enter(job, "keeping evidence")
        s = self._settings
        folder, lost = await quarantine.keep(
            s.own, s.data, self._reader, self._about(job, upstream), lost_from, end, unknown
        )
        # What the job before this one found is no longer there to be found.
        if job.lost is None or (lost is not None and lost["complete"]):
            job.quarantine, job.lost = folder, lost

    # Rewind.

    async def rewind(self, job: Job, upstream: dict, diverged_at: str, diverged_timeline: int) -> None:
        s = self._settings
        await asyncio.to_thread(base_backup.give_up, s)
        await ensure_slot(s, upstream, SLOT_LIMIT_MS)
        _, end = await self._reader.end(read_control(s.data, s.bin))
        await self._keep(job, upstream, (diverged_timeline, diverged_at), end)
        ours = base_backup.own_settings(s.data)
        database = await control_database.for_rewind(s, upstream)
        await self._make_tablespaces(upstream)
        await self._jobs.enter(job, "pg_rewind")
        await asyncio.to_thread(self._files.mark_rewind)
        # pg_rewind lets a server in single-user mode do the crash recovery, which refuses with the signal; that the
        # node is fenced stands in the agent's own state.
        await asyncio.to_thread(self._files.remove_signal)
        try:
            await self._jobs.tool(
                job,
                upstream,
                [
                    "pg_rewind", "-D", s.data, "-P", f"--source-server={conninfo(s, upstream, database)}",
                    f"--config-file={s.rewind_config_file}",
                ],
            )  # fmt: skip
        except JobError:
            if not self._jobs.told("need to copy"):
                # It had changed nothing but finished the crash recovery: this is still a database.
                await asyncio.to_thread(self._files.write_signal)
                await asyncio.to_thread(self._files.unmark_rewind)
            raise
        await self._jobs.enter(job, "finishing")
        await asyncio.to_thread(self._finish_rewind, upstream, ours)

    async def _make_tablespaces(self, upstream: dict) -> None:
        """pg_rewind makes links to the upstream's new tablespaces, and no directories for them."""
        wanted = await asyncio.wait_for(tablespaces.of(self._settings, upstream), copy_check.SQL_LIMIT_S)
        made, failed = await asyncio.to_thread(tablespaces.make, list(wanted.values()))
        if failed:
            raise JobError(f"Directories of tablespaces are not there and can't be made: {'; '.join(failed)}. Make them.")
        if made:
            log("info", f"Made directories of tablespaces: {', '.join(made)}.")

    def _finish_rewind(self, upstream: dict, ours: str) -> None:
        base_backup.keep_own_settings(self._settings.data, ours)
        self._files.write_upstream(upstream)
        self._files.write_signal()
        self._files.unmark_rewind()

    # Copy.

    async def copy(self, job: Job, upstream: dict, diverged: Optional[tuple] = None) -> None:
        """`diverged`: (timeline, LSN) from which on the local WAL is known to be none of the upstream's."""
        s = self._settings
        await asyncio.to_thread(base_backup.finish, s, self._files)
        await asyncio.to_thread(base_backup.set_aside, s)
        await asyncio.to_thread(base_backup.remove_discarded, s)
        problem, places = await copy_check.before(s, upstream, self._ask_agent)
        if problem:
            raise JobError(f"{problem}.")
        needed = round(ROOM * await asyncio.wait_for(comparison.upstream_size(s, upstream), 5))
        disk = os.statvfs(s.volume)
        free = disk.f_bavail * disk.f_frsize
        if needed > free:
            kept = base_backup.replaced(s)
            hint = f" Directories of earlier copies are still there: {', '.join(kept)}; discard them." if kept else ""
            raise JobError(
                f"The copy needs about {needed} bytes beside the present data, and {free} bytes are free on the "
                f"volume; make room and copy again.{hint}"
            )
        if os.path.isdir(s.data) and os.listdir(s.data):
            await self._keep_before_copy(job, upstream, diverged)
        # The slot first: without it the copy could end without the WAL that it needs next.
        await ensure_slot(s, upstream, SLOT_LIMIT_MS)
        known = await copy_check.databases(s, upstream)
        await self._jobs.enter(job, "pg_basebackup")
        told = await self._base_backup(job, upstream, places.beside)
        lacks = await copy_check.lacking(s, upstream, known, told)
        if lacks:
            raise JobError(f"{lacks}.")
        await self._jobs.enter(job, "putting the copy in place")
        await asyncio.to_thread(base_backup.put_in_place, s, self._files, upstream, places.beside)

    async def _base_backup(self, job: Job, upstream: dict, beside: dict) -> str:
        """What it printed. The slot may still be taken by a session of this node that ended without a word."""
        patience = time.monotonic() + SLOT_TAKEN_S
        while True:
            try:
                return await self._jobs.tool(job, upstream, base_backup.command(self._settings, upstream, beside))
            except JobError as error:
                if "is active for PID" not in str(error) or time.monotonic() > patience:
                    raise
            await asyncio.sleep(0.5)
            await asyncio.to_thread(base_backup.set_aside, self._settings)

    async def _keep_before_copy(self, job: Job, upstream: dict, diverged: Optional[tuple]) -> None:
        """What is lost is found out as far as the old data can still be read: it may be the very thing that broke."""
        lost_from = end = None
        unknown = True
        try:
            compared = await comparison.compare(self._settings, self._files, self._reader, upstream)
            end = compared["local"]["walEnd"]
            if not compared["local"]["rewindBegun"]:
                told = diverged if comparison.beyond(end, diverged) else None
                found = comparison.divergence(compared)
                apart = comparison.apart(compared)
                # Of two primaries on one timeline the run knows both histories, and this node only its own beginning.
                lost_from = (told or found) if apart else (found or told)
                unknown = end is None or (apart and lost_from is None)
        except (CommandError, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            log("warn", f"What is lost could not be found out: {error}", run=job.run)
        try:
            await self._keep(job, upstream, lost_from, end, unknown)
        except (OSError, ValueError) as error:
            # All of it stays beside the copy until it is discarded.
            log("error", f"The evidence could not be kept in quarantine: {error}", run=job.run)
            if job.lost is None and (lost_from or unknown):
                job.lost = {**quarantine.UNKNOWN, "kept": False}

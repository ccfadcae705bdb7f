"""Making a stopped PostgreSQL node a standby again: looking, rewinding, copying, and throwing the old data away."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from typing import Awaitable, Callable

from . import arguments, base_backup, comparison, copy_check, statefile, wal
from .bootstrap import Bootstrap
from .control_file import read_control
from .errors import CommandError
from .fencing import Fencing
from .jobs import Job
from .log import log
from .rejoin_jobs import RejoinJobs
from .settings import PostgresSettings
from .wal_end import WalReader
from .wire import ProtocolError, ServerError


class Rejoining(Fencing):
    """The commands `compare`, `checkCopy`, `walEnd`, `rewind`, `copy` and `discard`."""

    def __init__(self, settings: PostgresSettings) -> None:
        super().__init__(settings)
        self.wal_reader = WalReader(self.processes, settings.bin, settings.data)
        self.rejoin_jobs = RejoinJobs(settings, self.files, self.wal_reader, self.jobs, self._ask_agent)

    async def compare(self, message: dict) -> dict:
        upstream = arguments.address(message.get("upstream"), "upstream")
        return await comparison.compare(self.settings, self.files, self.wal_reader, upstream)

    async def check_copy(self, message: dict) -> dict:
        upstream = arguments.address(message.get("upstream"), "upstream")
        try:
            return await copy_check.check(self.settings, upstream, self._ask_agent)
        except (OSError, ServerError, ProtocolError, asyncio.IncompleteReadError, TimeoutError) as error:
            where = f"{upstream['host']}:{upstream['port']}"
            raise CommandError("UpstreamUnreachable", f"{where} could not be asked: {str(error) or repr(error)}") from None

    async def wal_end(self, message: dict) -> dict:
        """Where the WAL here ends: of a standby that has replayed up to `fromLsn`, or of a server that does not run."""
        try:
            async with asyncio.timeout(comparison.LIMIT_S):
                control = read_control(self.settings.data, self.settings.bin)
                if message.get("fromLsn") is None:
                    if self.server:
                        raise CommandError("Running", "PostgreSQL runs here; where its WAL ends it says itself.")
                    timeline, end = await self.wal_reader.end(control)
                else:
                    start = arguments.lsn(message, "fromLsn")
                    timeline = arguments.whole(message, "timeline", 1, 0xFFFFFFFF)
                    timeline, end = await self.wal_reader.standby_end(timeline, start)
        except TimeoutError:
            raise CommandError("WalEndTimeout", f"Reading the WAL took longer than {comparison.LIMIT_S} s.") from None
        except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            raise CommandError("WalUnreadable", f"The WAL here can't be read: {error}") from None
        return {
            "timeline": timeline,
            "lsn": end,
            "systemIdentifier": control["systemIdentifier"],
            "state": control["state"],
        }

    async def rewind(self, message: dict) -> dict:
        upstream = arguments.address(message.get("upstream"), "upstream")
        diverged_at = arguments.lsn(message, "divergedAt")
        timeline = arguments.whole(message, "divergedTimeline", 1, 0xFFFFFFFF)

        def refuse() -> None:
            self.refuse_unstartable()
            if timeline not in wal.timelines(self.wal_reader.pg_wal):
                raise CommandError("NoSuchWal", f"There is no WAL of timeline {timeline} here.")

        def work(job: Job) -> Awaitable:
            return self.rejoin_jobs.rewind(job, upstream, diverged_at, timeline)

        return await self._begin(message, "rewind", refuse, work, upstream)

    async def copy(self, message: dict) -> dict:
        upstream = arguments.address(message.get("upstream"), "upstream")
        diverged = None
        if message.get("divergedAt") is not None:
            timeline = arguments.whole(message, "divergedTimeline", 1, 0xFFFFFFFF)
            diverged = (timeline, arguments.lsn(message, "divergedAt"))
        return await self._begin(
            message, "copy", lambda: None, lambda job: self.rejoin_jobs.copy(job, upstream, diverged), upstream
        )

    async def _begin(
        self,
        message: dict,
        kind: str,
        refuse: Callable[[], None],
        work: Callable[[Job], Awaitable],
        upstream: dict,
    ) -> dict:
        """The node is fenced for good from here on: no dead-man switch may start a server on data that is at work."""
        token = arguments.token(message)
        async with self.change:
            self.claims.check(token)
            already = self.jobs.asked_before(kind, token["run"])
            if not already:
                self.jobs.refuse_while_running()
                empty = Bootstrap.needed(self.settings.data)
                if self.server or (self.desired == "up" and not empty):
                    raise CommandError(
                        "NotStopped",
                        f"PostgreSQL is {self.server_state()} and the node is {self.desired}; a {kind} needs it "
                        "stopped, and held or fenced.",
                    )
                refuse()
                await self._become_job_site(token, upstream)
                await self.jobs.start(kind, token["run"], work)
            job = self.jobs.current
        return {"already": already, "job": job.as_answer() if job else None}

    async def _become_job_site(self, token: dict, upstream: dict) -> None:
        if not (self.fenced_for_good and self.fence_durable):
            await self.on_disk(statefile.make_durable, *self.fence_for_good(token["run"], upstream, sync=False))
            self.fence_durable = True
        await self.cancel_start()
        left = await self.end_leftovers()
        if left:
            raise CommandError("StillRunning", f"Not begun: {left}.")

    async def discard(self, message: dict) -> dict:
        token = arguments.token(message)
        s = self.settings
        async with self.change:
            self.claims.check(token)
            self.jobs.refuse_while_running()
            self.refuse_while_preparing()
            paths = base_backup.replaced(s)
            freed = await asyncio.to_thread(lambda: sum(map(comparison.disk_usage, paths)))
            # Renamed first: whoever asks again, or a container that starts again, knows what is going.
            for path in paths:
                os.rename(path, f"{s.data}.discarded-{time.time_ns()}")
        await asyncio.to_thread(base_backup.remove_discarded, s)
        log("info", "Discarded the data that copies had replaced.", token=token, freedBytes=freed, paths=paths)
        return {"already": not paths, "freedBytes": freed}

    def refuse_unstartable(self) -> None:
        self.jobs.refuse_while_running()
        self.refuse_while_preparing()
        if self.files.rewind_begun:
            raise CommandError(
                "RewindBegun", "A rewind was begun here and did not end; the data is no database. Copy it anew."
            )

"""Work on a stopped node's data that takes long: it goes on in the agent, whatever happens to who asked for it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from typing import Any, Awaitable, Callable, Optional

from . import control_session, peers, statefile
from .errors import CommandError
from .log import log
from .node import now_ms
from .processes import Child, Processes
from .settings import PostgresSettings
from .wire import ProtocolError, ServerError

# A tool that shows no progress for so long is ended, unless its upstream still answers: it may be syncing a lot.
STALL_S = 30
POLL_S = 0.25
_PROGRESS = re.compile(r"(\d+)/(\d+) kB")


class JobError(Exception):
    """A job failed, in a sentence."""


# What a job may fail with; anything else is a defect, and told as one.
FAILURES = (JobError, CommandError, OSError, ServerError, ProtocolError, asyncio.IncompleteReadError, TimeoutError)


class Job:
    """One rewind or copy. `state` is running, done, failed, or interrupted by the end of its container."""

    def __init__(self, kind: str, run: str) -> None:
        self.kind = kind
        self.run = run
        self.state = "running"
        self.phase = "preparing"
        self.done_bytes = 0
        self.total_bytes: Optional[int] = None
        self.started_at_ms = now_ms()
        self.ended_at_ms: Optional[int] = None
        self.error: Optional[str] = None
        self.quarantine: Optional[str] = None
        self.lost: Optional[dict] = None

    def as_answer(self) -> dict:
        return {
            "kind": self.kind,
            "run": self.run,
            "state": self.state,
            "phase": self.phase,
            "doneBytes": self.done_bytes,
            "totalBytes": self.total_bytes,
            "startedAtMs": self.started_at_ms,
            "endedAtMs": self.ended_at_ms,
            "error": self.error,
            "quarantine": self.quarantine,
            "lost": self.lost,
        }

    @classmethod
    def restored(cls, saved: Optional[dict]) -> Optional["Job"]:
        """From the persisted state. What ran when the container ended was interrupted."""
        if not saved:
            return None
        job = cls(saved["kind"], saved["run"])
        job.state, job.phase = saved["state"], saved["phase"]
        job.done_bytes, job.total_bytes = saved["doneBytes"], saved["totalBytes"]
        job.started_at_ms, job.ended_at_ms = saved["startedAtMs"], saved["endedAtMs"]
        job.error, job.quarantine, job.lost = saved["error"], saved["quarantine"], saved.get("lost")
        if job.state == "running":
            job.state = "interrupted"
            job.ended_at_ms = now_ms()
            job.error = f"The container ended during: {job.phase}."
        return job


class Jobs:
    """The node's one job. `persist` makes the node's state durable."""

    def __init__(self, settings: PostgresSettings, processes: Processes, persist: Callable[[], Awaitable]) -> None:
        self._settings = settings
        self._processes = processes
        self._persist = persist
        self._task: Optional[asyncio.Task] = None
        self._child: Optional[Child] = None
        self._abandoned = False
        self._told = ""
        self.current: Optional[Job] = None

    @property
    def running(self) -> bool:
        return self.current is not None and self.current.state == "running"

    def refuse_while_running(self) -> None:
        job = self.current
        if job and job.state == "running":
            raise CommandError(
                "JobRunning", f"A {job.kind} of run {job.run} is at work here ({job.phase}).", job=job.as_answer()
            )

    def asked_before(self, kind: str, run: str) -> bool:
        job = self.current
        return job is not None and (job.kind, job.run) == (kind, run) and job.state in ("running", "done")

    async def start(self, kind: str, run: str, work: Callable[[Job], Awaitable]) -> None:
        """Durably on record when this returns, and at work."""
        self.refuse_while_running()
        earlier, job = self.current, Job(kind, run)
        if kind == "copy" and earlier and earlier.lost and (earlier.run == run or earlier.state != "done"):
            # It goes on where that one got stuck, on data that may tell it no longer.
            job.lost, job.quarantine = earlier.lost, earlier.quarantine
        self.current = job
        await self._persist()
        self._task = asyncio.ensure_future(self._carry_out(job, work))

    async def _carry_out(self, job: Job, work: Callable[[Job], Awaitable]) -> None:
        log("info", f"A {job.kind} begins.", run=job.run)
        try:
            await work(job)
            state, error = "done", None
        except FAILURES as failure:
            state, error = "failed", str(failure) or type(failure).__name__
        except Exception as failure:  # noqa: BLE001 - whoever waits for the job must not wait for ever
            state, error = "failed", f"a defect of the agent: {failure!r}"
        if self._abandoned:
            # The container ends; the next start tells.
            return
        job.error = error
        job.ended_at_ms = now_ms()
        job.state = state
        said = f"The {job.kind} is done." if error is None else f"The {job.kind} failed: {error}"
        log("info" if error is None else "error", said, run=job.run, ms=job.ended_at_ms - job.started_at_ms)
        try:
            await self._persist()
        except OSError as failure:
            log("error", f"The end of the {job.kind} could not be written down: {failure}")

    async def enter(self, job: Job, phase: str) -> None:
        job.phase = phase
        log("info", f"{job.kind}: {phase}.", run=job.run)
        await self._persist()

    async def abandon(self) -> None:
        """Ends it with the container. What it began is left to the next start."""
        if not self.running or self._task is None:
            return
        self._abandoned = True
        if self._child:
            self._child.signal(signal.SIGTERM)
        self._task.cancel()
        await asyncio.wait([self._task], timeout=5)

    async def tool(self, job: Job, upstream: dict, argv: list) -> str:
        """Runs one of PostgreSQL's tools to its end and follows its progress; returns what it printed.

        JobError when it fails, or when it stands still and its upstream does not answer.
        """
        s = self._settings
        output = os.path.join(s.run, "job.log")
        environment = {
            "PATH": f"{s.bin}:/usr/bin:/bin",
            "LC_ALL": "C",
            "HOME": s.volume,
            "PGPASSFILE": s.pass_file,
            "PGAPPNAME": "veloz_agent",
            "PGOPTIONS": control_session.CURRENT,
        }
        child = self._child = self._processes.spawn(
            [os.path.join(s.bin, argv[0]), *argv[1:]], environment, output_to=output
        )
        watch = asyncio.ensure_future(self._watch(job, upstream, child, output))
        try:
            code = await asyncio.shield(child.exited)
        finally:
            watch.cancel()
            # Whoever ended the job ends its tool.
            child.signal(signal.SIGTERM)
            self._child = None
        told = self._told = (statefile.read(output) or "").strip()
        self._progress(job, told)
        if code != 0:
            why = "it stood still and its upstream did not answer; " if code == -signal.SIGKILL else ""
            raise JobError(f"{argv[0]} ended with exit code {code}: {why}{told[-600:]}")
        return told

    def told(self, words: str) -> bool:
        """Whether the last tool printed these words."""
        return words in self._told

    def _progress(self, job: Job, told: str) -> None:
        found = _PROGRESS.findall(told[-4096:])
        if found:
            job.done_bytes, job.total_bytes = (int(number) * 1024 for number in found[-1])

    async def _watch(self, job: Job, upstream: dict, child: Child, output: str) -> None:
        loop = asyncio.get_running_loop()
        before: Any = None
        since = loop.time()
        while True:
            await asyncio.sleep(POLL_S)
            told = statefile.read(output) or ""
            self._progress(job, told)
            if len(told) != before:
                before, since = len(told), loop.time()
            elif loop.time() - since > STALL_S:
                (answer,) = await peers.ask_all([upstream], self._settings.ha_user, self._settings.ha_password, 2000)
                if not (answer.writable or answer.standby):
                    child.signal(signal.SIGKILL)
                    return
                since = loop.time()


def quoted(text: str) -> str:
    """A value of a connection string, whatever it holds."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def conninfo(settings: PostgresSettings, upstream: dict, database: Optional[str] = None) -> str:
    """For the tools; the password comes from the pass file. A vanished upstream is noticed within some seconds."""
    return (
        f"host={upstream['host']} port={upstream['port']} user={quoted(settings.repl_user)} "
        f"{f'dbname={quoted(database)} ' if database else ''}connect_timeout=3 "
        "keepalives_idle=2 keepalives_interval=2 keepalives_count=5 tcp_user_timeout=10000"
    )

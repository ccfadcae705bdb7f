"""What both agents have in common: the socket, the claim, the lock, the run of process 1 and its end."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Awaitable, Callable, Optional

from . import arguments, statefile
from .claims import Claims
from .errors import CommandError
from .log import log
from .processes import Processes
from .server import serve

Command = Callable[[dict], Awaitable[dict]]


def now_ms() -> int:
    return round(time.time() * 1000)


class NodeAgent:
    """Base of the agents. Subclasses fill `commands`, and persist what `state()` returns."""

    def __init__(self, node: str, state_path: str) -> None:
        self.node = node
        self.state_path = state_path
        self._reserve_path = os.path.join(os.path.dirname(state_path), statefile.RESERVE)
        self.processes = Processes()
        # Changes are carried out one after the other; what only looks, or only waits, does not take it.
        self.change = asyncio.Lock()
        self.claims = Claims()
        self.commands: dict = {}
        self.last_expiry: Optional[dict] = None
        self.shutting_down = False
        self._exit_code: Optional[asyncio.Future] = None
        # One writer at a time, so that a newer state can't be overtaken by an older one.
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="disk")
        self._tasks: set = set()
        self._health_told: Optional[bool] = None

    # What subclasses provide.

    async def prepare(self, saved: dict) -> None:
        """Takes the persisted state over and starts the server, or what comes before it."""
        raise NotImplementedError

    async def stop_server(self) -> None:
        """Ends the server within the time that Docker grants."""
        raise NotImplementedError

    def armed(self) -> bool:
        raise NotImplementedError

    def state(self) -> dict:
        raise NotImplementedError

    def health(self) -> tuple:
        """(as desired, sentence)"""
        raise NotImplementedError

    # Persisted state.

    def save(self, sync: bool = True) -> None:
        statefile.save_state(self.state_path, {"version": 1, **self.claims.as_state(), **self.state()}, sync)

    async def on_disk(self, function: Callable[..., Any], *args: Any) -> Any:
        """Runs something that syncs, without stopping the loop meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, function, *args)

    async def save_durably(self) -> None:
        """The new state is visible at once and durable on return."""
        self.save(sync=False)
        await self.on_disk(statefile.make_durable, self.state_path)

    # Commands that both have.

    async def dispatch(self, do: str, message: dict) -> dict:
        command: Optional[Command] = self.commands.get(do)
        if command is None:
            known = ", ".join(sorted(self.commands))
            raise CommandError("UnknownCommand", f"There is no command {do!r}; there are {known}.")
        return await command(message)

    async def claim(self, message: dict) -> dict:
        if self.claims.claim(arguments.token(message), self.armed()):
            log("info", "Claimed.", token=self.claims.current)
            await self.save_durably()
        return {}

    async def forget(self, message: dict) -> dict:
        async with self.change:
            if self.claims.forget(arguments.token(message), self.armed()):
                log("info", "The claim was given back.", token=message["token"])
                await self.save_durably()
        return {}

    async def check_health(self, message: dict) -> dict:
        """With `lingerMs`, answers when the health changes or after that time: one cheap check instead of many."""
        ok, sentence = self.health()
        linger = message.get("lingerMs")
        if isinstance(linger, int) and ok == self._health_told:
            deadline = time.monotonic() + min(linger, 60_000) / 1000
            while ok == self._health_told and time.monotonic() < deadline:
                await asyncio.sleep(0.2)
                ok, sentence = self.health()
        if isinstance(linger, int):
            self._health_told = ok
        return {"ok": ok, "why": sentence}

    # Process 1.

    async def _keep_reserve(self) -> None:
        while True:
            try:
                await self.on_disk(statefile.keep_reserve, self._reserve_path)
            except OSError:
                # Full again: what was laid up before is what there is.
                pass
            await asyncio.sleep(60)

    def spawn_task(self, work: Awaitable) -> asyncio.Task:
        """A background task whose failure is logged, never lost."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)

        def done(finished: asyncio.Task) -> None:
            self._tasks.discard(finished)
            if not finished.cancelled() and finished.exception():
                log("error", f"A background task failed: {finished.exception()!r}")

        task.add_done_callback(done)
        return task

    def finish(self, code: int) -> None:
        """Ends process 1, and with it the container."""
        if self._exit_code and not self._exit_code.done():
            self._exit_code.set_result(code)

    async def run(self, run_dir: str, lock_path: str) -> int:
        """Serves until it is told to end, then ends the process; returns only an exit code of a start that failed."""
        loop = asyncio.get_running_loop()
        self._exit_code = loop.create_future()
        self.processes.watch()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.finish, 0)
        if not _lock(lock_path):
            log("error", f"{lock_path} is locked: another container uses this node's volume. Stop that one first.")
            return 1
        try:
            saved = statefile.load_state(self.state_path)
        except ValueError as error:
            aside = f"{self.state_path}.damaged-{now_ms()}"
            os.rename(self.state_path, aside)
            log("error", f"The saved state is damaged and was put aside as {aside}: {error}")
            saved = {}
        self.claims = Claims(saved)
        self.last_expiry = saved.get("lastExpiry")
        # Known before anything is written; whether there is room for one is looked at beside.
        statefile.know_reserve(self._reserve_path)
        self.spawn_task(self._keep_reserve())
        server = await serve(os.path.join(run_dir, "agent.sock"), self.dispatch)
        await self.prepare(saved)
        gc.collect()
        gc.freeze()
        code = await self._exit_code
        self.shutting_down = True
        server.close()
        await self.stop_server()
        log("info", f"The agent ends with exit code {code}.")
        # Not through the interpreter's own end, which would wait for look-ups of names that nobody answers.
        os._exit(code)


_locks: list = []


def _lock(path: str) -> bool:
    """An advisory lock that holds between containers on one volume, where a PID file can't."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return False
    _locks.append(fd)
    return True

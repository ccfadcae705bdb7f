"""Starting children and reaping every process of the container, as process 1 must."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Callable, Optional


class Child:
    """A started process. `exited` resolves to its exit code (negative: the signal that ended it)."""

    def __init__(self, pid: int, name: str) -> None:
        self.pid = pid
        self.name = name
        self.since_ms = round(time.time() * 1000)
        self.exited: asyncio.Future = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> bool:
        return not self.exited.done()

    def signal(self, number: int) -> None:
        if self.running:
            os.kill(self.pid, number)


class Processes:
    """All spawns go through here and happen in the loop's thread, so no exit is missed and none is reaped twice."""

    def __init__(self) -> None:
        self._children: dict = {}

    def watch(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)

    def spawn(
        self,
        argv: list,
        env: dict,
        name: Optional[str] = None,
        output_to: Optional[str] = None,
        output_fd: Optional[int] = None,
    ) -> Child:
        """Starts argv[0] (an absolute path) in a session of its own, with standard input from /dev/null.

        Both outputs go to the container's log, into the file `output_to`, or to `output_fd`.
        """
        actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
        if output_fd is not None:
            actions.append((os.POSIX_SPAWN_DUP2, output_fd, 1))
            actions.append((os.POSIX_SPAWN_DUP2, 1, 2))
        elif output_to is not None:
            actions.append((os.POSIX_SPAWN_OPEN, 1, output_to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
            actions.append((os.POSIX_SPAWN_DUP2, 1, 2))
        else:
            actions.append((os.POSIX_SPAWN_DUP2, 2, 1))
        pid = os.posix_spawn(
            argv[0],
            argv,
            env,
            file_actions=actions,
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM],
        )
        child = Child(pid, name or os.path.basename(argv[0]))
        self._children[pid] = child
        return child

    async def read(self, argv: list, env: dict, take: Callable[[bytes], None]) -> int:
        """Runs a command, gives its output to `take` in parts, in a thread, and returns its exit code.

        It is killed when nobody waits for it any more.
        """
        read_end, write_end = os.pipe()
        try:
            child = self.spawn(argv, env, output_fd=write_end)
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)

        def pump() -> None:
            try:
                while part := os.read(read_end, 1 << 18):
                    take(part)
            finally:
                os.close(read_end)

        pumped = asyncio.get_running_loop().run_in_executor(None, pump)
        try:
            await asyncio.shield(pumped)
            return await asyncio.shield(child.exited)
        finally:
            child.signal(signal.SIGKILL)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is not None and not child.exited.done():
                child.exited.set_result(os.waitstatus_to_exitcode(status))

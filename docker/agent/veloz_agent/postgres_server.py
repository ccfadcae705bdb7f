"""Supervision of a PostgreSQL server: its first start, the guard before a start as a primary, its exit, its end."""

from __future__ import annotations

import asyncio
import glob
import os
import signal
from typing import Optional

from . import deadman, peers, statefile
from .bootstrap import Bootstrap, ensure_slot
from .control_file import read_control
from .log import log
from .node import NodeAgent, now_ms
from .node_files import NodeFiles
from .processes import Child
from .settings import PostgresSettings

# docker-compose grants 60 s; an immediate stop after 50 is still better than being killed.
STOP_LIMIT_S = 50


class PostgresSupervisor(NodeAgent):
    """`desired` is `up`, `held` (stopped, may start as it was) or `fenced` (stopped, may start only as a standby)."""

    def __init__(self, settings: PostgresSettings) -> None:
        super().__init__(settings.node, os.path.join(settings.own, "agent.json"))
        self.settings = settings
        self.files = NodeFiles(
            settings.data,
            settings.own,
            settings.repl_user,
            settings.pass_file,
            settings.application_name,
            settings.slot,
        )
        self.desired = "up"
        self.server: Optional[Child] = None
        self.stopping = False
        self.since_ms = now_ms()
        self.start_guard: Optional[str] = None
        self.bootstrap: Optional[Bootstrap] = None
        self.deadman = deadman.Deadman(lambda: self.spawn_task(self.expire()))
        self.deadman_state: Optional[dict] = None
        self.promotion: Optional[dict] = None
        self.promoting_pid: Optional[int] = None
        self._starter: Optional[asyncio.Task] = None
        self._argv = [f"{settings.bin}/postgres", "-D", settings.data, "-c", f"config_file={settings.config_file}"]
        self._env = {
            "PATH": f"{settings.bin}:/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "HOME": settings.volume,
            "PGPASSFILE": settings.pass_file,
        }

    def armed(self) -> bool:
        return self.deadman.armed

    def state(self) -> dict:
        return {
            "desired": self.desired,
            "deadman": self.deadman_state,
            "promotion": self.promotion,
            "lastExpiry": self.last_expiry,
        }

    def health(self) -> tuple:
        state = self.server_state()
        if self.desired != "up":
            return (state == "stopped", f"The node is {self.desired}; the server is {state}.")
        if state == "running":
            return (True, "The server is running.")
        return (False, self.start_guard or f"The server is {state}.")

    # Start of process 1.

    async def prepare(self, saved: dict) -> None:
        self.desired = saved.get("desired", "up")
        self.deadman_state = saved.get("deadman")
        self.promotion = saved.get("promotion")
        self.files.ensure_conf()
        for stale in [os.path.join(self.settings.data, "postmaster.pid"), *glob.glob("/var/run/postgresql/.s.PGSQL.*")]:
            # No server can be left: processes end with their container, and the volume's lock is ours.
            if os.path.exists(stale):
                os.unlink(stale)
        if Bootstrap.needed(self.settings.data):
            self.desired = "up"
            self._start_later()
        elif self.desired == "up":
            self._start_later()
        else:
            if self.desired == "fenced" and not self.files.is_standby:
                # The fence is a promise; a file that went missing does not break it.
                log("error", "The node is fenced and standby.signal was missing; it is written anew.")
                self.files.write_signal()
            self.arm(self.deadman_state or {"limitMs": 30_000, "peers": []})
            log(
                "warn",
                f"The node is {self.desired} and stays stopped; its dead-man switch is armed anew.",
                inMs=self.deadman.remaining_ms,
            )

    def _start_later(self) -> None:
        if self._starter is None or self._starter.done():
            self._starter = self.spawn_task(self._start_when_allowed())

    async def _start_when_allowed(self) -> None:
        """Fills an empty data directory, asks the peers before a start as a primary, then starts."""
        if Bootstrap.needed(self.settings.data):
            self.bootstrap = Bootstrap(self.settings, self.files, self.processes, self._set_guard)
            await self.bootstrap.run()
            self.bootstrap = None
            self.start_guard = None
        logged = None
        while True:
            async with self.change:
                if self.desired != "up" or self.server or self.shutting_down:
                    self.start_guard = None
                    return
                self.start_guard = await self._guard()
                if self.start_guard is None:
                    self.launch()
                    return
            if logged != self.start_guard:
                logged = self.start_guard
                log("error", f"The server is not started: {logged}")
            await asyncio.sleep(1)

    def _set_guard(self, sentence: str) -> None:
        self.start_guard = sentence

    async def _guard(self) -> Optional[str]:
        """Why a start now would make a second primary, or None."""
        if self.files.is_standby:
            return None
        control = await self.on_disk(self.control)
        for _ in range(4):
            answers = await self.ask(self.settings.peers)
            reason = deadman.decide_start_guard(answers, control["timeline"], control["systemIdentifier"])
            if reason or not any(answer.unclear for answer in answers):
                return reason
            await asyncio.sleep(0.2)
        return None

    async def ask(self, addresses: list) -> list:
        return await peers.ask_all(addresses, self.settings.ha_user, self.settings.ha_password)

    def control(self) -> dict:
        return read_control(self.settings.data, self.settings.bin)

    # The server.

    def launch(self) -> None:
        as_standby = self.files.is_standby
        server = self.server = self.processes.spawn(self._argv, self._env)
        self.stopping = False
        self.start_guard = None
        self.promoting_pid = None
        self.since_ms = server.since_ms
        log("info", f"Started PostgreSQL as {'standby' if as_standby else 'primary'}.", serverPid=server.pid)
        server.exited.add_done_callback(lambda exited: self._on_exit(exited.result()))
        if as_standby:
            asyncio.get_running_loop().call_later(2, lambda: self.spawn_task(self._care_for_slot(server)))

    def _on_exit(self, code: int) -> None:
        self.server = None
        self.since_ms = now_ms()
        asked = self.stopping or self.shutting_down
        self.stopping = False
        log("info" if asked else "error", f"PostgreSQL ended with exit code {code}.", asked=asked)
        if self.shutting_down:
            return
        if not asked:
            # Docker's restart policy, and whoever watches the container, must see it.
            self.finish(1)
        elif self.desired == "up":
            self._start_later()

    async def _care_for_slot(self, server: Child) -> None:
        """A standby whose slot is missing on its upstream would ask for it for ever."""
        upstream = self.files.upstream()
        if self.server is not server or not upstream or not self.files.is_standby:
            return
        try:
            await ensure_slot(self.settings, upstream)
        except Exception as error:  # noqa: BLE001 - an unreachable upstream is the runbook's matter
            log("warn", f"The slot on {upstream['host']}:{upstream['port']} could not be looked after: {error}")

    def server_state(self) -> str:
        if self.server is None:
            return "starting" if self.bootstrap else "stopped"
        if self.stopping:
            return "stopping"
        lines = (statefile.read(os.path.join(self.settings.data, "postmaster.pid")) or "").splitlines()
        ready = len(lines) >= 8 and lines[0] == str(self.server.pid) and lines[7].strip() in ("ready", "standby")
        return "running" if ready else "starting"

    async def stop_server(self) -> None:
        if self._starter and not self._starter.done():
            self._starter.cancel()
            if self.bootstrap:
                self.bootstrap.abandon()
            await asyncio.wait([self._starter], timeout=STOP_LIMIT_S)
        server = self.server
        if server is None:
            return
        log("info", "Stopping PostgreSQL.")
        server.signal(signal.SIGINT)
        try:
            await asyncio.wait_for(asyncio.shield(server.exited), STOP_LIMIT_S)
        except asyncio.TimeoutError:
            log("error", f"PostgreSQL still runs after {STOP_LIMIT_S} s and is stopped at once.")
            server.signal(signal.SIGQUIT)
            await server.exited

    # The dead-man switch, which a container's restart arms anew.

    async def expire(self) -> None:
        raise NotImplementedError

    def arm(self, state: dict) -> None:
        self.deadman_state = state
        self.deadman.arm(state["limitMs"])

    def disarm(self) -> None:
        self.deadman_state = None
        self.deadman.disarm()

"""Supervision of a PostgreSQL server: its first start, the guard before a start as a primary, its exit, its end."""

from __future__ import annotations

import asyncio
import glob
import os
import signal
import subprocess
import time
from typing import Optional

from . import (
    application_rights,
    base_backup,
    config_files,
    control_database,
    deadman,
    fence_file,
    lost_wal,
    missing_tablespaces,
    own_upstream,
    peer_role,
    peers,
    recovery_settings,
    statefile,
)
from .bootstrap import Bootstrap, ensure_slot
from .control_file import read_control
from .crashes import Crashes
from .jobs import Job, Jobs
from .log import log
from .node import NodeAgent, now_ms
from .node_files import NodeFiles
from .processes import Child
from .server_processes import kill_servers, wake_stopped
from .settings import PostgresSettings
from .start_trial import StartTrial
from .wal_end import WalReader

# What a postmaster writes into its lock file once it takes sessions.
READY = "ready"
STANDBY = "standby"

# docker-compose grants 60 s; an immediate stop after 50 is still better than being killed.
STOP_LIMIT_S = 50
# How long processes may take to vanish after SIGKILL. One that waits for a disk which hangs does not vanish at all.
LEFTOVERS_LIMIT_S = 5
# An immediate shutdown tells clients that their session ends; it takes some milliseconds where it works at all.
IMMEDIATE_LIMIT_S = 0.3
# What the whole server waits for is looked at so often: a process that is stopped (SIGSTOP) holds it up for ever.
WAKE_EVERY_S = 0.5
# A fence that a full disk did not take is tried again so often.
FENCE_RETRY_S = 2


class PostgresSupervisor(NodeAgent):
    """`desired` is `up`, `held` (stopped, may start as it was) or `fenced` (stopped, may start only as a standby).

    A fence with a dead-man switch ends by itself; one without is for good: only a run ends it.
    """

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
            settings.control_database,
        )
        self.desired = "up"
        self.server: Optional[Child] = None
        self.stopping = False
        self.since_ms = now_ms()
        self.start_guard: Optional[str] = None
        self.bootstrap: Optional[Bootstrap] = None
        self.deadman = deadman.Deadman(lambda: self.spawn_task(self.expire()))
        self.deadman_state: Optional[dict] = None
        # Who fenced this node for good, and whether it was a primary then.
        self.fenced_by: Optional[dict] = None
        # False while the fence is only visible; a container that ends can't take it back, a host that ends could.
        self.fence_durable = True
        self.crashes = Crashes()
        # What the agent last put right by itself in the server that runs.
        self.last_correction: Optional[dict] = None
        self.jobs = Jobs(settings, self.processes, self.save_durably)
        # Known once this node has held data, or saw a peer that does: it never becomes a new database system afterwards.
        self.system_identifier: Optional[str] = None
        self.promotion: Optional[dict] = None
        self.promoting_pid: Optional[int] = None
        # Until then somebody waits for what is replayed here; on the monotonic clock.
        self.replay_awaited_until = 0.0
        self._starter: Optional[asyncio.Task] = None
        self._fence_task: Optional[asyncio.Task] = None
        self._env = {
            "PATH": f"{settings.bin}:/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "HOME": settings.volume,
            "PGPASSFILE": settings.pass_file,
            # How long a receiver looks up the name of a node that is gone: a promotion waits for the look-up.
            "RES_OPTIONS": os.environ.get("RES_OPTIONS", "timeout:1 attempts:1"),
        }
        self.trial = StartTrial(settings, self.processes, self._env)

    def armed(self) -> bool:
        return self.deadman.armed

    def state(self) -> dict:
        return {
            "desired": self.desired,
            "deadman": self.deadman_state,
            "fencedBy": self.fenced_by,
            "systemIdentifier": self.system_identifier,
            "promotion": self.promotion,
            "lastExpiry": self.last_expiry,
            "job": self.jobs.current.as_answer() if self.jobs.current else None,
        }

    @property
    def fenced_for_good(self) -> bool:
        return self.desired == "fenced" and self.deadman_state is None

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
        self.fenced_by = saved.get("fencedBy")
        self.system_identifier = saved.get("systemIdentifier")
        self.promotion = saved.get("promotion")
        # No server can be left: processes end with their container, and the volume's lock is ours.
        self._remove_pid_file()
        for stale in glob.glob(f"{self.settings.socket_dir}/.s.PGSQL.*"):
            os.unlink(stale)
        self.jobs.current = Job.restored(saved.get("job"))
        self._finish_copy()
        # What an attempt at a copy left; removing it may take long.
        base_backup.set_aside(self.settings)
        self.spawn_task(asyncio.to_thread(base_backup.remove_discarded, self.settings))
        self.take_fence_file()
        try:
            self.files.ensure_conf()
        except OSError as error:
            # A full disk is no reason to end while nothing is to be started.
            if self.desired != "fenced":
                raise
            log("error", f"{self.files.conf_path} can't be written; it is tried again: {error}")
            self._complete_fence_later()
        empty = Bootstrap.needed(self.settings.data)
        # Not while the fence file still stands for it: whether the node was a primary would be forgotten.
        if self.desired == "fenced" and self.fence_durable and not empty and not self.files.is_standby:
            # The fence is a promise; a file that went missing does not break it.
            log("error", "The node is fenced and standby.signal was missing; it is written anew.")
            try:
                self.files.write_signal()
            except OSError as error:
                log("error", f"standby.signal can't be written; it is tried again: {error}")
                self._complete_fence_later()
        if self.fenced_for_good:
            log("warn", "The node is fenced and stays stopped until a run makes it a standby.", by=self.fenced_by)
        elif self.desired == "up" or empty:
            self.desired = "up"
            self._start_later()
        else:
            self.arm(self.deadman_state or {"limitMs": 30_000, "peers": []})
            log(
                "warn",
                f"The node is {self.desired} and stays stopped; its dead-man switch is armed anew.",
                inMs=self.deadman.remaining_ms,
            )

    def _finish_copy(self) -> None:
        """The container ended while a complete copy took its place."""
        try:
            if base_backup.finish(self.settings, self.files):
                log("info", "A complete copy was put in its place, which the end of the container had cut short.")
        except OSError as error:
            log("error", f"A complete copy could not be put in its place, and is made anew: {error}")

    def _start_later(self, pause_s: float = 0) -> None:
        if self._starter is None or self._starter.done():
            self._starter = self.spawn_task(self._start_when_allowed(pause_s))

    async def cancel_start(self) -> None:
        """Ends a start that waits, and the making of a data directory. The caller has said what is desired instead."""
        starter = self._starter
        if starter is None or starter.done():
            return
        starter.cancel()
        await asyncio.wait([starter, *([self.bootstrap.abandon()] if self.bootstrap else [])])
        self.bootstrap = None
        self.start_guard = None

    async def _start_when_allowed(self, pause_s: float) -> None:
        """Fills an empty data directory, asks the peers before a start as a primary, then starts.

        The peers are asked outside the lock, so that nobody who wants something else has to wait for their answers.
        """
        if Bootstrap.needed(self.settings.data):
            self.bootstrap = Bootstrap(
                self.settings,
                self.files,
                self.processes,
                self._set_guard,
                self._ask_agent,
                self.system_identifier,
                self._hold,
            )
            await self.bootstrap.run()
            self.bootstrap = None
            self.start_guard = None
        if pause_s:
            await asyncio.sleep(pause_s)
        if self.files.is_standby and self.desired == "up":
            reader = WalReader(self.processes, self.settings.bin, self.settings.data)
            try:
                await missing_tablespaces.make(self.settings, self.files.upstream(), reader, self.crashes.in_a_row)
            except Exception as error:  # noqa: BLE001 - whatever is odd there, the start is tried all the same
                log("error", f"Whether directories of tablespaces are missing could not be found out: {error!r}")
        logged = None
        while True:
            as_standby = self.files.is_standby
            guard = await self._guard() if self.desired == "up" and not self.server else None
            async with self.change:
                if self.desired != "up" or self.server or self.shutting_down or self.take_fence_file():
                    self.start_guard = None
                    return
                if self.files.is_standby != as_standby:
                    continue
                self.start_guard = guard or await self.end_leftovers()
                if self.start_guard is None:
                    self.launch()
                    return
            if logged != self.start_guard:
                logged = self.start_guard
                log("error", f"The server is not started: {logged}")
            await asyncio.sleep(1)

    async def _ask_agent(self, host: str, content: dict, limit_ms: int) -> dict:
        """Asks the agent of another node one question, over the agents' channel."""
        raise NotImplementedError

    async def _hold(self, system: str) -> None:
        self.system_identifier = system
        await self.save_durably()

    def _set_guard(self, sentence: str) -> None:
        self.start_guard = sentence

    async def _guard(self) -> Optional[str]:
        """Why a start now would make a second primary, or one that lacks what a standby has, or None."""
        try:
            control = await self.on_disk(self.control)
            if self.system_identifier != control["systemIdentifier"]:
                self.system_identifier = control["systemIdentifier"]
                self.spawn_task(self.save_durably())
        except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            return f"the control file can't be read: {error}"
        if self.files.rewind_begun:
            return "a rewind was begun here and did not end; only a copy helps."
        if self.files.is_standby:
            return None
        for _ in range(4):
            answers = await self.ask(self.settings.peers, replay=True)
            reason = await self._start_reason(answers, control)
            # A standby whose second answer was late says nothing of what it has replayed.
            if reason or not any(answer.unclear or (answer.standby and answer.replayed is None) for answer in answers):
                return reason
            await asyncio.sleep(0.2)
        return await self.start_reason(answers, control)

    async def start_reason(self, answers: list, control: dict) -> Optional[str]:
        """Why a start as the primary would do harm, or None. Whoever answered and did not say has an agent that can tell."""
        answers = await peer_role.clarify(answers, self.node, control["timeline"], self._ask_agent)
        return await self._start_reason(answers, control)

    async def _start_reason(self, answers: list, control: dict) -> Optional[str]:
        """The same by what the servers say."""
        second = deadman.decide_start_guard(answers, control["timeline"], control["systemIdentifier"])
        reader = WalReader(self.processes, self.settings.bin, self.settings.data)
        return second or await lost_wal.reason(self.settings.data, control, answers, self.on_disk, reader.end_near)

    async def ask(self, addresses: list, replay: bool = False) -> list:
        return await peers.ask_all(addresses, self.settings.ha_user, self.settings.ha_password, replay=replay)

    def control(self) -> dict:
        return read_control(self.settings.data, self.settings.bin)

    # The fence for good.

    def take_fence_file(self) -> bool:
        """Becomes fenced for good if a fence file asks for that. Blocks for its syncs: the server does not run.

        When the disk does not take it, the node is fenced in memory, the file stays and would fence it again, and it
        is tried again until it is durable.
        """
        order = fence_file.read(self.settings.own)
        if order is None:
            return False
        if self.claims.is_older(order["run"], order["attempt"]):
            # A worker that was frozen laid it down when others had long taken the node.
            log("warn", "A fence file of an attempt that was overtaken is ignored.", **order)
            fence_file.remove(self.settings.own)
            return False
        try:
            self.fence_for_good(order["run"], order["upstream"], sync=True)
            fence_file.remove(self.settings.own)
        except OSError as error:
            log("error", f"A fence file was found and can't be taken over yet; nothing is started: {error}", **order)
            self._complete_fence_later()
            return True
        log("warn", "A fence file was found: this node can start only as a standby, when a run says so.", **order)
        return True

    def _complete_fence_later(self) -> None:
        if self._fence_task is None or self._fence_task.done():
            self._fence_task = self.spawn_task(self._complete_fence())

    async def _complete_fence(self) -> None:
        """Writes what a full disk did not take, as soon as it does; ends when a run has ended the fence."""
        while True:
            await asyncio.sleep(FENCE_RETRY_S)
            async with self.change:
                if self.desired != "fenced" or self.server or self.shutting_down:
                    return
                if self.jobs.running:
                    # It began with a durable fence, and works on these very files.
                    continue
                try:
                    await self._write_missing_fence()
                except OSError:
                    # Said before; the disk is still full.
                    continue
                log("warn", "The fence is durable now.")
                return

    async def _write_missing_fence(self) -> None:
        order = fence_file.read(self.settings.own)
        if order and not self.fence_durable:
            written = self.fence_for_good(order["run"], order["upstream"], sync=False)
            await self.on_disk(statefile.make_durable, *written)
            self.fence_durable = True
        self.files.ensure_conf()
        if not Bootstrap.needed(self.settings.data) and not self.files.is_standby:
            await self.on_disk(self.files.write_signal)
        if order:
            fence_file.remove(self.settings.own)

    def fence_for_good(self, run: Optional[str], upstream: Optional[dict], sync: bool) -> list:
        """Returns the files that were written. Without `sync` they are visible, and durable once they are synced.

        Whoever fenced it first is remembered: what a later run finds fenced, it has not fenced.
        """
        written = [self.state_path]
        empty = Bootstrap.needed(self.settings.data)
        if not self.fenced_for_good:
            self.fenced_by = {"run": run, "wasPrimary": not empty and not self.files.is_standby, "atMs": now_ms()}
        # First of all, so that nothing starts it even if a file can't be written.
        self.desired = "fenced"
        self.fence_durable = False
        self.disarm()
        if upstream:
            self.files.write_upstream(upstream, sync)
            written.append(self.files.conf_path)
        if not empty:
            self.files.write_signal(sync=sync)
            written.append(self.files.signal_path)
        self.save(sync=sync)
        self.fence_durable = sync
        return written

    async def end_leftovers(self) -> Optional[str]:
        """Ends what is left of a server, at once: its shared memory must be nobody's before the next start.

        Under the lock, so that it can't meet a server that was just started. Returns a sentence when something does not
        end, which a disk that hangs may cause.
        """
        deadline = asyncio.get_running_loop().time() + LEFTOVERS_LIMIT_S
        while left := kill_servers():
            if asyncio.get_running_loop().time() > deadline:
                return f"{len(left)} process(es) of PostgreSQL do not end after SIGKILL: {left}"
            await asyncio.sleep(0.002)
        return None

    # The server.

    def launch(self) -> None:
        """Only when no process of an earlier server is left."""
        self._remove_pid_file()
        self._clear_leftovers()
        as_standby = self.files.is_standby
        server = self.server = self.processes.spawn(self._command(), self._env)
        self.stopping = False
        self.last_correction = None
        self.start_guard = None
        self.promoting_pid = None
        self.since_ms = server.since_ms
        log("info", f"Started PostgreSQL as {'standby' if as_standby else 'primary'}.", serverPid=server.pid)
        server.exited.add_done_callback(lambda exited: self._on_exit(server, exited.result()))
        if as_standby:
            asyncio.get_running_loop().call_later(2, lambda: self.spawn_task(self._care_for_slot(server)))
        self.spawn_task(self._care_for_control_database(server))
        self.spawn_task(self._care_for_application_rights(server))
        self.spawn_task(self._care_for_stopped(server))
        self.spawn_task(self._care_for_upstream(server))

    def _command(self) -> list:
        s = self.settings
        files = config_files.read(s.config_file, s.data)
        return [
            f"{s.bin}/postgres", "-D", s.data, "-c", f"config_file={s.config_file}",
            *recovery_settings.arguments(s.version, files.settings, s.data),
        ]  # fmt: skip

    def _clear_leftovers(self) -> None:
        """What a restore or a hand left and would decide what this start becomes."""
        try:
            taken = recovery_settings.clear(self.settings.data)
        except (OSError, ValueError) as error:
            log("error", f"Leftovers in {self.settings.data} could not be taken away; it is started as it is: {error}")
            return
        if taken:
            log("warn", f"Taken away, because it would decide what this start becomes: {', '.join(taken)}.")

    def _remove_pid_file(self) -> None:
        """The id in it may be another process's by now."""
        try:
            os.unlink(os.path.join(self.settings.data, "postmaster.pid"))
        except FileNotFoundError:
            pass

    def _on_exit(self, server: Child, code: int) -> None:
        self.server = None
        self.since_ms = now_ms()
        asked = self.stopping or self.shutting_down
        self.stopping = False
        log("info" if asked else "error", f"PostgreSQL ended with exit code {code}.", asked=asked)
        if self.shutting_down or self.desired != "up":
            return
        if not asked:
            # Backends notice the end of their postmaster when they next look for it, which may take long.
            kill_servers()
        # In place: a container's own end and start would cost half a second. Docker sees it by the health check.
        self._start_later(0 if asked else self.crashes.add(code, self.since_ms - server.since_ms, self.since_ms))

    async def _care_for_control_database(self, server: Child) -> None:
        """For as long as this server runs. Only a primary can make what is missing; its standbys get it from there."""
        while self.server is server:
            await asyncio.sleep(control_database.EVERY_S)
            if self.server is server and self.server_state() == "running" and not self.files.is_standby:
                try:
                    await control_database.ensure(self.settings, self.processes)
                except Exception as error:  # noqa: BLE001 - it is tried again, and status tells what is missing
                    log("error", f"The control database can't be put in order; it is tried again: {error!r}")

    async def _care_for_application_rights(self, server: Child) -> None:
        """Beside the control database, which needs nothing of the application's and waits for nothing of it."""
        told = None
        while self.server is server:
            await asyncio.sleep(application_rights.EVERY_S)
            if self.server is not server or self.server_state() != "running" or self.files.is_standby:
                continue
            try:
                says = await application_rights.ensure(self.settings)
            except Exception as error:  # noqa: BLE001 - it is tried again
                says = f"What PgBouncer's user needs in the database {self.settings.database} can't be looked after: {error!r}"
            if says and says != told:
                log("warn", says)
            told = says

    async def _care_for_slot(self, server: Child) -> None:
        """A standby whose slot is missing on its upstream would ask for it for ever."""
        upstream = self.files.upstream()
        if self.server is not server or not upstream or not self.files.is_standby:
            return
        try:
            await ensure_slot(self.settings, upstream)
        except Exception as error:  # noqa: BLE001 - an unreachable upstream is the runbook's matter
            log("warn", f"The slot on {upstream['host']}:{upstream['port']} could not be looked after: {error}")

    async def _care_for_upstream(self, server: Child) -> None:
        """For as long as this server runs: as a standby it follows what the agent's own file says."""
        told = None
        while self.server is server:
            await asyncio.sleep(own_upstream.EVERY_S)
            try:
                why = await self._take_upstream_back(server)
            except Exception as error:  # noqa: BLE001 - it is tried again, and status tells what is set
                why = f"What was set by hand over this node's upstream could not be taken back: {error!r}"
            if why and why != told:
                log("warn", why)
            told = why

    def _only_follows(self, server: Child) -> bool:
        """It runs as a standby, and nobody wants anything else of it."""
        return (
            self.server is server
            and self.desired == "up"
            and not self.jobs.running
            and self.server_state() == "running"
            and self.files.is_standby
            and self.promoting_pid != server.pid
        )

    async def _take_upstream_back(self, server: Child) -> Optional[str]:
        """Returns why something is left as it is.

        Only where the agent's word leads to the one primary that there is, and to a slot with which the standby can go on: whoever
        led a standby to a primary that nobody else knows of, in a need, is not undone.
        """
        upstream = self.files.upstream()
        names = own_upstream.by_hand(self.settings.data) if self._only_follows(server) else []
        if not names or upstream is None:
            return None
        where = f"{upstream['host']}:{upstream['port']}"
        left = f"Set by hand over this node's upstream, and not taken back: {', '.join(names)}"
        others = [peer for peer in self.settings.peers if peer != upstream]
        primary = deadman.newest_primary(await self.ask([upstream, *others]), self.system_identifier)
        if primary is None or (primary.host, primary.port) != (upstream["host"], upstream["port"]):
            return f"{left}. {where}, whom the agent says to follow, is not the primary."
        if not await ensure_slot(self.settings, upstream):
            return f"{left}. The slot {self.settings.slot} on {where} keeps no WAL any more: make it anew."
        if not self._only_follows(server):
            return None
        await asyncio.wait_for(own_upstream.take_back(self.settings, names), own_upstream.LIMIT_S)
        if self.server is server and not self.stopping:
            server.signal(signal.SIGHUP)
        log("warn", f"Taken back, because this node follows {where} by its slot: {', '.join(names)} in postgresql.auto.conf.")
        return None

    async def _care_for_stopped(self, server: Child) -> None:
        """For as long as this server runs: no process of it stays stopped (SIGSTOP) where the server can't get through without it.

        A promotion waits for the process that replays, for the receiver and for the postmaster, an end for each process, and
        none of these waits has a limit. While nothing is waited for only the postmaster is woken: without it nobody new gets in.
        """
        while self.server is server:
            await asyncio.sleep(WAKE_EVERY_S)
            if self.server is not server:
                return
            woken = wake_stopped(None if self._on_its_way() else server.pid)
            if woken:
                what = ", ".join(map(str, woken))
                log("warn", f"Woke processes of PostgreSQL that were stopped (SIGSTOP): {what}.", state=self.server_state())
                did = f"woke processes of PostgreSQL that were stopped (SIGSTOP): {what}"
                self.last_correction = {"at": now_ms(), "did": did}

    def _on_its_way(self) -> bool:
        """The server starts, ends, is being promoted, or somebody waits for its replay."""
        if self.stopping or self.shutting_down or self.server is None or time.monotonic() < self.replay_awaited_until:
            return True
        # The lock file says `ready` of a hot standby too: its signal file tells that recovery has not ended.
        return self._says() is None or (self.promoting_pid == self.server.pid and self.files.is_standby)

    def _says(self) -> Optional[str]:
        """What the postmaster of the server that runs says of itself: `ready`, or `standby` of one that lets nobody in. None while it starts."""
        lines = (statefile.read(os.path.join(self.settings.data, "postmaster.pid")) or "").splitlines()
        if self.server is None or len(lines) < 8 or lines[0] != str(self.server.pid):
            return None
        said = lines[7].strip()
        return said if said in (READY, STANDBY) else None

    def server_state(self) -> str:
        if self.server is None:
            return "starting" if self.bootstrap else "stopped"
        if self.stopping:
            return "stopping"
        return "starting" if self._says() is None else "running"

    async def end_server_now(self) -> Optional[str]:
        """An immediate shutdown, and after a short while SIGKILL to all its processes; None once none is left."""
        server = self.server
        if server:
            self.stopping = True
            server.signal(signal.SIGQUIT)
            await asyncio.wait([server.exited], timeout=IMMEDIATE_LIMIT_S)
        left = await self.end_leftovers()
        if server and left is None:
            await server.exited
            # What follows the end of a process comes one turn of the loop later.
            await asyncio.sleep(0)
        return left

    async def stop_server(self) -> None:
        await self.jobs.abandon()
        if self._starter and not self._starter.done():
            self._starter.cancel()
            ends = [self._starter, *([self.bootstrap.abandon()] if self.bootstrap else [])]
            await asyncio.wait(ends, timeout=STOP_LIMIT_S)
        server = self.server
        if server is None:
            return
        log("info", "Stopping PostgreSQL.")
        server.signal(signal.SIGINT)
        try:
            await asyncio.wait_for(asyncio.shield(server.exited), STOP_LIMIT_S)
        except asyncio.TimeoutError:
            log("error", f"PostgreSQL still runs after {STOP_LIMIT_S} s and is stopped at once.")
            left = await self.end_server_now()
            if left:
                log("error", f"The agent ends all the same: {left}.")

    # The dead-man switch, which a container's restart arms anew.

    async def expire(self) -> None:
        raise NotImplementedError

    def arm(self, state: dict) -> None:
        self.deadman_state = state
        self.deadman.arm(state["limitMs"])

    def disarm(self) -> None:
        self.deadman_state = None
        self.deadman.disarm()

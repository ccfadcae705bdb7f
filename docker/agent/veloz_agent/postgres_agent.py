"""The agent of a PostgreSQL node: carries out what the claimed run asks for, and what a dead-man switch decides."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Optional

from . import (
    arguments,
    copy_check,
    deadman,
    fence_file,
    first_start,
    peer_channel,
    peer_role,
    peers,
    replay_blockers,
    revocation,
    server_processes,
    statefile,
)
from .errors import CommandError
from .log import log
from .node import now_ms
from .postgres_observation import observation
from .readiness import readiness, uncopied
from .rejoining import Rejoining
from .processes import Child
from .settings import PostgresSettings

# A full disk fails every write at once: a client that tries again has failed often before anybody else notices.
DISK_EVERY_S = 0.025
MAX_DISK_WATCH_MS = 10_000
MAX_CLEAR_MS = 10_000
# A switch that expired and could not be carried out is tried again this often.
EXPIRE_AGAIN_S = 1
# A stop waits until every receiver has all WAL. One that has nearly all gets the rest within this time.
STRANGERS_PATIENCE_S = 0.25
STRANGERS_AGAIN_S = 0.1

CLEAN = ("shut down", "shut down in recovery")


class PostgresAgent(Rejoining):
    """Commands change things one after the other; a wait for the server's end leaves the way free for others."""

    def __init__(self, settings: PostgresSettings) -> None:
        super().__init__(settings)
        self._channel_key: Optional[bytes] = None
        self._channel: Optional[peer_channel.PeerChannel] = None
        self.commands = {
            "observe": self.observe,
            "readiness": self.readiness,
            "watchDisk": self.watch_disk,
            "ask": self.ask_peers,
            "compare": self.compare,
            "checkCopy": self.check_copy,
            "walEnd": self.wal_end,
            "health": self.check_health,
            "claim": self.claim,
            "forget": self.forget,
            "stop": self.stop,
            "fence": self.fence,
            "fenceNow": self.fence_now,
            "rewind": self.rewind,
            "copy": self.copy,
            "discard": self.discard,
            "start": self.start,
            "promote": self.promote,
            "clearReplay": self.clear_replay,
            "follow": self.follow,
            "extend": self.extend,
        }

    async def prepare(self, saved: dict) -> None:
        await super().prepare(saved)
        # Only now: before, this node did not know what it had promised. Without the channel it still serves.
        try:
            self._channel_key = peer_channel.derive_key(self.settings.ha_password)
            self._channel = peer_channel.PeerChannel(self._channel_key, self.answer_peer)
            await self._channel.listen()
        except (OSError, ValueError) as error:
            log("error", f"The agents' channel on port {peer_channel.PORT} could not be opened: {error}")

    async def observe(self, _message: dict) -> dict:
        return observation(self)

    async def readiness(self, message: dict) -> dict:
        pooler = message.get("pooler")
        kept_s = arguments.milliseconds(message, "keptMs") / 1000 if "keptMs" in message else 0
        return await readiness(self, message.get("start") is not False, pooler if isinstance(pooler, str) else None, kept_s)

    async def watch_disk(self, message: dict) -> dict:
        """Answers as soon as the volume has less than `belowBytes` free, or else after `waitMs`."""
        below = arguments.whole(message, "belowBytes", 0, 2**62)
        end = time.monotonic() + min(arguments.milliseconds(message, "waitMs"), MAX_DISK_WATCH_MS) / 1000
        while True:
            disk = os.statvfs(self.settings.volume)
            free = disk.f_bavail * disk.f_frsize
            if free < below or time.monotonic() >= end:
                return {"freeBytes": free}
            await asyncio.sleep(DISK_EVERY_S)

    async def ask_peers(self, message: dict) -> dict:
        return await peers.answer_ask(message, self.settings.ha_user, self.settings.ha_password)

    async def stop(self, message: dict) -> dict:
        token = arguments.token(message)
        limit_ms = arguments.milliseconds(message, "limitMs")
        deadman_ms = arguments.milliseconds(message, "deadmanMs")
        addresses = arguments.addresses(message.get("peers"), "peers")
        strangers = arguments.pids(message.get("strangers"), "strangers")
        began = time.monotonic()
        async with self.change:
            self.claims.check(token)
            self.refuse_while_preparing()
            server = self.server
            if self.desired == "up":
                self.desired = "held"
                # The new state is visible before the signal and durable before the answer; the disk works while
                # the server shuts down.
                self.arm({"limitMs": deadman_ms, "peers": addresses})
                self.save(sync=False)
                durable = self.on_disk(statefile.make_durable, self.state_path)
            else:
                durable = asyncio.sleep(0)
            if server and not self.stopping:
                self.stopping = True
                log("info", "Stopping PostgreSQL for a run.", token=token)
                server.signal(signal.SIGINT)
                if strangers:
                    self.spawn_task(self._cut_off(server, strangers))
            await durable
        if server:
            try:
                await asyncio.wait_for(asyncio.shield(server.exited), limit_ms / 1000)
            except asyncio.TimeoutError:
                raise CommandError(
                    "StopTimeout",
                    f"PostgreSQL still runs {limit_ms} ms after the fast shutdown was asked for. The node stays held; "
                    "start it again, or wait with another stop.",
                    limitMs=limit_ms,
                    deadmanInMs=self.deadman.remaining_ms,
                ) from None
        control = self.control()
        if control["state"] not in CLEAN:
            raise CommandError(
                "UncleanStop",
                f"PostgreSQL ended, and its control file says \"{control['state']}\", not a clean shutdown.",
                exitCode=server.exited.result() if server else None,
                control=control,
            )
        return {"already": server is None, "ms": round((time.monotonic() - began) * 1000, 1), "control": control}

    async def _cut_off(self, server: Child, strangers: list) -> None:
        """Receivers that are no node's hold the stop up no longer: they are disconnected by it anyway.

        A walsender whose receiver reads nothing waits, after the first SIGTERM, to tell it so; only the next one ends it.
        """
        await asyncio.wait([server.exited], timeout=STRANGERS_PATIENCE_S)
        told = False
        while server.running and self.server is server and self.stopping:
            ended = server_processes.end_walsenders(strangers)
            if not ended:
                return
            if not told:
                log("warn", f"Cut off receivers of others that held the stop up: {', '.join(map(str, ended))}.")
            told = True
            await asyncio.wait([server.exited], timeout=STRANGERS_AGAIN_S)

    async def _end_stop(self) -> None:
        """A shutdown that was asked for can't be taken back, only ended at once. What was committed is in the WAL: a start replays it.

        Nobody is promoted beside it: a promotion follows a fence, and a fence a server that has ended.
        """
        log("warn", "PostgreSQL did not end within its time and is ended at once, so that it can start again.")
        left = await self.end_server_now()
        if left:
            raise CommandError("StillRunning", f"Not started: {left}.")

    async def start(self, message: dict) -> dict:
        token = arguments.token(message)
        role = message.get("as")
        if role not in ("primary", "standby"):
            raise arguments.bad("as", "primary or standby", role)
        upstream = message.get("upstream")
        if upstream is not None:
            upstream = arguments.address(upstream, "upstream")
        async with self.change:
            self.claims.check(token)
            self.refuse_unstartable()
            if self.server and not self.stopping:
                return self._already_started(role, upstream)
            # Only of what stops as the primary that it is to be again.
            ends_stop = message.get("endsStop") is True and role == "primary" and not self.files.is_standby
            await (self._prepare_primary(token) if role == "primary" else self._prepare_standby(upstream))
            if ends_stop and self.server:
                await self._end_stop()
            waits = self.server is not None
            if not waits:
                await self._refuse_with_leftovers()
                self.launch()
            self.desired = "up"
            self.fenced_by = None
            self.disarm()
            pid = self.server.pid if self.server else None
            await self.save_durably()
        return {"already": False, "pid": pid, **({"waits": True} if waits else {})}

    async def _refuse_with_leftovers(self) -> None:
        left = await self.end_leftovers()
        if left:
            raise CommandError("StillRunning", f"Not started: {left}.")

    def _already_started(self, role: str, upstream: Optional[dict]) -> dict:
        now = "standby" if self.files.is_standby else "primary"
        if now != role:
            raise CommandError("RunsOtherwise", f"PostgreSQL runs as {now}; stop it before it is started as {role}.")
        if role == "standby" and upstream and not self.files.follows(upstream):
            raise CommandError("RunsOtherwise", "PostgreSQL runs as a standby of another node; use follow.")
        return {"already": True, "pid": self.server.pid if self.server else None}

    async def _prepare_primary(self, token: dict) -> None:
        if self.take_fence_file() and fence_file.read(self.settings.own):
            raise CommandError(
                "FenceNotDurable",
                "A fence file is there and can't be taken over, probably because the volume is full. Make room.",
            )
        if self.fenced_for_good:
            self.refuse_to_undo_fence(token)
        control = self.control()
        answers = await self.ask(self._all_peers(), replay=True)
        reason = await self.start_reason(answers, control)
        if reason:
            raise CommandError("PeerIsPrimary", f"Not started: {reason}", timeline=control["timeline"])
        await self.on_disk(self.files.remove_signal)

    async def _prepare_standby(self, upstream: Optional[dict]) -> None:
        if upstream and not (self.files.is_standby and self.files.follows(upstream)):
            await self.on_disk(self.write_standby, upstream)
        self.promotion = None
        if not self.files.is_standby or self.files.upstream() is None:
            raise CommandError("NotFenced", "There is no standby.signal or no upstream; fence first, or name upstream.")
        # A start as a standby is what every fence waits for.
        fence_file.remove(self.settings.own)

    async def promote(self, message: dict) -> dict:
        token = arguments.token(message)
        async with self.change:
            self.claims.check(token)
            self.claims.check_not_revoked(token)
            server = self.server
            if self._promoting():
                return {"already": True}
            if not server or self.server_state() != "running" or not self.files.is_standby:
                raise CommandError(
                    "NotStandby",
                    f"PostgreSQL is {self.server_state()}"
                    f"{'' if self.files.is_standby else ' and no standby'}; only a running standby can be promoted.",
                    promotion=self.promotion,
                )
            # Written down before it is asked for: from this record on nobody undoes the move that it belongs to.
            self.promotion = {"run": token["run"], "atMs": now_ms()}
            self.save(sync=False)
            with open(os.path.join(self.settings.data, "promote"), "w", encoding="utf-8"):
                pass
            server.signal(signal.SIGUSR1)
            self.promoting_pid = server.pid
            log("info", "Asked for promotion.", token=token)
            await self.save_durably()
        # It replays all that it has first. Beside the answer, and only where a reader is in its way.
        self.spawn_task(replay_blockers.end_while(self.settings, lambda: self._still_promoting(server)))
        return {"already": False}

    def _still_promoting(self, server: Child) -> bool:
        return self.server is server and not self.stopping and self.files.is_standby

    async def clear_replay(self, message: dict) -> dict:
        """Ends readers that hold replay up, for `limitMs` at most: a run that stopped the primary waits for it. Answers at once."""
        token = arguments.token(message)
        end = time.monotonic() + min(arguments.milliseconds(message, "limitMs"), MAX_CLEAR_MS) / 1000
        async with self.change:
            self.claims.check(token)
            server = self.server
            if not server or self.server_state() != "running" or not self.files.is_standby:
                raise CommandError("NotStandby", "Only a running standby replays.")
            self.replay_awaited_until = end

        def wanted() -> bool:
            return self._still_promoting(server) and time.monotonic() < end

        self.spawn_task(replay_blockers.end_while(self.settings, wanted, 0))
        return {}

    def _promoting(self) -> bool:
        """The server that runs now was asked for its promotion."""
        return self.server is not None and not self.stopping and self.promoting_pid == self.server.pid

    async def answer_peer(self, content: dict) -> dict:
        """A fenced node asks for its way back: `asked`, or durably `revoked`. Under the lock that `promote` takes.

        A node without data asks whether this one holds some, one that is about to start as the primary whether this one is it, and one
        that is about to copy it whether a copy would be whole.
        """
        if content.get("do") == peer_role.QUESTION:
            standby = self.files.is_standby and not self._promoting()
            return peer_role.answer(self.node, content, self.server_state(), standby, await self.on_disk(self.control))
        if content.get("do") == first_start.QUESTION:
            return first_start.answer(self.settings, self.system_identifier, content)
        if content.get("do") == copy_check.QUESTION:
            return copy_check.answer(self.settings, content, await uncopied(self).anew(copy_check.LOOK_LIMIT_S))
        run = revocation.run_of(content, self.node)
        reply = {"node": self.node, "run": run}
        async with self.change:
            self.refuse_while_preparing()
            if self.shutting_down:
                raise CommandError("NotReady", "This node is being shut down.")
            if self.promotion and self.promotion["run"] == run:
                return {**reply, "answer": "asked", "why": "the run asked for the promotion here"}
            if not self.files.is_standby or self._promoting():
                return {**reply, "answer": "asked", "why": "this node was promoted, or is being promoted"}
            self.claims.revoke(run)
            await self.save_durably()
        log("warn", f"Revoked for {content.get('from')}: run {run} may not promote this node any more.")
        return {**reply, "answer": "revoked"}

    async def follow(self, message: dict) -> dict:
        token = arguments.token(message)
        upstream = arguments.address(message.get("upstream"), "upstream")
        async with self.change:
            self.claims.check(token)
            if not self.server or self.stopping or not self.files.is_standby:
                raise CommandError("NotStandby", "Only a running standby can follow another upstream.")
            if self.files.follows(upstream):
                return {"already": True}
            await self.on_disk(self.files.write_upstream, upstream)
            self.server.signal(signal.SIGHUP)
            log("info", f"Follows {upstream['host']}:{upstream['port']}.", token=token)
        return {"already": False}

    async def extend(self, message: dict) -> dict:
        token = arguments.token(message)
        deadman_ms = arguments.milliseconds(message, "deadmanMs")
        async with self.change:
            self.claims.check(token)
            if not self.deadman.armed or self.deadman_state is None:
                raise CommandError("NotArmed", "The dead-man switch is not armed.", lastExpiry=self.last_expiry)
            self.arm({**self.deadman_state, "limitMs": deadman_ms})
            await self.save_durably()
        return {"deadmanInMs": self.deadman.remaining_ms}

    # The dead-man switch.

    def _all_peers(self) -> list:
        named = (self.deadman_state or {}).get("peers", [])
        return named + [peer for peer in self.settings.peers if peer not in named]

    async def expire(self) -> None:
        """Tried until it is done: a switch that is armed and expired keeps every other run away."""
        while True:
            try:
                return await self._expire_once()
            except Exception as error:  # noqa: BLE001 - whatever is odd now may be well in a second
                log("error", f"The dead-man switch expired and could not be carried out; it is tried again: {error!r}")
            await asyncio.sleep(EXPIRE_AGAIN_S)

    async def _expire_once(self) -> None:
        async with self.change:
            if not self.deadman.expired or self.desired == "up" or self.take_fence_file():
                return
            starts = True
            if self.desired == "held":
                did, starts = await self._expire_held()
            else:
                did = await self._expire_fenced()
            if self.server and self.stopping:
                # While it is held: its end starts nothing by itself. Clients wait no longer than they were to.
                await self._end_stop()
            self.last_expiry = {"at": now_ms(), "run": (self.claims.current or {}).get("run"), "did": did}
            log("warn", f"The dead-man switch expired: the node was {self.desired} for too long. {did}")
            self.desired = "up"
            self.disarm()
            if self.server is None:
                await self.end_leftovers()
                if starts:
                    self.launch()
                else:
                    self._start_later()
            await self.save_durably()

    async def _expire_held(self) -> tuple:
        """What it becomes, in a sentence, and whether it may start at once; otherwise whoever starts it asks the peers first."""
        answers = await self.ask(self._all_peers())
        control = self.control()
        answers = await peer_role.clarify(answers, self.node, control["timeline"], self._ask_agent)
        what, upstream = deadman.decide_held_expiry(
            self.files.is_standby, answers, control["timeline"], control["systemIdentifier"]
        )
        if what == "standby" and upstream:
            await self.on_disk(self.write_standby, upstream)
            # Whoever asked for it once has been replaced; on record it would keep a later move from being undone.
            self.promotion = None
            return (f"It becomes a standby of {upstream['host']}:{upstream['port']} ({peers.describe(answers)}).", True)
        if what == "waits":
            return (f"It waits to be rejoined: its timeline has two primaries ({peers.describe(answers)}).", False)
        role = "standby" if self.files.is_standby else "primary"
        return (f"It starts as it was, as {role} ({peers.describe(answers)}).", True)

    async def _expire_fenced(self) -> str:
        """As a standby, unless its target rules out that this run ever promotes it."""
        await self.on_disk(self.files.write_signal)
        fence = (self.deadman_state or {}).get("fence")
        why = "it is not known which run to revoke"
        if fence and self._channel_key:
            try:
                back, why = await revocation.way_back(fence, self.node, self._all_peers(), self._ask_agent, self.ask)
                if back:
                    await self.on_disk(self.files.remove_signal)
                    return f"It takes its role as primary back: {why}."
            except Exception as error:  # noqa: BLE001 - whatever is odd, it is no reason to become a primary
                self.files.write_signal()
                why = f"{type(error).__name__}: {error}"
        return f"It starts as a standby, as it was fenced: {why}."

    async def _ask_agent(self, host: str, content: dict, limit_ms: int) -> dict:
        return await peer_channel.ask(self._channel_key or b"", host, content, limit_ms)

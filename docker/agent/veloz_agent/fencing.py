"""Fencing a PostgreSQL node: for the time of a planned move, or for good, and who may take it back."""

from __future__ import annotations

import time
from typing import Optional

from . import arguments, statefile
from .bootstrap import Bootstrap
from .errors import CommandError
from .log import log
from .postgres_server import PostgresSupervisor


class Fencing(PostgresSupervisor):
    """The commands `fence` and `fenceNow`."""

    def refuse_while_preparing(self) -> None:
        if Bootstrap.needed(self.settings.data):
            why = self.start_guard or "there is none; a copy makes it."
            raise CommandError("NotReady", f"The data directory is not complete: {why}")

    async def fence(self, message: dict) -> dict:
        token = arguments.token(message)
        upstream = arguments.address(message.get("upstream"), "upstream")
        deadman_ms = arguments.milliseconds(message, "deadmanMs")
        async with self.change:
            self.claims.check(token)
            self.jobs.refuse_while_running()
            self.refuse_while_preparing()
            if self.server:
                raise CommandError("NotStopped", f"PostgreSQL is {self.server_state()}; a node is fenced when stopped.")
            if self.desired == "fenced" and self.files.is_standby and self.files.follows(upstream):
                return {"already": True}
            if self.fenced_for_good:
                await self.on_disk(self.write_standby, upstream)
                return {"already": True}
            armed = self.deadman_state or {}
            # Only a primary may come back as one; and a node that was fenced for one target and is now for another does
            # not ask, because both would have to rule their promotion out.
            was_primary = self.desired != "fenced" and not self.files.is_standby
            fence = {"run": token["run"], "upstream": upstream} if was_primary else None
            left = self.deadman.remaining_ms
            # All files first, then one round of syncs: clients are waiting. The signal comes before the state.
            self.write_standby(upstream, sync=False)
            self.desired = "fenced"
            # Clients have waited since the stop: a fence does not prolong that.
            deadman_ms = deadman_ms if left is None else max(1, min(deadman_ms, left))
            self.arm({"limitMs": deadman_ms, "peers": armed.get("peers", []), "fence": fence})
            self.save(sync=False)
            await self.on_disk(
                statefile.make_durable, self.files.conf_path, self.files.signal_path, self.state_path
            )
        log("info", f"Fenced: this node can start only as a standby of {upstream['host']}.", token=token)
        return {"already": False}

    async def fence_now(self, message: dict) -> dict:
        """Durably fenced for good, and no process of the server left, on return. What it runs for does not matter."""
        token = arguments.token(message)
        upstream = arguments.address(message.get("upstream"), "upstream")
        began = time.monotonic()
        async with self.change:
            self.claims.check(token)
            if self.jobs.running:
                # Fenced for good since the job began, and the job works on the very files that a fence is made of.
                return {"already": True, "ms": 0, "control": None}
            already = self.fenced_for_good and self.fence_durable and self.server is None
            if not (already and self.files.upstream() == upstream):
                problem = await self._fence_and_end(token, upstream)
                if problem:
                    # The server is gone all the same, and that may have made room.
                    await self._write_fence(token, upstream)
        ms = round((time.monotonic() - began) * 1000, 1)
        try:
            control: Optional[dict] = self.control()
        except OSError:
            control = None
        log("warn", f"Fenced for good, as a standby of {upstream['host']} to be.", token=token, already=already, ms=ms)
        return {"already": already, "ms": ms, "control": control}

    async def _fence_and_end(self, token: dict, upstream: dict) -> Optional[OSError]:
        """The fence is visible before the server's end, so that nothing starts it again, and made durable meanwhile.

        Returns what kept the fence from being written. Raises when a process of the server does not end.
        """
        problem: Optional[OSError] = None
        durable = None
        try:
            written = self.fence_for_good(token["run"], upstream, sync=False)
            durable = self.on_disk(statefile.make_durable, *written)
        except OSError as error:
            problem = error
        await self.cancel_start()
        left = await self.end_server_now()
        if durable:
            try:
                await durable
                self.fence_durable = True
            except OSError as error:
                problem = error
        if left:
            raise CommandError("StillRunning", f"The node can't start again, but {left}. Kill the container.")
        return problem

    async def _write_fence(self, token: dict, upstream: dict) -> None:
        try:
            await self.on_disk(statefile.make_durable, *self.fence_for_good(token["run"], upstream, sync=False))
            self.fence_durable = True
        except OSError as error:
            raise CommandError(
                "FenceNotDurable",
                "PostgreSQL was ended and this agent does not start it again, but the fence can't be written: "
                f"{error}. Make room on the volume and fence again, or stop the container and put a fence file into "
                "its volume.",
            ) from error

    def write_standby(self, upstream: dict, sync: bool = True) -> None:
        self.files.write_upstream(upstream, sync)
        self.files.write_signal(sync=sync)
        if not self.files.is_standby or not self.files.follows(upstream):
            raise OSError("standby.conf or standby.signal is not what was written")

    def refuse_to_undo_fence(self, token: dict) -> None:
        """Only the run that fenced a primary knows that it promoted nobody; it alone may take the fence back."""
        by = self.fenced_by or {}
        if by.get("run") != token["run"] or not by.get("wasPrimary"):
            raise CommandError(
                "FencedForGood",
                f"Run {by.get('run')} fenced this node for good{'' if by.get('wasPrimary') else ', as a standby'}; "
                "it can start only as a standby.",
                fencedBy=self.fenced_by,
            )

"""Dead-man switches: their clock, and the pure decisions on what happens when one expires."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Callable, Optional


class Deadman:
    """A deadline on the monotonic clock that calls `on_expiry` once, unless disarmed or moved before."""

    def __init__(self, on_expiry: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._on_expiry = on_expiry
        self._clock = clock
        self._timer: Optional[asyncio.TimerHandle] = None
        self.deadline: Optional[float] = None

    @property
    def armed(self) -> bool:
        return self.deadline is not None

    @property
    def remaining_ms(self) -> Optional[int]:
        return None if self.deadline is None else max(0, round((self.deadline - self._clock()) * 1000))

    @property
    def expired(self) -> bool:
        return self.deadline is not None and self._clock() >= self.deadline

    def arm(self, limit_ms: int) -> None:
        self.disarm()
        self.deadline = self._clock() + limit_ms / 1000
        self._schedule(limit_ms / 1000)

    def disarm(self) -> None:
        self.deadline = None
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self.deadline is None:
            return
        left = self.deadline - self._clock()
        if left > 0:
            self._schedule(left)
        else:
            self._on_expiry()


def newest_primary(answers: list, system_identifier: Optional[str] = None) -> Optional[Any]:
    """The writable node on the newest timeline, of this database system when that is known."""
    writable = [
        answer
        for answer in answers
        if answer.writable and (system_identifier is None or answer.system_identifier == system_identifier)
    ]
    return max(writable, key=lambda answer: answer.timeline or 0, default=None)


def decide_held_expiry(is_standby: bool, answers: list, timeline: int, system_identifier: Optional[str]) -> tuple:
    """What a node that was held for too long becomes: ('as-was', None), ('standby', upstream) or ('waits', None).

    A promotion is asked for only after a confirmed fence, so while nobody writes, starting as it was is safe. A node whose server
    says that it takes writes on this node's own timeline has another history under the same number: nobody can follow it as it is.
    What an agent says for its server, which is being promoted, may be the timeline that it still leaves.
    """
    primary = newest_primary(answers, system_identifier)
    if primary is None or is_standby:
        return ("as-was", None)
    if primary.problem is None and primary.timeline == timeline:
        return ("waits", None)
    return ("standby", {"host": primary.host, "port": primary.port})


def decide_fenced_expiry(target: Optional[Any], others: list) -> Optional[str]:
    """Why a fenced node whose run was revoked must not come back as primary, or None when nothing speaks against it.

    `target`: what the server of the node that revoked says; it has to say that it is a standby. Of the others nobody
    may be writable, of whatever database system: something else than this run is at work then.
    """
    if target is None or not target.standby:
        return "the target's server did not say that it is a standby"
    writable = newest_primary(others)
    if writable is not None:
        return f"{writable.host}:{writable.port} is a writable primary"
    return None


def decide_start_guard(answers: list, timeline: int, system_identifier: Optional[str]) -> Optional[str]:
    """Why this node must not start read-write, or None when nothing speaks against it."""
    primary = newest_primary(answers, system_identifier)
    if primary is not None and (primary.timeline or 0) >= timeline:
        return (
            f"{primary.host}:{primary.port} is a writable primary on timeline {primary.timeline}, this node stopped "
            f"as a primary on timeline {timeline}: it waits to be rejoined as a standby."
        )
    return None


def decide_route(route: dict, answers: list, before: Optional[dict] = None) -> dict:
    """Where clients go after a hold expired: to the writable node on the newest timeline, else where they went.

    `before`: where they went when the hold began. A run may have led them ahead to a node that is still being promoted:
    who would be led to a standby goes back, unless that is one by now as well.
    """
    primary = newest_primary(answers)
    if primary is not None:
        return {"host": primary.host, "port": primary.port}
    standbys = [{"host": answer.host, "port": answer.port} for answer in answers if answer.standby]
    if before is not None and route in standbys and before not in standbys:
        return dict(before)
    return dict(route)

"""An answer that costs something, and for which several workers ask all the time.

What was found well counts for a while where whoever asks says so: a person who has just changed something is not told of before. What was
found wrong may be mended a moment later, and whoever mended it asks again: that counts no longer than it took to find, so that a silent
peer takes up half of the time at most.
"""

from __future__ import annotations

import asyncio
import time
from typing import Awaitable, Callable, Generic, Optional, TypeVar

Answer = TypeVar("Answer")


class Kept(Generic[Answer]):
    """`ask` finds the answer, `is_well` says whether it may be kept for `kept_s` seconds."""

    def __init__(self, ask: Callable[[], Awaitable[Answer]], is_well: Callable[[Answer], bool], kept_s: float = 0) -> None:
        self._ask = ask
        self._is_well = is_well
        self._kept_s = kept_s
        self._found: Optional[Answer] = None
        # Until when it counts as what was found wrong, and since when as what was found well.
        self._until: Optional[float] = None
        self._since: Optional[float] = None
        self._asking: Optional[asyncio.Future] = None

    async def answer(self, kept_s: float = 0) -> Answer:
        """`kept_s`: how old an answer may be in which all was well, where that is longer than usual. Raises what `ask` raises."""
        now = time.monotonic()
        if self._since is not None and now - self._since <= max(self._kept_s, kept_s):
            return self._found  # type: ignore[return-value]
        if self._until is not None and now <= self._until:
            return self._found  # type: ignore[return-value]
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._renew(now))
        # Whoever asks meanwhile waits for the same; one who goes away ends it for nobody else.
        return await asyncio.shield(self._asking)

    async def _renew(self, began: float) -> Answer:
        self._since = self._until = None
        try:
            self._found = await self._ask()
            now = time.monotonic()
            if self._is_well(self._found):
                self._since = now
            else:
                self._until = now + (now - began)
            return self._found
        finally:
            self._asking = None

"""How often PostgreSQL ended by itself, and how long to wait before the next start. Pure."""

from __future__ import annotations

from typing import Optional

FIRST_PAUSE_S = 0.2
LAST_PAUSE_S = 5.0
# A server that ran for so long had recovered: its next crash is a first one again.
STEADY_MS = 60_000


class Crashes:
    """Counted since the agent's own start."""

    def __init__(self) -> None:
        self.count = 0
        self.last_at_ms: Optional[int] = None
        self.last_exit_code: Optional[int] = None
        self.in_a_row = 0

    def add(self, exit_code: int, ran_ms: int, now_ms: int) -> float:
        """Takes one down and returns the seconds to wait: none after the first, then 0.2, doubled each time up to 5."""
        if ran_ms >= STEADY_MS:
            self.in_a_row = 0
        pause = 0.0 if self.in_a_row == 0 else min(LAST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(10, self.in_a_row - 1))
        self.in_a_row += 1
        self.count += 1
        self.last_at_ms = now_ms
        self.last_exit_code = exit_code
        return pause

    def as_answer(self) -> dict:
        return {"count": self.count, "lastAtMs": self.last_at_ms, "lastExitCode": self.last_exit_code}

"""Whether clients go to a node that takes their writes: the pure decision, and what has to be remembered for it."""

from __future__ import annotations

from typing import Optional


class RouteCheck:
    """Remembers the newest timeline on which it saw each database system written to: an older primary is nobody's to follow."""

    def __init__(self) -> None:
        self._newest: dict = {}

    def learn(self, answers: list) -> None:
        for answer in answers:
            if answer.writable and answer.system_identifier:
                known = self._newest.get(answer.system_identifier, 0)
                self._newest[answer.system_identifier] = max(known, answer.timeline or 0)

    def better(self, route: dict, answers: list) -> Optional[dict]:
        """Where clients should go instead, or None when nothing is proven.

        The routed node has to say itself that it is a standby: silence is no proof. Of all others exactly one has to be
        writable, of the same database system, and on no older timeline than was seen before: two are a split brain, which
        the pooler does not decide.
        """
        here = next((each for each in answers if (each.host, each.port) == (route["host"], route["port"])), None)
        writable = [each for each in answers if each.writable]
        if here is None or not here.standby or len(writable) != 1:
            return None
        (there,) = writable
        if not here.system_identifier or there.system_identifier != here.system_identifier:
            return None
        if (there.timeline or 0) < self._newest.get(there.system_identifier, 0):
            return None
        return {"host": there.host, "port": there.port}

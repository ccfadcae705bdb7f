"""Whether clients go to a node that takes their writes: the pure decision, and what has to be remembered for it."""

from __future__ import annotations

from typing import Optional


class RouteCheck:
    """Remembers the newest timeline on which it saw each database system written to: an older primary is nobody's to follow."""

    def __init__(self, saved: Optional[dict] = None) -> None:
        saved = saved or {}
        self._newest: dict = dict(saved.get("newest") or {})
        # The primary to which clients were led last: host, port, system and timeline.
        self._led: Optional[dict] = saved.get("led")

    def as_state(self) -> dict:
        return {"newest": self._newest, "led": self._led}

    def learn(self, route: dict, answers: list) -> bool:
        """Takes note of who is writable. True when that is news, which has to outlive this process."""
        before = (dict(self._newest), self._led)
        for answer in answers:
            if not answer.writable or not answer.system_identifier:
                continue
            known = self._newest.get(answer.system_identifier, 0)
            self._newest[answer.system_identifier] = max(known, answer.timeline or 0)
            if (answer.host, answer.port) == (route["host"], route["port"]):
                self._led = {**route, "system": answer.system_identifier, "timeline": answer.timeline or 0}
        return (self._newest, self._led) != before

    def better(self, route: dict, answers: list) -> Optional[dict]:
        """Where clients should go instead, or None when nothing is proven.

        Of all others exactly one has to be writable, of the same database system, and on no older timeline than was seen
        before: two are a split brain, which the pooler does not decide. The routed node has to say itself that it is a
        standby. Where it says nothing, the other one has to be on a newer timeline than the routed one was on: it was
        promoted in its place, so the routed one is no primary any more, whatever it will say.
        """
        here = next((each for each in answers if (each.host, each.port) == (route["host"], route["port"])), None)
        writable = [each for each in answers if each.writable]
        if here is None or here.writable or len(writable) != 1:
            return None
        (there,) = writable
        timeline = there.timeline or 0
        if not there.system_identifier or timeline < self._newest.get(there.system_identifier, 0):
            return None
        if here.standby:
            proven = here.system_identifier == there.system_identifier
        else:
            led = self._led
            proven = (
                led is not None
                and (led["host"], led["port"]) == (route["host"], route["port"])
                and led["system"] == there.system_identifier
                and timeline > led["timeline"]
            )
        return {"host": there.host, "port": there.port} if proven else None

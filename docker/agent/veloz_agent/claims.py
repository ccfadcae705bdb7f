"""Who owns this node: the run whose commands are carried out, and whose late ones are refused."""

from __future__ import annotations

from typing import Optional

from .errors import CommandError

# Runs that lost or gave back their claim and are still remembered, so that a worker which was frozen for long cannot
# take the node with a run that is over.
REMEMBERED = 64


class Claims:
    """The newest claim, and the runs that are over. Pure: the owner persists `as_state()` after each change."""

    def __init__(self, state: Optional[dict] = None) -> None:
        state = state or {}
        self.current: Optional[dict] = state.get("claim")
        self._over: dict = dict(state.get("over") or {})
        # The run that may not promote this node any more, until another run claims it.
        self.revoked: Optional[str] = state.get("revoked")

    def as_state(self) -> dict:
        return {"claim": self.current, "over": self._over, "revoked": self.revoked}

    def claim(self, token: dict, armed: bool) -> bool:
        """Takes the node for the token's run; True when that changed anything.

        `armed`: a dead-man switch of the current claim is armed, so another run has to wait for it.
        """
        run, attempt = token["run"], token["attempt"]
        current = self.current
        if current and current["run"] == run:
            if attempt < current["attempt"]:
                raise superseded(token, current)
            self.current = dict(token)
            return current != self.current
        if run in self._over and (self._over[run] is None or attempt < self._over[run]):
            raise superseded(token, current)
        if current and armed:
            raise CommandError(
                "Busy",
                f"Run {current['run']} holds this node and its dead-man switch is armed; "
                "it lets go when that run ends or the switch expires.",
                owner=current,
            )
        if current:
            # A run that another one replaced never comes back.
            self._remember(current["run"], None)
        if self.revoked not in (None, run):
            # Nor does a revoked one, even where it had given its claim back: its record ends here.
            self._remember(self.revoked, None)
            self.revoked = None
        self.current = dict(token)
        return True

    def is_older(self, run: Optional[str], attempt: Optional[int]) -> bool:
        """Whether an order of this run and attempt was overtaken: by a newer attempt, or by another run."""
        if run is None or attempt is None:
            return False
        if self.current and self.current["run"] == run:
            return attempt < self.current["attempt"]
        return run in self._over and (self._over[run] is None or attempt < self._over[run])

    def check(self, token: dict) -> None:
        """Lets exactly the claimed run and attempt pass."""
        if self.current != token:
            raise superseded(token, self.current)

    def forget(self, token: dict, armed: bool) -> bool:
        """Gives the claim back; True when there was one."""
        if self.current is None:
            return False
        self.check(token)
        if armed:
            raise CommandError(
                "Busy", "The dead-man switch is still armed; start or release first, then forget.", owner=self.current
            )
        # A retry of the same run may claim again, an older attempt of it may not.
        self._remember(token["run"], token["attempt"])
        self.current = None
        return True

    def revoke(self, run: str) -> None:
        """From here on the run may not promote this node, by no attempt; refused when another run owns the node.

        A run that this node knows nothing of is refused as well: its records, which would tell whether it asked for the
        promotion, may have been lost.
        """
        known = self.current["run"] == run if self.current else run in self._over
        if not known:
            why = f"this node belongs to run {self.current['run']}" if self.current else "it never claimed this node"
            raise CommandError("NotRevocable", f"Run {run} can't be revoked here: {why}.", owner=self.current)
        self.revoked = run

    def check_not_revoked(self, token: dict) -> None:
        if self.revoked == token["run"]:
            raise CommandError(
                "Revoked",
                f"Run {token['run']} may not promote this node any more: the node that it had fenced waited for too "
                "long and had that ruled out, to be primary again. Observe both; a new run may try again.",
                token=token,
            )

    def _remember(self, run: str, attempt: Optional[int]) -> None:
        self._over.pop(run, None)
        self._over[run] = attempt
        while len(self._over) > REMEMBERED:
            del self._over[next(iter(self._over))]


def superseded(token: dict, current: Optional[dict]) -> CommandError:
    asked = f"Run {token['run']} attempt {token['attempt']}"
    if current is None:
        owner = "it does not own this node, and that run is over or has not claimed it"
    else:
        owner = f"this node belongs to run {current['run']} attempt {current['attempt']}"
    return CommandError("Superseded", f"{asked} was refused: {owner}.", token=token, owner=current)

"""Refusals that a caller gets as `error` of its answer."""

from __future__ import annotations

from typing import Any


class CommandError(Exception):
    """A command was refused or failed.

    `type` is the stable name that a worker decides on, the message is for people (what, measured, limit, what next),
    `details` carries the measured values.
    """

    def __init__(self, type_: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.type = type_
        self.message = message
        self.details = details

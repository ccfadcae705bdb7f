"""`fence.json`: how a node is fenced whose container does not run. Whoever starts that container starts no server.

It is put into the stopped container's volume from outside, with Docker's means. The agent takes it over into its own
state before anything else, and removes it then.
"""

from __future__ import annotations

import json
import os
from typing import Optional

from . import arguments
from .errors import CommandError
from .statefile import sync_directory

NAME = "fence.json"
_NOT_UNDERSTOOD = {"run": None, "upstream": None, "attempt": None}


def read(directory: str) -> Optional[dict]:
    """{"run", "upstream", "attempt"}; attempt is None where the file names none.

    Run and upstream are None when the file is there and can't be understood: it is a fence all the same.
    """
    try:
        with open(os.path.join(directory, NAME), encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return dict(_NOT_UNDERSTOOD)
    try:
        value = json.loads(text)
        run = value["run"]
        if not isinstance(run, str) or not run:
            raise arguments.bad("run", "the id of a run", run)
        attempt = value.get("attempt")
        return {
            "run": run,
            "upstream": arguments.address(value.get("upstream"), "upstream"),
            "attempt": attempt if type(attempt) is int else None,
        }
    except (ValueError, TypeError, KeyError, AttributeError, CommandError):
        return dict(_NOT_UNDERSTOOD)


def remove(directory: str) -> None:
    """Only after what it asks for is durable elsewhere."""
    try:
        os.unlink(os.path.join(directory, NAME))
    except FileNotFoundError:
        return
    sync_directory(directory)

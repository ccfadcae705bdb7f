"""The agent's own log: one JSON document a line on standard output, with a sentence in `msg`."""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def log(level: str, msg: str, **fields: Any) -> None:
    """Writes one line; a closed or full log must never take process 1 down."""
    now = time.time()
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + ".%03dZ" % (now % 1 * 1000)
    line = json.dumps({"at": at, "level": level, "msg": msg, **fields}, default=str)
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        pass

"""Checks of a command's arguments. All limits are milliseconds, and bounded so that nothing can be armed for ever."""

from __future__ import annotations

import re
from typing import Any

from .errors import CommandError

Address = dict  # {"host": str, "port": int}

MAX_LIMIT_MS = 600_000
_LSN = re.compile(r"^[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}\Z")


def bad(key: str, expected: str, got: Any) -> CommandError:
    return CommandError("BadRequest", f"{key}: expected {expected}, got {got!r}.", key=key)


def milliseconds(message: dict, key: str) -> int:
    """A limit between 1 ms and ten minutes."""
    value = message.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= MAX_LIMIT_MS:
        raise bad(key, f"milliseconds from 1 to {MAX_LIMIT_MS}", value)
    return int(value)


def whole(message: dict, key: str, least: int, most: int) -> int:
    value = message.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise bad(key, f"a whole number from {least} to {most}", value)
    return value


def lsn(message: dict, key: str) -> str:
    """A position in the WAL, as PostgreSQL writes it."""
    value = message.get(key)
    if not isinstance(value, str) or not _LSN.match(value):
        raise bad(key, "an LSN like 16/B374D848", value)
    return value.upper()


def address(value: Any, key: str) -> Address:
    """A host as the container's own network knows it, and its port."""
    if not isinstance(value, dict):
        raise bad(key, "{host, port}", value)
    host, port = value.get("host"), value.get("port")
    # The host goes into configuration files: nothing that could end a quoted value or a line may pass.
    if not isinstance(host, str) or not host or not all(c.isalnum() or c in ".-_:" for c in host):
        raise bad(key + ".host", "a host name or address", host)
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise bad(key + ".port", "a port", port)
    return {"host": host, "port": port}


def addresses(value: Any, key: str) -> list:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > 16:
        raise bad(key, "a list of at most 16 {host, port}", value)
    return [address(item, f"{key}[{index}]") for index, item in enumerate(value)]


def pids(value: Any, key: str) -> list:
    """Ids of processes; none where nothing is said."""
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > 256:
        raise bad(key, "a list of at most 256 process ids", value)
    for pid in value:
        if isinstance(pid, bool) or not isinstance(pid, int) or pid < 2:
            raise bad(key, "process ids", pid)
    return value


def token(message: dict) -> dict:
    """The run, unique among all runs, and its attempt, which grows within the run."""
    value = message.get("token")
    if not isinstance(value, dict):
        raise bad("token", "{run, attempt}", value)
    run, attempt = value.get("run"), value.get("attempt")
    if not isinstance(run, str) or not 1 <= len(run) <= 200:
        raise bad("token.run", "the id of a run", run)
    if isinstance(attempt, bool) or not isinstance(attempt, int) or attempt < 0:
        raise bad("token.attempt", "a whole number that is not negative", attempt)
    return {"run": run, "attempt": attempt}


def parse_address_list(text: str, default_port: int) -> list:
    """`host:port,host` from an environment variable."""
    found = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        host, _, port = item.partition(":")
        if port and not port.isdigit():
            raise bad("address", "host:port", item)
        found.append(address({"host": host, "port": int(port or default_port)}, item))
    return found

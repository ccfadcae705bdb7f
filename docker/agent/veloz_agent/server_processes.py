"""The PostgreSQL processes of the container, found in /proc: a server is gone only when none of them is left."""

from __future__ import annotations

import os
import signal

NAME = "postgres"


def server_pids(proc: str = "/proc") -> list:
    """Ids of all postmasters and backends that run; what has ended and only waits to be reaped does not count."""
    found = []
    for entry in os.listdir(proc):
        if not entry.isdigit():
            continue
        try:
            with open(os.path.join(proc, entry, "stat"), encoding="utf-8", errors="replace") as file:
                stat = file.read()
        except OSError:
            continue
        # "pid (name) state …"; the name may hold anything, also a closing bracket.
        name = stat[stat.find("(") + 1 : stat.rfind(")")]
        state = stat[stat.rfind(")") + 2 : stat.rfind(")") + 3]
        if name == NAME and state not in ("Z", "X"):
            found.append(int(entry))
    return found


def end_walsenders(pids: list, proc: str = "/proc") -> list:
    """Sends SIGTERM to those of the processes that are walsenders still, by their title. Returns them."""
    ended = []
    for pid in pids:
        try:
            with open(os.path.join(proc, str(pid), "cmdline"), "rb") as file:
                if b"walsender" not in file.read():
                    continue
            os.kill(pid, signal.SIGTERM)
        except OSError:
            # It has ended meanwhile.
            continue
        ended.append(pid)
    return ended


def kill_servers(proc: str = "/proc") -> list:
    """Sends SIGKILL to every one of them, which ends a stopped process too. Returns those that were there.

    Only as process 1: elsewhere /proc shows servers that are none of ours.
    """
    if os.getpid() != 1:
        return []
    pids = server_pids(proc)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return pids

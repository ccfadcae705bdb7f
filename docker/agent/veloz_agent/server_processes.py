"""The PostgreSQL processes of the container, found in /proc: a server is gone only when none of them is left."""

from __future__ import annotations

import os
import signal
from typing import Optional

NAME = "postgres"
# Stopped by SIGSTOP; what a debugger has stopped says `t`, and SIGCONT does nothing to it.
_STOPPED = "T"


def server_pids(proc: str = "/proc") -> list:
    """Ids of all postmasters and backends that run; what has ended and only waits to be reaped does not count."""
    return [pid for pid in _numbers(proc) if _state(pid, proc) not in (None, "Z", "X")]


def _numbers(proc: str) -> list:
    return [int(entry) for entry in os.listdir(proc) if entry.isdigit()]


def _state(pid: int, proc: str) -> Optional[str]:
    """The letter of the state that a process of PostgreSQL is in; None where it is none, or is gone."""
    try:
        with open(os.path.join(proc, str(pid), "stat"), encoding="utf-8", errors="replace") as file:
            stat = file.read()
    except OSError:
        return None
    # "pid (name) state …"; the name may hold anything, also a closing bracket.
    name = stat[stat.find("(") + 1 : stat.rfind(")")]
    return stat[stat.rfind(")") + 2 : stat.rfind(")") + 3] if name == NAME else None


def wake_stopped(only: Optional[int] = None, proc: str = "/proc") -> list:
    """Sends SIGCONT to every process of the server that was stopped (SIGSTOP), or to `only` where that is. Returns those.

    Only as process 1: elsewhere /proc shows servers that are none of ours.
    """
    if os.getpid() != 1:
        return []
    woken = []
    for pid in _numbers(proc) if only is None else [only]:
        if _state(pid, proc) != _STOPPED:
            continue
        try:
            os.kill(pid, signal.SIGCONT)
        except OSError:
            # It has ended meanwhile.
            continue
        woken.append(pid)
    return woken


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

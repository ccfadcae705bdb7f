"""
What a Sentinel finds by the name of a node that is away: nobody.

Docker gives an address that became free to whoever starts next, and knows the name of a container only while that runs. A
Sentinel whose look-up fails keeps to the address of before, and takes the node that has it now for the one that is away: it has
a master follow itself, or misses that a replica was promoted, and has it follow the old master again.
"""

from __future__ import annotations

import os
from typing import Iterable

from .log import log
from .settings import Settings

HOSTS = "/etc/hosts"
ORDER = "/etc/nsswitch.conf"
# Docker's own word comes first. Of a name that it does not know, or gives no answer about, the file has one.
DOCKER_FIRST = "hosts: dns files"
# Of the Sentinel's own container, where nothing listens on a node's port: a connection is refused at once, and tried again, with a
# new look-up, a second later.
NOBODY = "127.77.0."


def nobody_at(hosts: str, names: Iterable[str]) -> list[str]:
    """
    The lines that the file of addresses lacks, by which each of these names has one where nobody is; each another one, since a
    Sentinel takes two nodes with one address for the same. A name that the file has keeps what it has there.
    """
    words = [line.split("#")[0].split() for line in hosts.splitlines()]
    known = {name for line in words for name in line[1:]}
    free = (address for number in range(1, 255) if (address := f"{NOBODY}{number}") not in {line[0] for line in words if line})
    return [f"{address} {name}" for name, address in zip([name for name in names if name not in known], free)]


def docker_first(order: str) -> str:
    """The configuration of look-ups in which the name server is asked before the file."""
    kept = [line for line in order.splitlines() if line.split(":")[0].strip() != "hosts"]
    return "\n".join([*kept, DOCKER_FIRST, ""])


def find_nobody(settings: Settings, hosts: str = HOSTS, order: str = ORDER) -> bool:
    """
    Sets the container of a Sentinel up so; as root, before anything in it has looked a name up. Returns whether it could: a Sentinel
    that mistakes a node for another one all the same is put right by the master (mistaken.py).
    """
    try:
        there = read(hosts)
        lines = nobody_at(there, [name for name, _ in settings.nodes])
        if lines:
            # Docker has mounted this very file: it can't be replaced by another one.
            with open(hosts, "a", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in ([""] if there and not there.endswith("\n") else []) + lines))
        before = read(order)
        if docker_first(before) != before:
            with open(f"{order}.new", "w", encoding="utf-8") as file:
                file.write(docker_first(before))
            os.replace(f"{order}.new", order)
    except OSError as error:
        log(f"{settings.node}: a node that is away will be looked for at its old address, which another one may have by then: {error}")
        return False
    return True


def read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""

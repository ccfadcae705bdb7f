"""Tablespaces: directories beside the data directory that hold a part of the databases, at the same paths on each node.

PostgreSQL makes none of these directories: a standby whose primary has a new tablespace ends where it replays that, and `pg_basebackup`
refuses a directory with anything in it. So the agent makes missing ones, and has a copy made beside what lies there, as it does with the
data directory. It moves, and removes later, only what is certainly this node's own: on the node's own volume, and named by a data directory
of the node. Elsewhere another node may use the very same directory.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Optional

from . import statefile
from .control_session import open_control
from .settings import PostgresSettings

DIRECTORY = "pg_tblspc"
# Where a tablespace is gathered, before it takes the place of the link to where it lay.
_GATHERED = ".gathered"
_QUESTION = "SELECT oid, pg_tablespace_location(oid) AS path FROM pg_tablespace"


async def of(settings: PostgresSettings, upstream: dict) -> dict:
    """The paths of the tablespaces of a server, by their numbers. Those within a data directory have none of their own, and are a part of it."""
    session = await open_control(upstream["host"], upstream["port"], settings.ha_user, settings.ha_password)
    try:
        rows = await session.query(_QUESTION)
    finally:
        session.close()
    return {row["oid"]: row["path"] for row in rows if (row["path"] or "").startswith("/")}


def links(data: str) -> dict:
    """The same, as a data directory names them."""
    folder = os.path.join(data, DIRECTORY)
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return {}
    paths = {name: os.path.join(folder, name) for name in names}
    return {name: os.readlink(path) for name, path in paths.items() if os.path.islink(path)}


def versions(settings: PostgresSettings, path: str) -> list:
    """What servers of this node's version have put there: one directory, `PG_17_202406281`. Anything else is not theirs."""
    own = re.compile(rf"PG_{settings.version or '[0-9]+'}_[0-9]+")
    try:
        return sorted(name for name in os.listdir(path) if own.fullmatch(name))
    except OSError:
        return []


def mount_points() -> list:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = [line.split(" ")[4] for line in file]
    # A blank in a name is written as \040.
    return [re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point) for point in points]


def on_own_volume(settings: PostgresSettings, path: str) -> bool:
    """Is it on the volume that this agent holds the lock of, and in no other mount within that? Then nobody else uses it."""
    volume, real = os.path.realpath(settings.volume), os.path.realpath(path)
    if real != volume and not real.startswith(volume + "/"):
        return False
    try:
        inside = [point for point in mount_points() if point.startswith(volume + "/")]
    except (OSError, IndexError):
        return False
    return not any(real == point or real.startswith(point + "/") for point in inside)


@dataclass
class Places:
    """Where a copy puts the tablespaces of its upstream. `beside`: paths by number, of those that are copied beside what lies there.
    `problems`: `{oid, path, problem}` of those of which no copy can be made here."""

    beside: dict = field(default_factory=dict)
    problems: list = field(default_factory=list)

    def sentence(self) -> Optional[str]:
        """None where nothing is in the way."""
        if not self.problems:
            return None
        return "; ".join(f"tablespace {one['oid']} at {one['path']}: {one['problem']}" for one in self.problems)


def places(settings: PostgresSettings, wanted: dict, datas: list) -> Places:
    """Changes nothing. `wanted`: the upstream's, as `of` tells them. `datas`: this node's own data directories, as they are and replaced."""
    found = Places()
    for oid, path in sorted(wanted.items()):
        own = on_own_volume(settings, path)
        problem = _problem(settings, path, own, datas)
        if problem:
            found.problems.append({"oid": oid, "path": path, "problem": problem})
        elif own:
            found.beside[oid] = path
    return found


def _problem(settings: PostgresSettings, path: str, own: bool, datas: list) -> Optional[str]:
    if not os.path.lexists(path):
        return None if _can_make(path) else "there is no such directory, and the server's user may not make it"
    if not os.path.isdir(path):
        return "it is no directory"
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return "the server's user may not write there"
    if not own:
        # Another node may have its very own data there, by the same mount.
        return "it is not empty, and lies outside of the node's own volume" if os.listdir(path) else None
    theirs = versions(settings, path)
    if not theirs:
        return None
    if not all(on_own_volume(settings, os.path.join(path, name)) for name in theirs):
        return f"{theirs[0]} in it is another mount"
    if not any(_names(data, path) for data in datas):
        return f"it holds {theirs[0]}, and no data directory of this node names it"
    return None


def _can_make(path: str) -> bool:
    above = os.path.dirname(path)
    while above != "/" and not os.path.lexists(above):
        above = os.path.dirname(above)
    return os.path.isdir(above) and os.access(above, os.W_OK | os.X_OK)


def _names(data: str, path: str) -> bool:
    real = os.path.realpath(path)
    return any(os.path.realpath(target) == real for target in links(data).values())


def make(paths: list) -> tuple:
    """(those that were missing and are there now, `path: why` of those that could not be made)."""
    made, failed = [], []
    for path in paths:
        if os.path.isdir(path):
            continue
        try:
            os.makedirs(path, 0o700)
            made.append(path)
        except OSError as error:
            failed.append(f"{path}: {error.strerror}")
    return made, failed


# A copy that takes its place. `side`: the data directory as it was copied. `staged`: its tablespaces, each by its number.


def link_back(side: str, beside: dict) -> None:
    """The links of a copy lead to where it was made; from now on to where its tablespaces belong."""
    folder = os.path.join(side, DIRECTORY)
    for oid, path in beside.items():
        link = os.path.join(folder, oid)
        # It may have been dropped meanwhile.
        if os.path.islink(link):
            os.symlink(path, link + ".new")
            os.replace(link + ".new", link)
    statefile.sync_directory(folder)


def take_along(settings: PostgresSettings, replaced: list) -> None:
    """What lies in this node's tablespaces goes into the data directory that names it, which was replaced: whole, and removed with it.

    `replaced`: the newest first. Goes on where it was cut short.
    """
    for data in replaced:
        folder = os.path.join(data, DIRECTORY)
        for oid, path in links(data).items():
            path = _within(settings, data, path)
            if on_own_volume(settings, path):
                _gather(settings, path, os.path.join(folder, oid + _GATHERED))
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            if name.endswith(_GATHERED):
                link = os.path.join(folder, name.removesuffix(_GATHERED))
                if os.path.islink(link):
                    os.unlink(link)
                os.rename(os.path.join(folder, name), link)
                statefile.sync_directory(folder)


def _within(settings: PostgresSettings, data: str, path: str) -> str:
    """Where a path lies that leads into the data directory, while that has the name `data`."""
    return data + path[len(settings.data) :] if path.startswith(settings.data + "/") else path


def _gather(settings: PostgresSettings, path: str, aside: str) -> None:
    theirs = [name for name in versions(settings, path) if on_own_volume(settings, os.path.join(path, name))]
    if not theirs:
        return
    os.makedirs(aside, 0o700, exist_ok=True)
    for name in theirs:
        os.rename(os.path.join(path, name), os.path.join(aside, name))
    statefile.sync_directory(aside)
    statefile.sync_directory(path)


def put(settings: PostgresSettings, side: str, staged: str) -> None:
    """The copied tablespaces to their places, which are free by now. Can be done twice."""
    for oid, path in links(side).items():
        beside = os.path.join(staged, oid)
        if not os.path.isdir(beside):
            continue
        path = _within(settings, side, path)
        os.makedirs(path, 0o700, exist_ok=True)
        for name in os.listdir(beside):
            os.rename(os.path.join(beside, name), os.path.join(path, name))
        statefile.sync_directory(path)

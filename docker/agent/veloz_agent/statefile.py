"""Small files that must survive a crash: written beside, synced, renamed, and their directory synced."""

from __future__ import annotations

import errno
import json
import os
from typing import Callable, Optional


def sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


RESERVE = "reserve"
RESERVE_BYTES = 1 << 20
# The reserve is only laid up while there is much more than that.
RESERVE_FROM_BYTES = 64 << 20

_reserves: set = set()


def know_reserve(path: str) -> None:
    """What was laid up earlier, by a container before this one, may be used."""
    _reserves.add(path)


def keep_reserve(path: str) -> None:
    """Lays some room up: on a disk that is full, a fence and a claim must still find a place."""
    know_reserve(path)
    disk = os.statvfs(os.path.dirname(path))
    if os.path.exists(path) or disk.f_bavail * disk.f_frsize < RESERVE_FROM_BYTES:
        return
    # Written, not just allocated: a file with holes would lay nothing up.
    with open(path, "wb") as file:
        file.write(os.urandom(RESERVE_BYTES))


def _use_reserve() -> bool:
    used = False
    for path in _reserves:
        try:
            os.unlink(path)
            used = True
        except OSError:
            pass
    return used


def with_reserve(write: Callable[[], None]) -> None:
    """On a full disk the reserve is used up, and `write` tried again."""
    try:
        write()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not _use_reserve():
            raise
        write()


def replace(path: str, content: str, mode: int = 0o600, sync: bool = True) -> None:
    """Readers see the old content or the new one, never a part. Without `sync` it is visible but not yet durable.

    On a full disk the reserve is used up.
    """
    with_reserve(lambda: _replace(path, content, mode, sync))


def _replace(path: str, content: str, mode: int, sync: bool) -> None:
    beside = f"{path}.new"
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        data = content.encode()
        # On a full disk a part may be taken before the error comes.
        while data:
            data = data[os.write(fd, data) :]
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(beside, path)
    if sync:
        sync_directory(os.path.dirname(path))


def make_durable(*paths: str) -> None:
    """Syncs files that were written without, and their directories."""
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    for directory in sorted({os.path.dirname(path) for path in paths}):
        sync_directory(directory)


def read(path: str) -> Optional[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def load_state(path: str) -> dict:
    """The persisted state; {} when there is none. Raises ValueError on a damaged file."""
    text = read(path)
    if text is None:
        return {}
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no JSON object")
    return value


def save_state(path: str, value: dict, sync: bool = True) -> None:
    replace(path, json.dumps(value) + "\n", sync=sync)

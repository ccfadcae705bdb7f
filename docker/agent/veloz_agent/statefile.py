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
    """Readers see the old content or the new one, never a part. On a full disk the reserve is used up.

    Without `sync` it is visible but not yet durable: a disk that hangs must not keep the caller. A power cut may then leave the new
    name with nothing in it, as the data may come to the disk after the name; so the content of before stays beside it until the
    new one is durable, and `read` takes that instead.
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
    if not sync:
        _keep_before(path)
    os.rename(beside, path)
    if sync:
        sync_directory(os.path.dirname(path))
        _forget_before(path, _versions.get(path, 0))


# Of each file that is not durable yet: how often it was written since it was.
_versions: dict = {}


def _before(path: str) -> str:
    return f"{path}.before"


def _keep_before(path: str) -> None:
    """A second name for what is durable: no data is written for it. What is not durable itself is nothing to fall back to."""
    if path not in _versions:
        try:
            _unlink(_before(path))
            os.link(path, _before(path))
        except OSError:
            # There is none yet, or the disk takes no name: as it would be without.
            pass
    _versions[path] = _versions.get(path, 0) + 1


def _forget_before(path: str, version: int) -> None:
    """Unless it was written again meanwhile."""
    if _versions.get(path, 0) == version:
        _versions.pop(path, None)
        _unlink(_before(path))


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def make_durable(*paths: str) -> None:
    """Syncs files that were written without, and their directories."""
    versions = [_versions.get(path, 0) for path in paths]
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    for directory in sorted({os.path.dirname(path) for path in paths}):
        sync_directory(directory)
    for path, version in zip(paths, versions):
        _forget_before(path, version)


def read(path: str) -> Optional[str]:
    """None when there is no such file. One that a power cut left empty is taken as it was before."""
    text = _read(path)
    return (_read(_before(path)) or text) if text is not None and not text.strip("\0") else text


def _read(path: str) -> Optional[str]:
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

"""Small files that must survive a crash: written beside, synced, renamed, and their directory synced."""

from __future__ import annotations

import json
import os
from typing import Optional


def sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace(path: str, content: str, mode: int = 0o600, sync: bool = True) -> None:
    """Readers see the old content or the new one, never a part. Without `sync` it is visible but not yet durable."""
    beside = f"{path}.new"
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.write(fd, content.encode())
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

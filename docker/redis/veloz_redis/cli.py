"""`veloz-redis run` starts the node or the Sentinel; `veloz-redis health` says how it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import signal
import sys
import time

from . import health, names, node, sentinel
from .life import run_node
from .log import log
from .settings import PASSWORD_FILE, RUN, VOLUME, Settings, SettingsError, impatience, read


def main(words: list[str]) -> int:
    if words == ["health"]:
        return health.main()
    if words != ["run"]:
        print("usage: veloz-redis run | health", file=sys.stderr)
        return 2
    try:
        settings = read(os.environ)
    except SettingsError as error:
        log(f"can't start: {error}")
        # The container is restarted at once; the log should stay readable.
        time.sleep(1)
        return 1
    if settings.kind == "sentinel":
        names.find_nobody(settings)
        for says in impatience(settings):
            log(f"{settings.node}: {says}")
    become_redis()
    for name in ("VELOZ_REDIS_PASSWORD", "REDISCLI_AUTH"):
        os.environ.pop(name, None)
    node.write(PASSWORD_FILE, settings.password)
    with contextlib.suppress(FileNotFoundError):
        os.remove(node.PLACED)
    if settings.kind == "sentinel":
        path = sentinel.prepare(settings)
        os.execvp("redis-server", ["redis-server", path, "--sentinel"])
    node.write(node.CONFIG, node.config(settings))
    return asyncio.run(run_node(settings))


def become_redis() -> None:
    """Root read the secret, and is not needed any more."""
    if os.getuid() != 0:
        return
    user = pwd.getpwnam("redis")
    for folder in (VOLUME, RUN):
        os.chown(folder, user.pw_uid, user.pw_gid)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)

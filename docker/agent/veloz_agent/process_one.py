"""What happens before an agent runs: secrets read and directories taken over as root, files written, root given up."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from . import statefile
from .errors import CommandError
from .log import log
from .settings import PgBouncerSettings, PostgresSettings, become


def quoted(value: str) -> str:
    """A string literal of postgresql.conf."""
    return "'" + value.replace("'", "''") + "'"


def put(path: str, content: str) -> None:
    """A container that starts again finds its files: a full disk does not keep it from starting then."""
    if statefile.read(path) != content:
        statefile.replace(path, content, sync=False)


def _postgres(settings: PostgresSettings):
    from .postgres_agent import PostgresAgent

    become(settings.os_user, [settings.volume, settings.own, settings.run, settings.socket_dir])
    # The files below are usually on the same disk.
    statefile.know_reserve(os.path.join(settings.own, statefile.RESERVE))

    def entry(user: str, password: str) -> str:
        fields = [text.replace("\\", "\\\\").replace(":", "\\:") for text in (user, password)]
        return f"*:*:*:{fields[0]}:{fields[1]}\n"

    put(
        settings.pass_file,
        entry(settings.repl_user, settings.repl_password) + entry(settings.ha_user, settings.ha_password),
    )
    put(
        os.path.join(settings.run, "environment.conf"),
        f"synchronous_standby_names = {quoted(settings.synchronous_standby_names)}\n"
        f"cluster_name = {quoted(settings.node)}\n",
    )
    put(
        settings.rewind_config_file,
        f"include {quoted(settings.config_file)}\ndata_directory = {quoted(settings.data)}\n",
    )
    return PostgresAgent(settings), settings.own


def _pgbouncer(settings: PgBouncerSettings):
    from .pgbouncer_agent import PgBouncerAgent
    from .pgbouncer_files import write_configuration

    become(settings.os_user, [settings.volume, settings.route_dir, settings.run, settings.socket_dir])
    write_configuration(settings)
    return PgBouncerAgent(settings), settings.volume


# While the network is cut nobody answers look-ups of names, which then occupy threads: they end soon, and there are
# enough threads for the rest.
RESOLVER_OPTIONS = "timeout:1 attempts:1"
THREADS = 24


async def run(kind: str) -> int:
    """The exit code of process 1."""
    os.environ.setdefault("RES_OPTIONS", RESOLVER_OPTIONS)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=THREADS))
    try:
        if kind == "postgres":
            settings: PostgresSettings | PgBouncerSettings = PostgresSettings(os.environ)
            agent, own = _postgres(settings)
        else:
            settings = PgBouncerSettings(os.environ)
            agent, own = _pgbouncer(settings)
    except (OSError, ValueError, CommandError) as error:
        log("error", f"The agent can't start: {error}")
        return 1
    log("info", f"The agent of {settings.node} starts.", kind=kind)
    return await agent.run(settings.run, os.path.join(own, "agent.lock"))

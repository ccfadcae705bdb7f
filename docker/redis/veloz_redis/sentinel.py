"""A Sentinel: what it keeps across restarts, and what is written anew."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from typing import Optional

from .first import Choice, Held, first_master
from .log import log
from .node import quoted, write
from .opinion import agreed, keys_in, opinion
from .record import told_in
from .resp import Client
from .settings import VOLUME, WAITS, Address, Settings

CONFIG = f"{VOLUME}/sentinel.conf"
# What a Sentinel has learnt, as it writes that. Everything else comes from the settings at each start. A damaged line
# would keep it from starting, again and again; one that is left out it learns anew from the others.
WORD = "[!-~]+"
EPOCH = "[0-9]{1,19}"
WHERE = f"{WORD} {WORD} [0-9]{{1,5}}"
KEPT = re.compile(
    f"sentinel (myid [0-9a-f]{{40}}|(config|leader)-epoch {WORD} {EPOCH}|current-epoch {EPOCH}"
    f"|known-replica {WHERE}|known-sentinel {WHERE} [0-9a-f]{{40}})"
)
# Between two looks of a Sentinel that waits, and for how long it says nothing: nodes that start with it need a moment.
AGAIN_S = 0.2
QUIET_S = 3.0
ANSWER_S = 2.0
MONITORED = re.compile(f"sentinel monitor {WHERE} [0-9]+")


def monitored(saved: str, master: str) -> Optional[Address]:
    """The master that the saved configuration names."""
    for line in saved.splitlines():
        words = line.split()
        if words[:3] == ["sentinel", "monitor", master] and len(words) == 6 and MONITORED.fullmatch(line):
            return words[3], int(words[4])
    return None


def config(settings: Settings, saved: str, master: Address, moved: bool, epoch: int = 0) -> str:
    """
    The configuration to start with. `epoch`: of a Sentinel without any memory, the one that the nodes remember: its
    word is to count for more than what is older. `moved`: the master changed while this Sentinel was away; what it remembers about the
    old one, above all the epoch by which it would win the others over, is dropped.
    """
    name = settings.master
    dropped = ("sentinel config-epoch ", "sentinel known-replica ") if moved or epoch > 0 else ()
    kept = [
        line for line in saved.splitlines() if KEPT.fullmatch(line) and not (dropped and line.startswith(dropped))
    ]
    return "\n".join(
        [
            "port 26379",
            "bind * -::*",
            "protected-mode no",
            f"dir {VOLUME}",
            "daemonize no",
            'logfile ""',
            f"requirepass {quoted(settings.password)}",
            f"sentinel sentinel-pass {quoted(settings.password)}",
            # Names stay right when addresses change.
            "sentinel resolve-hostnames yes",
            "sentinel announce-hostnames yes",
            f"sentinel announce-ip {settings.node}",
            "sentinel announce-port 26379",
            f"sentinel monitor {name} {master[0]} {master[1]} {settings.quorum}",
            f"sentinel auth-pass {name} {quoted(settings.password)}",
            f"sentinel down-after-milliseconds {name} {settings.down_after_ms}",
            f"sentinel failover-timeout {name} {settings.failover_timeout_ms}",
            f"sentinel parallel-syncs {name} 1",
            *([f"sentinel config-epoch {name} {epoch}"] if epoch > 0 else []),
            *kept,
            "",
        ]
    )


async def choose_master(settings: Settings, remembered: Optional[Address]) -> Choice:
    """
    Whom to watch: what the others agree on, since this Sentinel may have been away when the master moved; else what it
    remembers; else what the nodes remember and hold. Waits for as long as that leaves a doubt, and answers nothing but
    the reason meanwhile: a Sentinel that named the wrong node would have the right one copy it.
    """
    others = [Client(address, settings.password) for address in settings.sentinels if address[0] != settings.node]
    nodes = [Client(address, settings.password) for address in settings.nodes]
    waiting = Waiting(settings)
    try:
        while True:
            replies = await asyncio.gather(*(other.ask("SENTINEL", "MASTER", settings.master) for other in others))
            opinions = [opinion(reply) for reply in replies]
            named = agreed(opinions, settings.majority)
            if named is not None:
                return Choice(named)
            if remembered is not None:
                return Choice(remembered)
            choice, why = first_master(await asyncio.gather(*(held(node) for node in nodes)), opinions)
            if choice is not None:
                return choice
            await waiting.tell(why)
            await asyncio.sleep(AGAIN_S)
    finally:
        await waiting.end()
        for client in (*others, *nodes):
            client.close()


async def held(node: Client) -> Held:
    """What a node holds and remembers. One question after the other: a connection is for one at a time."""
    role = await node.ask("ROLE")
    # Refused while it loads: what it has by then is not what it holds.
    loaded = bool(role) and await node.ask("DBSIZE") is not None
    keyspace = await node.ask("INFO", "keyspace") if loaded else None
    tells, record = told_in(await node.ask("CLIENT", "LIST") if role else None)
    return Held(
        node.address, keyspace is not None, bool(role) and role[0] == "master", keys_in(keyspace), tells, record
    )


class Waiting:
    """Says why a Sentinel waits: in its log, to its health check, and to whoever asks it on its port."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._since: Optional[float] = None
        self._why = ""
        self._server: Optional[asyncio.Server] = None

    async def tell(self, why: str) -> None:
        loop = asyncio.get_running_loop()
        if self._since is None:
            self._since = loop.time()
            # This is the first process of its container, which has no action of its own for it.
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, os._exit, 0)
        # Nodes that are started together with it are there in a moment.
        if loop.time() - self._since < QUIET_S or why == self._why:
            return
        self._why = why
        log(f"{self._settings.node} waits, and names no master: {why}")
        write(WAITS, why)
        if self._server is None:
            try:
                self._server = await asyncio.start_server(self._answer, "0.0.0.0", self._settings.port)
            except OSError as error:
                log(f"{self._settings.node} can't say so on its port: {error}")

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """An error of Redis's protocol, whatever is asked."""
        try:
            async with asyncio.timeout(ANSWER_S):
                if await reader.read(4096):
                    writer.write(f"-WAITING it names no master: {self._why}\r\n".encode())
                    await writer.drain()
        except (OSError, asyncio.TimeoutError):
            pass
        finally:
            writer.close()

    async def end(self) -> None:
        """The port is free again, and stops are what they were."""
        if self._since is None:
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        if self._server is not None:
            self._server.close()
        with contextlib.suppress(FileNotFoundError):
            os.remove(WAITS)
        if self._why:
            log(f"{self._settings.node} waits no more")


def prepare(settings: Settings) -> str:
    """Writes the configuration, and returns its path."""
    try:
        with open(CONFIG, encoding="utf-8", errors="replace") as file:
            saved = file.read()
    except FileNotFoundError:
        saved = ""
    with contextlib.suppress(FileNotFoundError):
        os.remove(WAITS)
    remembered = monitored(saved, settings.master)
    choice = asyncio.run(choose_master(settings, remembered))
    master = choice.master
    moved = remembered is not None and remembered != master
    if moved:
        log(f"{settings.node} remembers {remembered[0]}; the other Sentinels watch {master[0]}")
    write(CONFIG, config(settings, saved, master, moved, choice.epoch))
    return CONFIG

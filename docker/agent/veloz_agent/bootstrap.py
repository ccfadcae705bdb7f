"""The first start of a PostgreSQL node: a new database system, or a copy of the primary's.

Both are made in a directory beside the data directory and renamed when they are complete, so that an interrupted
attempt leaves nothing that could be started, and the next one begins anew.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Awaitable, Callable, Optional

from . import base_backup, control_database, control_session, copy_check, first_start, peers, statefile
from .control_session import open_session
from .deadman import newest_primary
from .log import log
from .node_files import NodeFiles
from .processes import Child, Processes
from .settings import PostgresSettings
from .wire import ProtocolError, ServerError

# How long a node with the role of the primary and no data waits for peers that start at the same time to be known by
# their names: a second database system beside an existing one would be a disaster.
NEW_SYSTEM_GRACE_MS = 1500
AGAIN_S = 0.5
# What keeps a copy from being made is a person's to mend, and looking for it reads the names of all files of the primary.
REFUSED_AGAIN_S = 10
# A copy that was made and can't be used: the next one costs the primary as much.
COPY_AGAIN_S = 60


class BootstrapError(Exception):
    """An attempt failed; the next one begins anew, after `again_s`."""

    def __init__(self, says: str, again_s: float = AGAIN_S) -> None:
        super().__init__(says)
        self.again_s = again_s


async def ensure_slot(settings: PostgresSettings, upstream: dict, limit_ms: int = 2000) -> bool:
    """Creates this node's physical slot on its upstream unless it is there. Returns whether it keeps WAL: one that is lost does not."""

    async def conversation() -> bool:
        connection = await open_session(
            upstream["host"],
            upstream["port"],
            settings.repl_user,
            settings.repl_password,
            "replication",
            {"replication": "true"},
        )
        try:
            (row,) = await connection.query(f'READ_REPLICATION_SLOT "{settings.slot}"')
            if row["slot_type"] is not None:
                return row["restart_lsn"] is not None
            await connection.query(f'CREATE_REPLICATION_SLOT "{settings.slot}" PHYSICAL RESERVE_WAL')
            log("info", f"Created slot {settings.slot} on {upstream['host']}:{upstream['port']}.")
            return True
        finally:
            connection.close()

    return await asyncio.wait_for(conversation(), limit_ms / 1000)


class Bootstrap:
    """`says` is told what it waits for, in a sentence. `ask_agent` asks the agent of another node. `held` is the database
    system that this node has held before, or saw at a peer; `hold` writes it down durably: from then on this node creates no
    other one, whatever becomes of the peer and of the copy."""

    def __init__(
        self,
        settings: PostgresSettings,
        files: NodeFiles,
        processes: Processes,
        says: Callable[[str], None],
        ask_agent: first_start.AskAgent,
        held: Optional[str] = None,
        hold: Optional[Callable[[str], Awaitable[None]]] = None,
    ) -> None:
        self._ask_agent = ask_agent
        self._settings = settings
        self._files = files
        self._processes = processes
        self._says = says
        self._held = held
        self._hold = hold
        # Peers that were there and did not say that they hold no data.
        self._seen: dict = {}
        self._child: Optional[Child] = None
        self._side = base_backup.side_directory(settings)

    @staticmethod
    def needed(data: str) -> bool:
        return not os.path.exists(os.path.join(data, "PG_VERSION"))

    def abandon(self) -> asyncio.Future:
        """Ends what runs, and resolves when it has ended; the side directory is removed at the next start."""
        if self._child:
            self._child.signal(signal.SIGTERM)
            return self._child.exited
        ended: asyncio.Future = asyncio.get_running_loop().create_future()
        ended.set_result(None)
        return ended

    async def run(self) -> None:
        """Returns when the data directory is complete."""
        started = time.monotonic()
        logged = 0.0
        while True:
            again_s = AGAIN_S
            try:
                sentence = await self._attempt((time.monotonic() - started) * 1000)
            except (BootstrapError, OSError, ServerError, ProtocolError, EOFError, asyncio.TimeoutError) as error:
                sentence = f"Preparing the data directory failed and is begun anew: {str(error) or repr(error)}"
                again_s = error.again_s if isinstance(error, BootstrapError) else AGAIN_S
            if sentence is None:
                return
            self._says(sentence)
            if time.monotonic() - logged >= 10:
                log("info", sentence)
                logged = time.monotonic()
            await asyncio.sleep(again_s)

    async def _attempt(self, waited_ms: float) -> Optional[str]:
        s = self._settings
        if base_backup.finish(s, self._files):
            return None
        base_backup.set_aside(s)
        await asyncio.to_thread(base_backup.remove_discarded, s)
        if os.path.isdir(s.data) and os.listdir(s.data):
            return f"{s.data} is not empty and holds no PostgreSQL data; it is left alone. Empty it by hand."
        answers = await peers.ask_all(s.peers, s.ha_user, s.ha_password)
        primary = newest_primary(answers)
        await self._remember(answers, primary)
        if primary is not None:
            await self._clone({"host": primary.host, "port": primary.port})
            return None
        held = first_start.held_here(s, self._held)
        if held:
            return (
                f"The data directory is gone or not complete, and this node creates no new database system: {held}. It "
                f"waits for a primary to copy: {peers.describe(answers)}."
            )
        if s.role == "standby":
            return f"No data yet, waiting for a primary to copy: {peers.describe(answers)}."
        if any(answer.speaks for answer in answers):
            return (
                "No data here, but a peer holds some and is no primary yet; a new database system is not created "
                f"beside it: {peers.describe(answers)}."
            )
        objections = await first_start.objections(s.peers, s.node, self._ask_agent, self._seen)
        if objections:
            return (
                "No data here, and a new database system is created only where each peer that is there says that it holds "
                f"none: {'; '.join(objections)}. Start that node, or take it out of VELOZ_PG_PEERS if it is gone for good."
            )
        if s.peers and waited_ms < NEW_SYSTEM_GRACE_MS:
            return f"Looking for peers before a new database system is created: {peers.describe(answers)}."
        await self._create()
        return None

    async def _remember(self, answers: list, primary: Optional[peers.Answer]) -> None:
        """A database system that a peer has is never forgotten: that peer may be gone before it is copied."""
        for answer in answers:
            if answer.speaks:
                self._seen[answer.host] = "a PostgreSQL server answered there"
        known = [answer.system_identifier for answer in answers if answer.system_identifier]
        system = primary.system_identifier if primary is not None else next(iter(known), None)
        if not system or system == self._held or (primary is None and self._held):
            return
        self._held = system
        if self._hold:
            await self._hold(system)

    async def _run(self, argv: list, what: str, env: Optional[dict] = None) -> str:
        """What it printed."""
        environment = {"PATH": f"{self._settings.bin}:/usr/bin:/bin", "LC_ALL": "C.UTF-8", **(env or {})}
        output = os.path.join(self._settings.run, "bootstrap.log")
        argv = [os.path.join(self._settings.bin, argv[0]), *argv[1:]]
        self._child = self._processes.spawn(argv, environment, output_to=output)
        code = await asyncio.shield(self._child.exited)
        self._child = None
        told = (statefile.read(output) or "").strip()
        if code != 0:
            raise BootstrapError(f"{what} ended with exit code {code}: {told[-600:]}")
        return told

    async def _clone(self, upstream: dict) -> None:
        s = self._settings
        where = f"{upstream['host']}:{upstream['port']}"
        started = time.monotonic()
        problem, places = await copy_check.before(s, upstream, self._ask_agent)
        if problem:
            raise BootstrapError(problem, REFUSED_AGAIN_S)
        self._says(f"Copying the primary {where}.")
        log("info", f"No data yet, copying the primary {where}.")
        await ensure_slot(s, upstream)
        known = await copy_check.databases(s, upstream)
        told = await self._run(
            base_backup.command(s, upstream, places.beside),
            "pg_basebackup",
            {"PGPASSFILE": s.pass_file, "PGAPPNAME": "veloz_agent", "PGOPTIONS": control_session.CURRENT},
        )
        lacks = await copy_check.lacking(s, upstream, known, told)
        if lacks:
            raise BootstrapError(lacks, COPY_AGAIN_S)
        base_backup.put_in_place(s, self._files, upstream, places.beside)
        log("info", f"Copied the primary {where}.", ms=round((time.monotonic() - started) * 1000))

    async def _create(self) -> None:
        s = self._settings
        started = time.monotonic()
        self._says("Creating a new database system.")
        log("info", "No data here nor at any peer, creating a new database system.")
        await self._run(
            [
                "initdb", "-D", self._side, "-U", "postgres", f"--wal-segsize={s.wal_segment_mb}",
                "--data-checksums", "--encoding=UTF8", "--no-locale",
                "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--auth-local=trust",
                "--auth-host=scram-sha-256", "--no-sync", "--no-instructions",
            ],
            "initdb",
        )  # fmt: skip
        boot = os.path.join(s.run, "boot")
        os.makedirs(boot, mode=0o700, exist_ok=True)
        environment = {"PATH": f"{s.bin}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        server = self._child = self._processes.spawn(
            [
                os.path.join(s.bin, "postgres"), "-D", self._side, "-c", "listen_addresses=", "-k", boot,
                "-c", "fsync=off", "-c", "log_min_messages=warning", "-c", "password_encryption=scram-sha-256",
            ],
            environment,
        )  # fmt: skip
        try:
            await self._ready(server)
            for script in ("roles", "control"):
                await self._run(
                    ["psql", "-X", "-q", "-h", boot, "-U", "postgres", "-d", "postgres", "-v", "ON_ERROR_STOP=1",
                     "-f", f"/usr/local/share/veloz/{script}.sql"],
                    "The creation of roles and databases",
                    {
                        "VELOZ_PG_USER": s.user, "VELOZ_PG_PASSWORD": s.password, "VELOZ_PG_DATABASE": s.database,
                        "VELOZ_PG_REPL_PASSWORD": s.repl_password, "VELOZ_PG_HA_PASSWORD": s.ha_password,
                        **control_database.script_environment(s),
                    },
                )  # fmt: skip
        finally:
            self._child = server
            server.signal(signal.SIGINT)
            code = await server.exited
            self._child = None
        if code != 0:
            raise BootstrapError(f"The first server ended with exit code {code}.")
        await self._run(["initdb", "--sync-only", "-D", self._side], "initdb --sync-only")
        self._adopt()
        log("info", "Created a new database system.", ms=round((time.monotonic() - started) * 1000))

    async def _ready(self, server: Child) -> None:
        limit = time.monotonic() + 30
        while server.running and time.monotonic() < limit:
            lines = (statefile.read(os.path.join(self._side, "postmaster.pid")) or "").splitlines()
            if len(lines) >= 8 and lines[7].strip() == "ready":
                return
            await asyncio.sleep(0.01)
        raise BootstrapError("The first server did not become ready within 30 s.")

    def _adopt(self) -> None:
        data = self._settings.data
        if os.path.isdir(data):
            os.rmdir(data)
        os.rename(self._side, data)
        statefile.sync_directory(os.path.dirname(data))

"""PgBouncer's admin console, over the Unix socket."""

from __future__ import annotations

import asyncio
from typing import Optional

from .errors import CommandError
from .settings import PgBouncerSettings
from .wire import Connection, ProtocolError, ServerError

# The console answers within a millisecond; longer than this it is not going to.
CONSOLE_LIMIT_S = 2
# How often it is asked whether a server connection is in use, where PgBouncer does not tell.
UNUSED_EVERY_S = 0.01

# What a console that is starting, gone or unwell gives.
TROUBLE = (OSError, ServerError, ProtocolError, asyncio.TimeoutError, asyncio.IncompleteReadError)


class Console:
    """One session for short questions, opened anew when it has ended. `ask` raises one of `TROUBLE`."""

    def __init__(self, settings: PgBouncerSettings) -> None:
        self._settings = settings
        self._connection: Optional[Connection] = None

    async def open(self) -> Connection:
        """A session of its own, for a command that waits."""
        # This user name is let in without a password over the Unix socket from the same system user.
        return await Connection.open(self._settings.socket_dir, self._settings.port, "pgbouncer", "", "pgbouncer")

    async def ask(self, sql: str) -> list:
        async def conversation() -> list:
            if self._connection is None or self._connection.closed:
                self._connection = await self.open()
            return await self._connection.query(sql)

        return await asyncio.wait_for(conversation(), CONSOLE_LIMIT_S)

    async def database(self) -> dict:
        for row in await self.ask("SHOW DATABASES"):
            if row["name"] == self._settings.database:
                return row
        raise CommandError("NoDatabase", f"PgBouncer knows no database {self._settings.database}.")

    async def halted(self) -> Optional[str]:
        """`paused` or `suspended`, where all of PgBouncer is (`PAUSE` without a database, `SUSPEND`): SHOW DATABASES does not show it.

        While it is suspended it takes nobody new, and answers the sessions with its console that are open.
        """
        for row in await self.ask("SHOW STATE"):
            if row["key"] != "active" and row["value"] == "yes":
                return row["key"]
        return None

    async def resume(self) -> None:
        """Lets clients go, whatever keeps them. RESUME of a pool that is not paused is an error of PgBouncer's, and none of ours."""
        try:
            await self.ask(f'RESUME "{self._settings.database}"')
        except ServerError as error:
            if (await self.database())["paused"] == "1":
                raise CommandError("ResumeFailed", f"PgBouncer did not let clients go: {error}.") from error
        await self.resume_all()

    async def resume_all(self) -> Optional[str]:
        """Ends a PAUSE of all databases, or a SUSPEND. Returns which of them it was."""
        halted = await self.halted()
        if halted is None:
            return None
        try:
            await self.ask("RESUME")
        except ServerError as error:
            # One that is told to end once its servers are free is paused for good; its end lets clients go.
            if "shutting down" not in str(error) and await self.halted() is not None:
                raise CommandError("ResumeFailed", f"PgBouncer is {halted}, and did not go on: {error}.") from error
        return halted

    async def until_unused(self) -> None:
        """Returns once no server connection of the pool is in use: what PAUSE waits for. The caller limits it."""
        while True:
            pools = [row for row in await self.ask("SHOW POOLS") if row["database"] == self._settings.database]
            if not any(int(row["sv_active"]) + int(row["sv_tested"]) for row in pools):
                return
            await asyncio.sleep(UNUSED_EVERY_S)

    async def end_clients_of_busy_servers(self) -> int:
        """Ends the clients whose query or transaction is on a server connection, and with them that connection.

        What only waits for a connection stays. Returns how many were ended.
        """
        servers = await self.ask("SHOW SERVERS")
        links = {row["link"] for row in servers if row["database"] == self._settings.database and row["link"]}
        ended = 0
        for row in await self.ask("SHOW CLIENTS"):
            if row["ptr"] in links and row["database"] == self._settings.database:
                try:
                    await self.ask(f"KILL_CLIENT {int(row['id'])}")
                    ended += 1
                except ServerError:
                    # It ended by itself a moment ago.
                    pass
        return ended

    async def busy_servers(self) -> list:
        """The server connections in a transaction; [] also when that can't be told, since it only explains."""
        try:
            rows = await self.ask("SHOW SERVERS")
        except (CommandError, *TROUBLE):
            return []
        return [
            {"serverPid": int(row["remote_pid"]), "user": row["user"], "applicationName": row.get("application_name")}
            for row in rows
            if row["state"] == "active" and row["database"] == self._settings.database
        ]

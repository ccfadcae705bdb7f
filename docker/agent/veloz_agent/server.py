"""The agent's Unix socket: one JSON document a line, answered under its id, commands overlapping."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any, Awaitable, Callable

from .errors import CommandError
from .log import log

MAX_LINE = 65_536

Dispatch = Callable[[str, dict], Awaitable[dict]]


async def answer(line: bytes, dispatch: Dispatch) -> dict:
    """Carries out one line. Whatever goes wrong becomes an answer: a bad command must not hurt process 1."""
    ident: Any = None
    try:
        try:
            message = json.loads(line)
        except ValueError as error:
            raise CommandError("BadRequest", f"Not a JSON document: {error}.") from error
        if not isinstance(message, dict):
            raise CommandError("BadRequest", "Expected a JSON object with id and do.")
        ident = message.get("id")
        do = message.get("do")
        if not isinstance(do, str):
            raise CommandError("BadRequest", "do: expected the name of a command.")
        return {"id": ident, "ok": True, "result": await dispatch(do, message)}
    except CommandError as error:
        failure = {"type": error.type, "message": error.message, "details": error.details}
    except Exception as error:  # noqa: BLE001 - see above
        log("error", f"A command failed unexpectedly: {error!r}", command=line[:500].decode(errors="replace"))
        failure = {"type": "AgentError", "message": f"{type(error).__name__}: {error}", "details": {}}
    return {"id": ident, "ok": False, "error": failure}


async def serve(path: str, dispatch: Dispatch) -> asyncio.AbstractServer:
    """Listens on `path`, which only root and the agent's own user can reach."""

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pending: set = set()

        async def one(line: bytes) -> None:
            reply = await answer(line, dispatch)
            if not writer.is_closing():
                writer.write(json.dumps(reply).encode() + b"\n")

        try:
            while True:
                try:
                    line = await reader.readline()
                except ValueError:
                    error = {"type": "BadRequest", "message": f"A line may have {MAX_LINE} bytes.", "details": {}}
                    writer.write(json.dumps({"id": None, "ok": False, "error": error}).encode() + b"\n")
                    break
                if not line:
                    break
                if line.strip():
                    task = asyncio.create_task(one(line))
                    pending.add(task)
                    task.add_done_callback(pending.discard)
            # The sender is done or gone; what it asked for is carried out all the same.
            if pending:
                await asyncio.wait(pending)
            await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    return await asyncio.start_unix_server(session, path=path, limit=MAX_LINE)

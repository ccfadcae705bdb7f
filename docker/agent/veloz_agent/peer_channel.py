"""The agents' channel between nodes: one authenticated question, one authenticated answer, one JSON document a line.

    ← {"challenge": hex}                          fresh for each connection
    → {"nonce": hex, "body": text, "mac": hex}    mac over "ask", challenge, nonce and body
    ← {"body": text, "mac": hex}                  mac over "answer", challenge, nonce and body

Both sides know the control role's password, which never travels. The challenge keeps a recorded question from being
asked again, the nonce a recorded answer from being given again.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import time
from typing import Any, Awaitable, Callable, Optional

from .errors import CommandError
from .log import log

PORT = 5480
MAX_LINE = 4096
# The whole conversation, on the side that answers: it may have to wait for a command that is being carried out.
SERVE_LIMIT_S = 2
MAX_SESSIONS = 16
_SALT = b"veloz agent channel 1"

Answer = Callable[[dict], Awaitable[dict]]


class ChannelError(Exception):
    """The other side does not know the password, or does not speak this protocol."""


def derive_key(password: str) -> bytes:
    """Stretched, so that a recorded conversation is not a cheap way to the password."""
    if not password:
        raise ValueError("The password of the control role is empty; the agents' channel needs one.")
    return hashlib.pbkdf2_hmac("sha256", password.encode(), _SALT, 10_000)


def _mac(key: bytes, label: str, challenge: str, nonce: str, body: str) -> str:
    # Challenge and nonce are hexadecimal, so the line breaks separate without doubt.
    return hmac.digest(key, "\n".join((label, challenge, nonce, body)).encode(), "sha256").hex()


def seal(key: bytes, label: str, challenge: str, nonce: str, content: dict) -> dict:
    body = json.dumps(content)
    return {"body": body, "mac": _mac(key, label, challenge, nonce, body)}


def unseal(key: bytes, label: str, challenge: str, nonce: str, message: dict) -> dict:
    """The content of an authentic message; ChannelError for any other."""
    body, mac = message.get("body"), message.get("mac")
    if not isinstance(body, str) or not isinstance(mac, str):
        raise ChannelError("body and mac are missing")
    try:
        authentic = hmac.compare_digest(_mac(key, label, challenge, nonce, body).encode(), mac.encode())
    except UnicodeError:
        authentic = False
    if not authentic:
        raise ChannelError("the message is not authentic")
    return _document(body)


def _document(text: Any) -> dict:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ChannelError("not a JSON document") from error
    if not isinstance(value, dict):
        raise ChannelError("not a JSON object")
    return value


def _random() -> str:
    return os.urandom(32).hex()


def _hexadecimal(value: Any) -> str:
    if not isinstance(value, str) or len(value) != 64 or not all(c in "0123456789abcdef" for c in value):
        raise ChannelError("64 hexadecimal digits were expected")
    return value


async def _receive(reader: asyncio.StreamReader) -> dict:
    try:
        line = await reader.readline()
    except ValueError as error:
        raise ChannelError(f"a line has more than {MAX_LINE} bytes") from error
    if not line.endswith(b"\n"):
        raise ChannelError("the connection ended")
    return _document(line)


def _send(writer: asyncio.StreamWriter, message: dict) -> None:
    writer.write(json.dumps(message).encode() + b"\n")


async def ask(key: bytes, host: str, content: dict, limit_ms: int, port: int = PORT) -> dict:
    """The authenticated answer. Raises ChannelError, OSError or TimeoutError; never takes longer than the limit."""
    async with asyncio.timeout(limit_ms / 1000):
        reader, writer = await asyncio.open_connection(host, port, limit=MAX_LINE)
        try:
            challenge = _hexadecimal((await _receive(reader)).get("challenge"))
            nonce = _random()
            _send(writer, {"nonce": nonce, **seal(key, "ask", challenge, nonce, content)})
            return unseal(key, "answer", challenge, nonce, await _receive(reader))
        finally:
            writer.close()


class PeerChannel:
    """Answers authentic questions, `MAX_SESSIONS` at a time and each within `SERVE_LIMIT_S`; hangs up on all others."""

    def __init__(self, key: bytes, answer: Answer, limit_s: float = SERVE_LIMIT_S) -> None:
        self._key = key
        self._answer = answer
        self._limit_s = limit_s
        self._open = 0
        self._logged = float("-inf")
        self._server: Optional[asyncio.AbstractServer] = None

    async def listen(self, host: Optional[str] = None, port: int = PORT) -> int:
        """The port that it listens on, on all of the container's addresses unless `host` names one."""
        self._server = await asyncio.start_server(self._session, host, port, limit=MAX_LINE)
        return self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        if self._server:
            self._server.close()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= MAX_SESSIONS:
            self._complain(writer, "too many connections")
            writer.close()
            return
        self._open += 1
        try:
            async with asyncio.timeout(self._limit_s):
                await self._converse(reader, writer)
                await writer.drain()
        except TimeoutError:
            self._complain(writer, f"it took longer than {self._limit_s} s")
        except (ChannelError, OSError) as error:
            self._complain(writer, str(error))
        finally:
            self._open -= 1
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        challenge = _random()
        _send(writer, {"challenge": challenge})
        message = await _receive(reader)
        nonce = _hexadecimal(message.get("nonce"))
        question = unseal(self._key, "ask", challenge, nonce, message)
        try:
            content = await self._answer(question)
        except CommandError as error:
            content = {"answer": "refused", "why": error.message}
        except Exception as error:  # noqa: BLE001 - a question must not hurt process 1
            log("error", f"A question of another node failed unexpectedly: {error!r}")
            content = {"answer": "refused", "why": "the agent failed; its log tells more"}
        _send(writer, seal(self._key, "answer", challenge, nonce, content))

    def _complain(self, writer: asyncio.StreamWriter, why: str) -> None:
        """At most once in ten seconds: whoever can connect must not be able to fill the log."""
        if time.monotonic() - self._logged >= 10:
            self._logged = time.monotonic()
            peer = writer.get_extra_info("peername")
            log("warn", f"A connection to the agents' channel was ended: {why}.", peer=peer)

"""A few commands over Redis's protocol: connections that are kept, and limits on every answer."""

from __future__ import annotations

import asyncio
from typing import Any, Optional

from .settings import Address


class ReplyError(Exception):
    """Redis answered with an error."""


class Client:
    """One connection, made when it is needed and made anew when it broke. For one user at a time."""

    def __init__(self, address: Address, password: str, limit_s: float = 0.5) -> None:
        self.address = address
        self._password = password
        self._limit_s = limit_s
        self._reader: Optional[asyncio.StreamReader] = None
        self._writer: Optional[asyncio.StreamWriter] = None

    async def call(self, *words: str) -> Any:
        """One answer. @raises ReplyError, OSError, asyncio.TimeoutError"""
        try:
            async with asyncio.timeout(self._limit_s):
                if self._writer is None:
                    self._reader, self._writer = await asyncio.open_connection(*self.address)
                    await self._log_in()
                return await self._exchange(*words)
        except ReplyError:
            raise
        except BaseException:
            self.close()
            raise

    async def ask(self, *words: str) -> Any:
        """One answer, or None where there is none: whoever asks several is not stopped by one of them."""
        try:
            return await self.call(*words)
        except (OSError, EOFError, asyncio.TimeoutError, ReplyError, ValueError):
            return None

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _log_in(self) -> None:
        try:
            await self._exchange("AUTH", self._password)
        except ReplyError:
            # It was not let in: on this connection nothing would ever be answered.
            self.close()
            raise

    async def _exchange(self, *words: str) -> Any:
        assert self._writer is not None
        parts = [f"*{len(words)}\r\n".encode()]
        for word in words:
            data = word.encode()
            parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
        self._writer.write(b"".join(parts))
        return await self._reply()

    async def _reply(self) -> Any:
        assert self._reader is not None
        line = (await self._reader.readuntil(b"\r\n"))[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise ReplyError(rest.decode())
        if kind == b"+":
            return rest.decode()
        if kind == b":":
            return int(rest)
        if kind == b"$":
            length = int(rest)
            return None if length < 0 else (await self._reader.readexactly(length + 2))[:-2].decode()
        if kind == b"*":
            return None if int(rest) < 0 else [await self._reply() for _ in range(int(rest))]
        raise ValueError(f"an answer that is no Redis's: {line[:40]!r}")

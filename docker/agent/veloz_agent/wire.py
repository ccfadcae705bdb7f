"""A small asynchronous client of PostgreSQL's protocol (version 3), for probes and for PgBouncer's console.

Everything is bounded by the caller with asyncio timeouts; nothing here blocks the loop. No TLS unless it is asked for:
it speaks to neighbours on the stack's own network and to Unix sockets.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import ssl
import struct
from typing import Optional

from .saslprep import saslprep


class ServerError(Exception):
    """An ErrorResponse. `code` is the SQLSTATE. `encrypted`: it refused a login over TLS."""

    def __init__(self, fields: dict) -> None:
        self.code = fields.get("C", "")
        self.encrypted = False
        super().__init__(f"{fields.get('M', 'error')} ({self.code})")


class ProtocolError(Exception):
    """The other side does not speak what this client understands."""


class LoginError(ProtocolError):
    """A PostgreSQL server is there, and this client can't prove to it who it is: it asks for a proof that this client does not know."""


class TlsError(LoginError):
    """A PostgreSQL server is there that speaks TLS, and the two do not agree on how."""


# The server encrypts, or it does not; `require` ends where it does not. A certificate is looked at by neither, as with libpq.
TLS = ("disable", "prefer", "require")
_SSL_REQUEST = struct.pack("!II", 8, 80877103)


async def greet(host: str, port: int) -> None:
    """Returns once a PostgreSQL server has answered at all: whether it encrypts, which it says before it asks who is there.

    Raises OSError or ProtocolError. The server notes nothing in its log, and starts no session.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_SSL_REQUEST)
        word = await reader.read(1)
        if word == b"":
            raise ProtocolError("the connection was closed without an answer")
        # An error is an answer as well: that it has too many clients, or starts.
        if word not in (b"S", b"N", b"E"):
            raise ProtocolError(f"no PostgreSQL server: it answers {word!r}")
    finally:
        writer.close()


class Connection:
    """One session. `query` returns the rows as dicts of text by column name. `reported`: the settings that the server told at the login."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reported: dict = {}
        self.encrypted = False
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        # What the last command that ended was, in the words of the server (CommandComplete).
        self.tag = ""

    @classmethod
    async def open(
        cls,
        host: str,
        port: int,
        user: str,
        password: str,
        database: str,
        extra: Optional[dict] = None,
        tls: str = "disable",
    ) -> "Connection":
        """`host` is a name, an address, or the directory of a Unix socket, on which nothing is encrypted. `tls`: one of `TLS`."""
        if host.startswith("/"):
            reader, writer = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            reader, writer = await asyncio.open_connection(host, port)
        connection = cls(reader, writer)
        try:
            if tls != "disable" and not host.startswith("/"):
                await connection._encrypt(tls)
            await connection._start(user, password, {"user": user, "database": database, **(extra or {})})
        except BaseException as error:
            if isinstance(error, ServerError):
                error.encrypted = connection.encrypted
            connection.close()
            raise
        return connection

    @property
    def closed(self) -> bool:
        return self._writer.is_closing() or self._reader.at_eof()

    def close(self) -> None:
        self._writer.close()

    async def query(self, sql: str) -> list:
        async with self._turn:
            try:
                self._send(b"Q", sql.encode() + b"\0")
                return await self._result()
            except ServerError:
                raise
            except BaseException:
                # Half an answer may be on its way: this session is of no use to anybody any more.
                self.close()
                raise

    async def _result(self) -> list:
        columns: list = []
        rows: list = []
        failure: Optional[ServerError] = None
        while True:
            kind, body = await self._receive()
            if kind == b"T":
                columns = _column_names(body)
            elif kind == b"D":
                rows.append(dict(zip(columns, _values(body))))
            elif kind == b"C":
                self.tag = body.rstrip(b"\0").decode(errors="replace")
            elif kind == b"E":
                failure = ServerError(_fields(body))
            elif kind == b"Z":
                if failure:
                    raise failure
                return rows

    def _send(self, kind: bytes, body: bytes) -> None:
        self._writer.write(kind + struct.pack("!I", len(body) + 4) + body)

    async def _receive(self, begun: bytes = b"") -> tuple:
        head = begun + await self._reader.readexactly(5 - len(begun))
        size = struct.unpack("!I", head[1:])[0] - 4
        if not 0 <= size <= 1 << 24:
            raise ProtocolError(f"a message of {size} bytes")
        return head[:1], await self._reader.readexactly(size)

    async def _encrypt(self, tls: str) -> None:
        self._writer.write(_SSL_REQUEST)
        says = await self._reader.readexactly(1)
        if says == b"S":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            try:
                await self._writer.start_tls(context)
            except ssl.SSLError as error:
                raise TlsError(f"the TLS handshake failed: {error}") from error
            self.encrypted = True
        elif says == b"E":
            # One that has no place left says so before it has heard anything.
            raise ServerError(_fields((await self._receive(says))[1]))
        elif says != b"N":
            raise ProtocolError(f"answered {says!r} when it was asked for TLS")
        elif tls == "require":
            raise LoginError("TLS is required, and the server speaks none")

    async def _start(self, user: str, password: str, parameters: dict) -> None:
        body = struct.pack("!I", 196608)
        for key, value in parameters.items():
            body += key.encode() + b"\0" + value.encode() + b"\0"
        body += b"\0"
        self._writer.write(struct.pack("!I", len(body) + 4) + body)
        scram: Optional[_Scram] = None
        while True:
            kind, body = await self._receive()
            if kind == b"E":
                raise ServerError(_fields(body))
            if kind == b"Z":
                return
            if kind == b"S":
                name, value = body.split(b"\0")[:2]
                self.reported[name.decode()] = value.decode(errors="replace")
            if kind != b"R":
                continue
            (method,) = struct.unpack("!I", body[:4])
            if method == 3:
                self._send(b"p", password.encode() + b"\0")
            elif method == 5:
                self._send(b"p", _md5_proof(user, password, body[4:8]) + b"\0")
            elif method == 10 and b"SCRAM-SHA-256" in body[4:].split(b"\0"):
                scram = _Scram(password)
                first = scram.first()
                self._send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first)
            elif method == 11 and scram:
                self._send(b"p", scram.final(body[4:]))
            elif method == 12 and scram:
                scram.verify(body[4:])
            elif method != 0:
                raise LoginError(f"the server asks for {_METHODS.get(method, f'authentication method {method}')}, which this client does not know")


# What else a server may ask for (AuthenticationXXX of the protocol).
_METHODS = {2: "Kerberos", 7: "GSSAPI", 9: "SSPI", 10: "a SASL mechanism other than SCRAM-SHA-256"}


def _md5_proof(user: str, password: str, salt: bytes) -> bytes:
    """The proof for a password that is stored as MD5, or given to the method `md5`."""

    def md5(data: bytes) -> bytes:
        return hashlib.md5(data, usedforsecurity=False).hexdigest().encode()

    return b"md5" + md5(md5(password.encode() + user.encode()) + salt)


class _Scram:
    """SCRAM-SHA-256 without channel binding (RFC 7677)."""

    def __init__(self, password: str) -> None:
        self._password = saslprep(password).encode()
        self._nonce = base64.b64encode(os.urandom(18)).decode()
        self._signature = b""

    def first(self) -> bytes:
        return f"n,,n=,r={self._nonce}".encode()

    def final(self, server_first: bytes) -> bytes:
        fields = dict(part.split("=", 1) for part in server_first.decode().split(","))
        if not fields["r"].startswith(self._nonce):
            raise LoginError("SCRAM nonce does not match")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, base64.b64decode(fields["s"]), int(fields["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = f"c=biws,r={fields['r']}"
        message = f"n=,r={self._nonce},{server_first.decode()},{without_proof}".encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self._signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, server_final: bytes) -> None:
        given = server_final.decode().partition("v=")[2].split(",")[0]
        if not hmac.compare_digest(base64.b64decode(given), self._signature):
            raise LoginError("the server does not know the password either")


def _fields(body: bytes) -> dict:
    return {part[:1].decode(): part[1:].decode(errors="replace") for part in body.split(b"\0") if part}


def _column_names(body: bytes) -> list:
    (count,) = struct.unpack("!H", body[:2])
    names, at = [], 2
    for _ in range(count):
        end = body.index(b"\0", at)
        names.append(body[at:end].decode())
        at = end + 19
    return names


def _values(body: bytes) -> list:
    (count,) = struct.unpack("!H", body[:2])
    values: list = []
    at = 2
    for _ in range(count):
        (size,) = struct.unpack("!i", body[at : at + 4])
        at += 4
        if size < 0:
            values.append(None)
        else:
            values.append(body[at : at + size].decode())
            at += size
    return values

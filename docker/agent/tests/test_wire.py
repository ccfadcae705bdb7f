import asyncio
import hashlib
import struct
import unittest
from unittest import mock

import support  # noqa: F401

from veloz_agent import peers, wire
from veloz_agent.wire import Connection, LoginError, ProtocolError, ServerError

SALT = b"salt"
WELCOME = b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I"


def asks(method, more=b""):
    return b"R" + struct.pack("!II", 8 + len(more), method) + more


def refusal(code, words):
    body = b"C" + code + b"\0M" + words + b"\0\0"
    return b"E" + struct.pack("!I", len(body) + 4) + body


class TagTest(unittest.IsolatedAsyncioTestCase):
    async def test_what_a_command_was_stays_known(self):
        reader = asyncio.StreamReader()
        for tag in (b"PAUSE", b"WAIT_CLOSE"):
            reader.feed_data(b"C" + struct.pack("!I", 5 + len(tag)) + tag + b"\0" + b"Z\0\0\0\x05I")
        session = Connection(reader, mock.Mock())
        for tag in ("PAUSE", "WAIT_CLOSE"):
            await session.query("PAUSE")
            self.assertEqual(session.tag, tag)


class WireTest(unittest.IsolatedAsyncioTestCase):
    """A server that asks for one proof, and lets in whoever gives the right one."""

    async def asyncSetUp(self):
        self.tls = b"N"
        self.asks = asks(0)
        self.proof = None
        self.heard = []
        self.server = await asyncio.start_server(self.session, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        encrypted = mock.AsyncMock()
        self.encrypted = encrypted
        patched = mock.patch.object(asyncio.StreamWriter, "start_tls", encrypted)
        patched.start()
        self.addCleanup(patched.stop)

    async def asyncTearDown(self):
        self.server.close()

    async def session(self, reader, writer):
        async def packet():
            (size,) = struct.unpack("!I", await reader.readexactly(4))
            return await reader.readexactly(size - 4)

        try:
            first = await packet()
            if first == struct.pack("!I", 80877103):
                self.heard.append("TLS?")
                writer.write(self.tls)
                first = await packet()
            self.heard.append("start")
            writer.write(self.asks)
            if self.proof is not None:
                self.heard.append(await reader.readexactly(1))
                given = await packet()
                writer.write(WELCOME if given == self.proof else refusal(b"28P01", b"no"))
            else:
                writer.write(WELCOME)
            await reader.read()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async def open(self, password="pässword", tls="disable"):
        connection = await Connection.open("127.0.0.1", self.port, "u", password, "d", tls=tls)
        connection.close()

    async def test_a_password_that_is_stored_as_md5_is_proven(self):
        inner = hashlib.md5("pässword".encode() + b"u").hexdigest().encode()
        self.asks, self.proof = asks(5, SALT), b"md5" + hashlib.md5(inner + SALT).hexdigest().encode() + b"\0"
        await self.open()
        with self.assertRaisesRegex(ServerError, "28P01"):
            await self.open("another")

    async def test_a_password_is_told_to_a_server_that_asks_for_it_itself(self):
        self.asks, self.proof = asks(3), "pässword".encode() + b"\0"
        await self.open()

    async def test_a_proof_that_is_not_known_is_named(self):
        self.asks = asks(7)
        with self.assertRaisesRegex(LoginError, "the server asks for GSSAPI, which this client does not know"):
            await self.open()

    async def test_a_peer_that_asks_for_an_unknown_proof_is_there_and_its_role_is_not_clear(self):
        self.asks = asks(9)
        answer = await peers.ask({"host": "127.0.0.1", "port": self.port}, "u", "p", 5000)
        self.assertTrue(answer.speaks and answer.unclear)
        self.assertIn("SSPI", answer.problem)

    async def test_nobody_asks_for_tls_unless_told_to(self):
        await self.open()
        self.assertEqual(self.heard, ["start"])

    async def test_tls_is_taken_where_the_server_has_it_and_its_certificate_is_not_looked_at(self):
        self.tls = b"S"
        await self.open(tls="prefer")
        self.assertEqual(self.heard, ["TLS?", "start"])
        (context,) = self.encrypted.await_args.args
        self.assertEqual((context.verify_mode, context.check_hostname), (wire.ssl.CERT_NONE, False))

    async def test_without_tls_a_client_that_prefers_it_goes_on_and_one_that_requires_it_does_not(self):
        await self.open(tls="prefer")
        self.assertEqual(self.heard, ["TLS?", "start"])
        self.encrypted.assert_not_awaited()
        with self.assertRaisesRegex(LoginError, "TLS is required"):
            await self.open(tls="require")

    async def test_a_refusal_instead_of_an_answer_on_tls_is_the_servers(self):
        self.tls = refusal(b"53300", b"sorry, too many clients already")
        with self.assertRaisesRegex(ServerError, "too many clients already .53300."):
            await self.open(tls="prefer")

    async def test_something_else_than_postgresql_is_no_server(self):
        self.tls = b"H"
        with self.assertRaises(ProtocolError) as raised:
            await self.open(tls="prefer")
        self.assertNotIsInstance(raised.exception, LoginError)


if __name__ == "__main__":
    unittest.main()

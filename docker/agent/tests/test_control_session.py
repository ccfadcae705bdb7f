import asyncio
import ssl
import struct
import unittest
from unittest import mock

import support  # noqa: F401

from veloz_agent import control_session
from veloz_agent.wire import ServerError


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


def refusal(code):
    return message(b"E", f"SFATAL\0C{code}\0Mno\0\0".encode())


READY = message(b"R", struct.pack("!I", 0)) + message(b"Z", b"I")


class FakeServer:
    """Answers each start-up packet with the next of `answers`, and keeps what it asked for. `tls`: what it says of TLS."""

    def __init__(self, *answers, tls=b"N"):
        self.answers = list(answers)
        self.asked = []
        self.tls = tls
        self.encrypted = []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.talk, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def talk(self, reader, writer):
        async def packet():
            (size,) = struct.unpack("!I", await reader.readexactly(4))
            return await reader.readexactly(size - 4)

        start = await packet()
        self.encrypted.append(False)
        if start == struct.pack("!I", 80877103):
            writer.write(self.tls)
            # What the client would encrypt is replaced by nothing.
            self.encrypted[-1] = self.tls == b"S"
            try:
                start = await packet()
            except asyncio.IncompleteReadError:
                writer.close()
                return
        words = start[4:].decode().split("\0")
        self.asked.append(dict(zip(words[::2], words[1::2])))
        writer.write(self.answers.pop(0))
        await writer.drain()
        await reader.read()
        writer.close()


class ControlSessionTest(unittest.IsolatedAsyncioTestCase):
    def test_values_with_blanks_and_backslashes_are_one_word_each(self):
        options = control_session.startup_options({"a": "read committed", "b": "x\\y", "c": ""})
        self.assertEqual(options, "-c a=read\\ committed -c b=x\\\\y -c c=")

    async def test_a_session_asks_for_its_own_settings(self):
        async with FakeServer(READY) as server:
            session = await control_session.open_session("127.0.0.1", server.port, "u", "p", "d")
            session.close()
        (asked,) = server.asked
        self.assertEqual((asked["user"], asked["database"], asked["application_name"]), ("u", "d", "veloz_agent"))
        for setting in (
            "search_path=pg_catalog,\\ pg_temp",
            "default_transaction_isolation=read\\ committed",
            "statement_timeout=0",
            "transaction_timeout=0",
        ):
            self.assertIn(f"-c {setting}", asked["options"])

    async def test_a_server_that_does_not_know_a_setting_is_asked_without_the_later_ones(self):
        async with FakeServer(refusal("42704"), READY) as server:
            (await control_session.open_session("127.0.0.1", server.port, "u", "p", "d")).close()
        self.assertIn("transaction_timeout", server.asked[0]["options"])
        self.assertNotIn("transaction_timeout", server.asked[1]["options"])
        self.assertIn("search_path", server.asked[1]["options"])

    async def test_tls_is_preferred_and_no_session_is_opened_twice_where_there_is_none(self):
        async with FakeServer(refusal("28000")) as server:
            with self.assertRaises(ServerError):
                await control_session.open_session("127.0.0.1", server.port, "u", "p", "d")
        self.assertEqual(server.encrypted, [False])

    async def over_tls(self, *answers, handshake=None):
        with mock.patch.object(asyncio.StreamWriter, "start_tls", mock.AsyncMock(side_effect=handshake)):
            async with FakeServer(*answers, tls=b"S") as server:
                try:
                    (await control_session.open_session("127.0.0.1", server.port, "u", "p", "d")).close()
                    return server.encrypted, None
                except ServerError as error:
                    return server.encrypted, error

    async def test_a_node_that_lets_in_only_over_tls_or_only_without_is_reached(self):
        self.assertEqual(await self.over_tls(READY), ([True], None))
        self.assertEqual(await self.over_tls(refusal("28000"), READY), ([True, False], None))

    async def test_a_handshake_that_fails_is_followed_by_a_try_without(self):
        encrypted, error = await self.over_tls(READY, handshake=ssl.SSLError("no protocols in common"))
        self.assertEqual((encrypted, error), ([True, False], None))

    async def test_a_wrong_password_is_wrong_over_tls_too_and_of_two_refusals_the_first_is_told(self):
        encrypted, error = await self.over_tls(refusal("28P01"))
        self.assertEqual((encrypted, error.code), ([True], "28P01"))
        encrypted, error = await self.over_tls(refusal("28000"), refusal("28000"))
        self.assertEqual((encrypted, error.code, error.encrypted), ([True, False], "28000", True))

    async def test_a_database_whose_sessions_load_what_is_not_there_is_no_reason_to_give_up(self):
        for code in ("3D000", "55000", "42501", "53300", "58P01"):
            async with FakeServer(refusal(code), READY) as server:
                (await control_session.open_control("127.0.0.1", server.port, "u", "p")).close()
            self.assertEqual([asked["database"] for asked in server.asked], ["veloz_ha", "postgres"], code)

    async def test_any_other_refusal_is_told(self):
        async with FakeServer(refusal("28P01")) as server:
            with self.assertRaises(ServerError) as refused:
                await control_session.open_session("127.0.0.1", server.port, "u", "p", "d")
        self.assertEqual(refused.exception.code, "28P01")


if __name__ == "__main__":
    unittest.main()

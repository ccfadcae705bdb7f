import asyncio
import unittest
import unittest.mock

import support  # noqa: F401

from veloz_agent import peers
from veloz_agent.errors import CommandError


class AskTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.hold_open = []

        async def never_speaks(_reader, writer):
            self.hold_open.append(writer)

        self.server = await asyncio.start_server(never_speaks, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def asyncTearDown(self):
        for writer in self.hold_open:
            writer.close()
        self.server.close()

    async def ask(self, **message):
        return (await peers.answer_ask(message, "u", "p"))["answers"]

    async def test_who_does_not_answer_is_told_as_such_within_the_limit(self):
        (answer,) = await self.ask(addresses=[{"host": "127.0.0.1", "port": self.port}], limitMs=50)
        self.assertEqual((answer["speaks"], answer["writable"], answer["standby"]), (False, False, False))
        self.assertEqual(answer["problem"], "no answer within 50 ms")
        self.assertEqual(answer["host"], "127.0.0.1")
        self.assertGreaterEqual(answer["ms"], 50)

    async def test_what_a_standby_is_stays_known_when_its_second_answer_is_late(self):
        row = {"recovering": "t", "system": "7", "timeline": None, "replayed": "0/3000000", "segment": "16777216"}
        for replay in (False, True):
            connection = unittest.mock.AsyncMock()
            connection.close = unittest.mock.Mock()
            connection.query.side_effect = [[row], asyncio.TimeoutError()]
            with unittest.mock.patch.object(peers, "open_control", unittest.mock.AsyncMock(return_value=connection)):
                answer = await peers.ask({"host": "b", "port": 5432}, "u", "p", replay=replay)
            self.assertEqual((answer.standby, answer.system_identifier, answer.replayed), (True, "7", None))
            self.assertEqual(connection.query.await_count, 2 if replay else 1)

    async def test_who_refuses_is_told_at_once(self):
        self.server.close()
        await self.server.wait_closed()
        (answer,) = await self.ask(addresses=[{"host": "127.0.0.1", "port": self.port}], limitMs=5000)
        self.assertIn("refused", answer["problem"].lower() + "refused" * ("111" in answer["problem"]))

    async def briefly(self, says):
        async def server(reader, writer):
            self.heard = await reader.read(100)
            writer.write(says)
            writer.close()

        other = await asyncio.start_server(server, "127.0.0.1", 0)
        try:
            port = other.sockets[0].getsockname()[1]
            (answer,) = await self.ask(addresses=[{"host": "127.0.0.1", "port": port}], limitMs=2000, briefly=True)
            return answer
        finally:
            other.close()

    async def test_briefly_a_server_that_says_a_word_speaks_and_nobody_logs_in(self):
        for word in (b"N", b"S", b"E"):
            answer = await self.briefly(word)
            self.assertEqual((answer["speaks"], answer["problem"]), (True, None))
            self.assertEqual(self.heard, b"\0\0\0\x08\x04\xd2\x16\x2f")
            self.assertEqual((answer["writable"], answer["standby"]), (False, False))

    async def test_briefly_who_hangs_up_or_speaks_something_else_does_not(self):
        for word, why in ((b"", "closed without an answer"), (b"H", "no PostgreSQL server")):
            answer = await self.briefly(word)
            self.assertFalse(answer["speaks"])
            self.assertIn(why, answer["problem"])

    async def test_briefly_who_does_not_answer_is_told_within_the_limit(self):
        (answer,) = await self.ask(addresses=[{"host": "127.0.0.1", "port": self.port}], limitMs=50, briefly=True)
        self.assertEqual((answer["speaks"], answer["problem"]), (False, "no answer within 50 ms"))

    async def test_arguments_are_checked(self):
        for message in ({"limitMs": 0}, {"limitMs": 100, "addresses": [{"host": "a b", "port": 1}]}):
            with self.assertRaises(CommandError):
                await self.ask(**message)
        self.assertEqual(await self.ask(addresses=[], limitMs=100), [])


if __name__ == "__main__":
    unittest.main()

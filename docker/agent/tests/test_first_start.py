import os
import tempfile
import unittest
import unittest.mock

import support  # noqa: F401

from veloz_agent import bootstrap, first_start
from veloz_agent.bootstrap import Bootstrap
from veloz_agent.errors import CommandError
from veloz_agent.peer_channel import ChannelError
from veloz_agent.peers import Answer
from veloz_agent.settings import PostgresSettings

# A name that is known everywhere, and one that is known nowhere.
THERE = {"host": "localhost", "port": 5432}
NOWHERE = {"host": "nobody.invalid", "port": 5432}


def settings(volume):
    made = PostgresSettings({"VELOZ_NODE": "a", "VELOZ_PG_PEERS": "localhost:5432"})
    made.data = os.path.join(volume, "data")
    return made


class ObjectionTest(unittest.IsolatedAsyncioTestCase):
    async def of(self, reply, peer=THERE):
        async def ask_agent(host, content, _limit_ms):
            self.assertEqual((host, content), (peer["host"], {"do": "holdsData", "from": "a", "to": peer["host"]}))
            if isinstance(reply, Exception):
                raise reply
            return reply

        return await first_start.objection(peer, "a", ask_agent)

    async def test_only_a_clear_word_that_it_holds_no_data_counts(self):
        self.assertIsNone(await self.of({"node": "localhost", "answer": "empty"}))
        for reply, says in (
            (TimeoutError(), "gave no answer within"),
            (ConnectionRefusedError("refused"), "could not be asked: refused"),
            (ChannelError("the connection ended"), "could not be asked"),
            ({"node": "localhost", "answer": "data", "why": "its data directory is not empty"}, "is not empty"),
            ({"node": "localhost", "answer": "refused", "why": "do: expected revoke"}, "expected revoke"),
            ({"node": "b", "answer": "empty"}, "of another node"),
            ({}, "of another node"),
        ):
            with self.subTest(reply=reply):
                self.assertIn(says, await self.of(reply) or "nothing")

    async def test_a_name_that_nobody_knows_counts_as_absent(self):
        self.assertIsNone(await self.of(AssertionError("was asked"), NOWHERE))


class FirstStartTest(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.settings = settings(folder.name)
        self.says = []
        self.created = []

    async def attempt(self, reply, waited_ms=2000.0):
        async def ask_all(*_):
            return [Answer("localhost", 5432, problem="no answer within 300 ms")]

        async def ask_agent(*_):
            if isinstance(reply, Exception):
                raise reply
            return reply

        made = Bootstrap(self.settings, None, None, self.says.append, ask_agent)

        async def create():
            self.created.append(True)

        with unittest.mock.patch.object(bootstrap.peers, "ask_all", ask_all):
            with unittest.mock.patch.object(made, "_create", create):
                return await made._attempt(waited_ms)

    async def test_a_peer_that_is_there_and_says_nothing_is_waited_for(self):
        said = await self.attempt(TimeoutError(), 3_600_000.0)
        self.assertEqual(self.created, [])
        self.assertIn("localhost is there, and its agent gave no answer", said)
        self.assertIn("VELOZ_PG_PEERS", said)

    async def test_where_each_says_that_it_holds_none_a_system_is_created_once_it_has_looked(self):
        empty = {"node": "localhost", "answer": "empty"}
        self.assertIn("Looking for peers", await self.attempt(empty, 100.0))
        self.assertEqual(self.created, [])
        self.assertIsNone(await self.attempt(empty))
        self.assertEqual(self.created, [True])

    def test_a_node_that_has_held_data_says_so(self):
        answer = lambda system=None: first_start.answer(self.settings, system, {"to": "a"})["answer"]  # noqa: E731
        self.assertEqual(answer(), "empty")
        self.assertEqual(answer("77"), "data")
        os.makedirs(os.path.join(self.settings.data))
        self.assertEqual(answer(), "empty")
        os.makedirs(self.settings.data + ".replaced-20260101T000000Z-001")
        self.assertEqual(answer(), "data")
        os.rmdir(self.settings.data + ".replaced-20260101T000000Z-001")
        with open(os.path.join(self.settings.data, "PG_VERSION"), "w", encoding="utf-8") as file:
            file.write("17")
        self.assertEqual(answer(), "data")
        with self.assertRaises(CommandError):
            first_start.answer(self.settings, None, {"to": "b"})


if __name__ == "__main__":
    unittest.main()

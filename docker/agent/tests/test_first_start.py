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

    async def test_a_peer_that_was_there_with_data_is_not_absent_once_its_name_is_gone(self):
        seen = {}

        async def data(*_):
            return {"node": "localhost", "answer": "data", "why": "its data directory is not empty"}

        async def empty(*_):
            return {"node": "localhost", "answer": "empty"}

        await first_start.objection(THERE, "a", data, seen)
        self.assertIn("is not empty", seen["localhost"])
        gone = {**seen, NOWHERE["host"]: seen["localhost"]}
        said = await first_start.objection(NOWHERE, "a", data, gone) or ""
        self.assertIn("was there and is not any more", said)
        self.assertIn("its data directory is not empty", said)
        # It came back without data and says so.
        self.assertIsNone(await first_start.objection(THERE, "a", empty, seen))
        self.assertEqual(seen, {})


class AfterASightTest(unittest.IsolatedAsyncioTestCase):
    """A node with the role of the primary and no data, whose peer has some and then vanishes with its name."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.settings = settings(folder.name)
        self.settings.peers = [NOWHERE]
        self.answer = Answer(NOWHERE["host"], 5432, problem="name not known")
        self.copied = []
        self.created = []
        self.held = []
        self.made = self.bootstrap()

    def bootstrap(self, held=None):
        async def ask_agent(*_):
            raise AssertionError("was asked")

        async def hold(system):
            self.held.append(system)

        async def clone(upstream):
            self.copied.append(upstream["host"])
            raise bootstrap.BootstrapError("the upstream is gone")

        async def create():
            self.created.append(True)

        made = Bootstrap(self.settings, None, None, lambda _: None, ask_agent, held, hold)
        made._clone, made._create = clone, create
        return made

    async def attempt(self):
        async def ask_all(*_):
            return [self.answer]

        with unittest.mock.patch.object(bootstrap.peers, "ask_all", ask_all):
            return await self.made._attempt(3_600_000.0)

    def peer(self, **what):
        self.answer = Answer(NOWHERE["host"], 5432, speaks=True, **what)

    def vanishes(self):
        self.answer = Answer(NOWHERE["host"], 5432, problem="name not known")

    async def test_one_that_began_to_copy_creates_nothing_and_waits_for_a_primary(self):
        self.peer(writable=True, timeline=3, system_identifier="77")
        with self.assertRaises(bootstrap.BootstrapError):
            await self.attempt()
        self.assertEqual((self.copied, self.held), ([NOWHERE["host"]], ["77"]))
        self.vanishes()
        self.assertIn("database system 77", await self.attempt())
        self.assertEqual(self.created, [])
        # Its agent was started again on the same volume.
        self.made = self.bootstrap(held="77")
        self.assertIn("waits for a primary to copy", await self.attempt())
        self.assertEqual((self.created, self.held), ([], ["77"]))

    async def test_what_is_to_be_held_is_written_down_before_the_copy_begins(self):
        async def full(_system):
            raise OSError("no space left on device")

        self.made._hold = full
        self.peer(writable=True, timeline=3, system_identifier="77")
        with self.assertRaises(OSError):
            await self.attempt()
        self.assertEqual(self.copied, [])

    async def test_one_that_saw_a_standby_creates_nothing_either(self):
        self.peer(standby=True, system_identifier="77")
        await self.attempt()
        self.assertEqual(self.held, ["77"])
        self.vanishes()
        self.assertIn("database system 77", await self.attempt())
        self.assertEqual(self.created, [])

    async def test_one_that_met_a_server_that_told_nothing_waits_for_its_return(self):
        self.peer(problem="the database system is starting up")
        await self.attempt()
        self.vanishes()
        said = await self.attempt()
        self.assertIn("a PostgreSQL server answered there", said)
        self.assertEqual((self.created, self.held), ([], []))

    async def test_a_node_beside_the_data_that_a_copy_replaced_creates_nothing(self):
        os.makedirs(self.settings.data + ".replaced-20260101T000000Z-001")
        self.assertIn("data that a copy replaced", await self.attempt())
        self.assertEqual(self.created, [])

    async def test_a_node_that_never_saw_anybody_creates_its_system(self):
        self.assertIsNone(await self.attempt())
        self.assertEqual(self.created, [True])


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

import asyncio
import os
import tempfile
import unittest
import unittest.mock

import support  # noqa: F401

from veloz_agent import control_database, own_upstream, postgres_server, statefile
from veloz_agent.peers import Answer
from veloz_agent.postgres_agent import PostgresAgent
from veloz_agent.settings import PostgresSettings

UPSTREAM = {"host": "b", "port": 5432}


class Server:
    pid = 42

    def __init__(self):
        self.signals = []

    def signal(self, number):
        self.signals.append(number.name)


class OwnUpstreamTest(unittest.IsolatedAsyncioTestCase):
    """A standby of b that streams, whatever a hand has set by ALTER SYSTEM."""

    async def asyncSetUp(self):
        for module in ("postgres_agent", "node", "postgres_server"):
            patch = unittest.mock.patch(f"veloz_agent.{module}.log")
            patch.start()
            self.addCleanup(patch.stop)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        settings = PostgresSettings({"VELOZ_NODE": "a", "VELOZ_PG_PEERS": "b,c"})
        settings.own = os.path.join(directory.name, "veloz")
        settings.data = os.path.join(directory.name, "data")
        os.makedirs(settings.own)
        os.makedirs(settings.data)
        agent = self.agent = PostgresAgent(settings)
        agent.files.write_upstream(UPSTREAM)
        agent.files.write_signal()
        agent.system_identifier = "1"
        self.server = agent.server = Server()
        agent.server_state = lambda: "running"
        self.answers = [self.primary("b", 3), Answer("c", 5432, standby=True, speaks=True, system_identifier="1")]
        self.keeps_wal = True
        self.asked = []

        async def ask(_addresses, replay=False):
            return self.answers

        async def ensure_slot(_settings, upstream):
            self.assertEqual(upstream, UPSTREAM)
            return self.keeps_wal

        asked = self.asked

        class Session:
            async def query(self, sql):
                asked.append(sql)
                return []

            def close(self):
                asked.append("closed")

        async def superuser(_settings):
            return Session()

        agent.ask = ask
        for module, name, value in (
            (postgres_server, "ensure_slot", ensure_slot),
            (control_database, "superuser", superuser),
            (own_upstream, "EVERY_S", 0.005),
        ):
            patch = unittest.mock.patch.object(module, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        self.auto("primary_slot_name = ''\nwork_mem = '8MB'\n")

    def primary(self, host, timeline):
        return Answer(host, 5432, writable=True, speaks=True, timeline=timeline, system_identifier="1")

    def auto(self, text):
        statefile.replace(os.path.join(self.agent.settings.data, "postgresql.auto.conf"), text)

    async def look(self):
        return await self.agent._take_upstream_back(self.server)

    async def test_what_was_set_by_hand_is_taken_back_by_the_server_itself_and_loaded(self):
        self.assertIsNone(await self.look())
        self.assertEqual(self.asked, ["ALTER SYSTEM RESET primary_slot_name", "closed"])
        self.assertEqual(self.server.signals, ["SIGHUP"])

    async def test_each_of_the_two_is_and_nothing_else(self):
        self.auto("Primary_Conninfo = 'host=b application_name=x'\nprimary_slot_name = 's'\n")
        self.assertEqual(own_upstream.by_hand(self.agent.settings.data), ["primary_conninfo", "primary_slot_name"])
        self.auto("# primary_slot_name = ''\nwork_mem = '8MB'\n")
        self.assertIsNone(await self.look())
        self.assertEqual((self.asked, self.server.signals), ([], []))

    async def test_a_standby_that_was_led_to_another_primary_in_a_need_is_not_led_back(self):
        for answers in (
            [Answer("b", 5432, problem="no answer within 300 ms")],
            [Answer("b", 5432, standby=True, speaks=True, system_identifier="1")],
            [self.primary("b", 3), self.primary("c", 4)],
        ):
            self.answers = answers
            self.assertIn("is not the primary", await self.look() or "")
        self.assertEqual((self.asked, self.server.signals), ([], []))

    async def test_a_standby_that_streams_is_not_given_a_slot_that_is_lost(self):
        self.keeps_wal = False
        self.assertIn("keeps no WAL any more", await self.look() or "")
        self.assertEqual((self.asked, self.server.signals), ([], []))

    async def test_nothing_is_touched_where_something_else_is_wanted_of_the_node(self):
        def promoted():
            self.agent.promoting_pid = self.server.pid

        def held():
            self.agent.desired = "held"

        for change in (promoted, held, self.agent.files.remove_signal):
            change()
            self.assertIsNone(await self.look())
        self.assertEqual(self.asked, [])

    async def test_it_is_looked_at_for_as_long_as_the_server_runs(self):
        caring = asyncio.ensure_future(self.agent._care_for_upstream(self.server))
        async with asyncio.timeout(20):
            while self.server.signals == []:
                await asyncio.sleep(0.002)
            self.agent.server = None
            await caring


if __name__ == "__main__":
    unittest.main()

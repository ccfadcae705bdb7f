import asyncio
import os
import tempfile
import unittest
import unittest.mock
from dataclasses import replace

import support  # noqa: F401

from veloz_agent import postgres_agent, server_processes, statefile
from veloz_agent.errors import CommandError
from veloz_agent.peers import Answer
from veloz_agent.postgres_agent import PostgresAgent
from veloz_agent.settings import PostgresSettings

TOKEN = {"run": "r", "attempt": 1}
WRITES = Answer("b", 5432, writable=True, speaks=True, timeline=2, system_identifier="1")


class Server:
    """A server that does not end by a fast shutdown, as with a receiver that lags."""

    def __init__(self, agent):
        self.agent = agent
        self.pid = 42
        self.since_ms = 0
        self.signals = []
        self.exited = asyncio.get_running_loop().create_future()

    @property
    def running(self):
        return not self.exited.done()

    def signal(self, number):
        self.signals.append(number.name)
        if number.name == "SIGQUIT":
            self.exited.set_result(2)
            self.agent._on_exit(self, 2)


class StopThatHangsTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        for module in ("postgres_agent", "node", "postgres_server"):
            patch = unittest.mock.patch(f"veloz_agent.{module}.log")
            patch.start()
            self.addCleanup(patch.stop)
        for name, value in (("EXPIRE_AGAIN_S", 0.02), ("STRANGERS_PATIENCE_S", 0.02), ("STRANGERS_AGAIN_S", 0.01)):
            patch = unittest.mock.patch.object(postgres_agent, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        settings = PostgresSettings({"VELOZ_NODE": "a", "VELOZ_PG_PEERS": "b"})
        settings.own = os.path.join(directory.name, "veloz")
        settings.data = os.path.join(directory.name, "data")
        os.makedirs(settings.own)
        os.makedirs(settings.data)
        statefile.replace(os.path.join(settings.data, "PG_VERSION"), "17\n")
        agent = self.agent = PostgresAgent(settings)
        self.answers = []
        self.launched = []

        async def ask(_addresses, replay=False):
            return self.answers

        def launch():
            self.assertIsNone(agent.server)
            agent.server = Server(agent)
            agent.stopping = False
            self.launched.append("standby" if agent.files.is_standby else "primary")

        agent.ask, agent.launch = ask, launch
        agent.control = lambda: {"state": "in production", "timeline": 1, "systemIdentifier": "1"}
        self.addCleanup(agent.disarm)
        await agent.claim({"token": TOKEN})
        launch()
        self.server = agent.server
        self.launched.clear()

    async def stop(self, deadman_ms=60_000, **more):
        with self.assertRaises(CommandError) as caught:
            await self.agent.stop({"token": TOKEN, "limitMs": 30, "deadmanMs": deadman_ms, "peers": [], **more})
        self.assertEqual(caught.exception.type, "StopTimeout")
        self.assertEqual(self.server.signals[0], "SIGINT")

    def start(self, **more):
        return self.agent.start({"token": TOKEN, "as": "primary", **more})

    async def until(self, condition):
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)

    async def test_at_the_limit_of_its_hold_it_is_ended_at_once_and_starts_as_it_was(self):
        await self.stop(deadman_ms=80)
        await self.until(lambda: self.launched)
        self.assertEqual(self.server.signals, ["SIGINT", "SIGQUIT"])
        await self.until(lambda: not self.agent.change.locked())
        self.assertEqual((self.launched, self.agent.desired, self.agent.armed()), (["primary"], "up", False))

    async def test_who_was_promoted_meanwhile_is_followed(self):
        self.answers = [WRITES]
        self.agent.promotion = {"run": "an earlier one", "atMs": 1}
        await self.stop(deadman_ms=80)
        await self.until(lambda: self.launched)
        self.assertEqual((self.launched, self.agent.promotion), (["standby"], None))

    async def test_who_was_promoted_apart_to_the_same_timeline_is_not_and_nothing_starts_beside_it(self):
        self.answers = [replace(WRITES, timeline=1)]
        await self.stop(deadman_ms=80)
        await self.until(lambda: self.agent.start_guard)
        self.assertIn("waits to be rejoined", self.agent.start_guard)
        self.assertEqual((self.launched, self.agent.files.is_standby, self.agent.desired), ([], False, "up"))

    async def test_what_does_not_end_even_then_is_tried_again_and_nothing_is_started_beside_it(self):
        ends = [None, "1 process(es) of PostgreSQL do not end after SIGKILL: [42]"]
        end = self.agent.end_server_now

        async def end_server_now():
            return ends.pop() or await end()

        self.agent.end_server_now = end_server_now
        await self.stop(deadman_ms=40)
        await self.until(lambda: self.launched)
        self.assertEqual((ends, self.launched), ([], ["primary"]))

    async def test_a_start_that_may_end_the_stop_does_so(self):
        await self.stop()
        self.assertTrue((await self.start())["waits"])
        self.assertEqual(self.server.signals, ["SIGINT"])
        answer = await self.start(endsStop=True)
        self.assertEqual((answer["already"], "waits" in answer), (False, False))
        self.assertEqual((self.server.signals, self.launched), (["SIGINT", "SIGQUIT"], ["primary"]))
        self.assertTrue((await self.start(endsStop=True))["already"])

    async def test_it_ends_no_stop_beside_another_primary_and_none_of_a_standby(self):
        await self.stop()
        self.answers = [WRITES]
        with self.assertRaises(CommandError) as caught:
            await self.start(endsStop=True)
        self.assertEqual((caught.exception.type, self.server.signals), ("PeerIsPrimary", ["SIGINT"]))
        self.answers = []
        self.agent.files.write_signal()
        self.assertTrue((await self.start(endsStop=True))["waits"])
        self.assertEqual(self.server.signals, ["SIGINT"])

    async def test_an_attempt_that_was_overtaken_ends_nothing(self):
        await self.stop()
        await self.agent.claim({"token": {"run": "r", "attempt": 2}})
        with self.assertRaises(CommandError) as caught:
            await self.start(endsStop=True)
        self.assertEqual((caught.exception.type, self.server.signals), ("Superseded", ["SIGINT"]))

    async def test_receivers_of_others_are_cut_off_when_they_hold_the_stop_up(self):
        with unittest.mock.patch.object(server_processes, "end_walsenders", side_effect=[[77], [77], []]) as end:
            await self.stop(strangers=[77, 78])
            # The first signal does not end one whose receiver reads nothing.
            await self.until(lambda: end.call_count == 3)
            await asyncio.sleep(0.05)
            self.assertEqual(end.call_args_list, [unittest.mock.call([77, 78])] * 3)
        with self.assertRaises(CommandError):
            await self.agent.stop({"token": TOKEN, "limitMs": 30, "deadmanMs": 1000, "peers": [], "strangers": [1]})

    async def test_a_stop_that_ends_in_time_cuts_nobody_off(self):
        with unittest.mock.patch.object(server_processes, "end_walsenders") as end:
            self.server.exited.set_result(0)
            await self.agent._cut_off(self.server, [77])
            end.assert_not_called()

    def test_only_what_is_a_walsender_still_is_ended(self):
        with tempfile.TemporaryDirectory() as proc, unittest.mock.patch("os.kill") as kill:
            for pid, title in (("77", "postgres: veloz: walsender etl 10.0.0.9"), ("78", "postgres: veloz: etl veloz")):
                os.makedirs(os.path.join(proc, pid))
                with open(os.path.join(proc, pid, "cmdline"), "w", encoding="utf-8") as file:
                    file.write(title)
            self.assertEqual(server_processes.end_walsenders([77, 78, 79], proc), [77])
            self.assertEqual(kill.call_count, 1)

import asyncio
import os
import tempfile
import unittest
import unittest.mock

import support  # noqa: F401

from veloz_agent import postgres_server, statefile
from veloz_agent.postgres_agent import PostgresAgent
from veloz_agent.settings import PostgresSettings

TOKEN = {"run": "r", "attempt": 1}
PID = 42


class Server:
    """A postmaster that ends only by an immediate shutdown."""

    def __init__(self, agent):
        self.agent = agent
        self.pid = PID
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


class StoppedProcessesTest(unittest.IsolatedAsyncioTestCase):
    """Whom the agent wakes, by what its server is about to do. None: every process of it."""

    async def asyncSetUp(self):
        self.log = []
        for module in ("postgres_agent", "node", "postgres_server"):
            patch = unittest.mock.patch(f"veloz_agent.{module}.log", lambda _level, text, **_: self.log.append(text))
            patch.start()
            self.addCleanup(patch.stop)
        patch = unittest.mock.patch.object(postgres_server, "WAKE_EVERY_S", 0.005)
        patch.start()
        self.addCleanup(patch.stop)
        self.wanted = []
        self.stopped = []

        def wake(only=None):
            self.wanted.append(only)
            woken, self.stopped = self.stopped, []
            return woken

        patch = unittest.mock.patch.object(postgres_server, "wake_stopped", wake)
        patch.start()
        self.addCleanup(patch.stop)
        patch = unittest.mock.patch("veloz_agent.postgres_agent.replay_blockers.end_while", unittest.mock.AsyncMock())
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
        agent.files.write_signal()
        await agent.claim({"token": TOKEN})
        self.server = agent.server = Server(agent)
        self.caring = asyncio.ensure_future(agent._care_for_stopped(self.server))
        self.addAsyncCleanup(self.end)

    async def end(self):
        self.agent.server = None
        await self.caring

    def says(self, word):
        lines = [str(PID), "/data", "0", "5432", "/run", "*", "0 0", word]
        statefile.replace(os.path.join(self.agent.settings.data, "postmaster.pid"), "\n".join(lines) + "\n")

    async def who_is_woken(self):
        self.wanted.clear()
        async with asyncio.timeout(20):
            while not self.wanted:
                await asyncio.sleep(0.002)
        return self.wanted[0]

    async def test_who_is_not_stopped_is_no_correction(self):
        await self.who_is_woken()
        self.assertIsNone((await self.agent.observe({}))["lastCorrection"])

    async def test_while_nothing_is_waited_for_only_the_postmaster_is_woken(self):
        for word in ("ready", "standby"):
            self.says(word)
            self.assertEqual(await self.who_is_woken(), PID)

    async def test_a_promotion_wakes_every_process_until_its_recovery_has_ended(self):
        # A hot standby says so too.
        self.says("ready")
        await self.agent.promote({"token": TOKEN})
        self.assertIn("SIGUSR1", self.server.signals)
        self.stopped = [77]
        self.assertIsNone(await self.who_is_woken())
        self.assertIn("Woke processes of PostgreSQL that were stopped (SIGSTOP): 77.", self.log)
        # Whoever asks the agent later hears it too.
        told = (await self.agent.observe({}))["lastCorrection"]
        self.assertEqual(told["did"], "woke processes of PostgreSQL that were stopped (SIGSTOP): 77")
        self.assertGreater(told["at"], 0)
        self.agent.files.remove_signal()
        self.assertEqual(await self.who_is_woken(), PID)

    async def test_a_run_that_waits_for_replay_wakes_every_process_for_as_long_as_it_waits(self):
        self.says("standby")
        await self.agent.clear_replay({"token": TOKEN, "limitMs": 10_000})
        self.assertIsNone(await self.who_is_woken())
        await self.agent.clear_replay({"token": TOKEN, "limitMs": 1})
        await asyncio.sleep(0.01)
        self.assertEqual(await self.who_is_woken(), PID)

    async def test_a_start_and_an_end_wake_every_process(self):
        self.assertIsNone(await self.who_is_woken())
        self.says("ready")
        self.assertEqual(await self.who_is_woken(), PID)
        self.agent.stopping = True
        self.assertIsNone(await self.who_is_woken())
        self.agent.stopping = False
        self.agent.shutting_down = True
        self.assertIsNone(await self.who_is_woken())

    async def test_the_end_of_the_container_waits_for_no_process_for_ever(self):
        self.agent.shutting_down = True
        with unittest.mock.patch.object(postgres_server, "STOP_LIMIT_S", 0.02):
            async with asyncio.timeout(20):
                await self.agent.stop_server()
        self.assertEqual(self.server.signals, ["SIGINT", "SIGQUIT"])


if __name__ == "__main__":
    unittest.main()

import asyncio
import json
import os
import tempfile
import unittest
import unittest.mock

import support  # noqa: F401

from veloz_agent import fence_file, peer_channel, statefile
from veloz_agent.errors import CommandError
from veloz_agent.peers import Answer
from veloz_agent.postgres_agent import PostgresAgent
from veloz_agent.settings import PostgresSettings

UPSTREAM = {"host": "b", "port": 5432}
OTHER = {"host": "c", "port": 5432}
CONTROL = {"state": "in production", "timeline": 1, "systemIdentifier": "1"}


def token(run="r", attempt=1):
    return {"run": run, "attempt": attempt}


class Server:
    """A server process that ends by the signals it is said to heed."""

    def __init__(self, agent, heeds):
        self.agent = agent
        self.heeds = heeds
        self.pid = 42
        self.since_ms = 0
        self.signals = []
        self.exited = asyncio.get_running_loop().create_future()

    def signal(self, number):
        self.signals.append(number.name)
        # Whoever starts it again after this must find the fence.
        self.fence_was_visible = self.agent.fenced_for_good and self.agent.files.is_standby
        if number.name in self.heeds:
            self.end(0)

    def end(self, code):
        if not self.exited.done():
            self.exited.set_result(code)
            self.agent._on_exit(self, code)


class FenceForGoodTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        for module in ("postgres_agent", "fencing", "rejoining", "node", "postgres_server"):
            patch = unittest.mock.patch(f"veloz_agent.{module}.log")
            patch.start()
            self.addCleanup(patch.stop)
        for name in ("postgres_server.IMMEDIATE_LIMIT_S", "crashes.FIRST_PAUSE_S"):
            patch = unittest.mock.patch(f"veloz_agent.{name}", 0.05)
            patch.start()
            self.addCleanup(patch.stop)
        patch = unittest.mock.patch.object(peer_channel.PeerChannel, "listen")
        patch.start()
        self.addCleanup(patch.stop)
        self.left = []
        patch = unittest.mock.patch("veloz_agent.postgres_server.kill_servers", self.kill_servers)
        patch.start()
        self.addCleanup(patch.stop)
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.answers = []
        self.agent = self.new_agent()
        await self.agent.claim({"token": token()})

    def kill_servers(self):
        """The processes that are left vanish when they are looked for again."""
        left, self.left = self.left, []
        if left and self.agent.server:
            self.agent.server.end(-9)
        return left

    def new_agent(self, with_data=True):
        settings = PostgresSettings({"VELOZ_NODE": "a", "VELOZ_PG_PEERS": "b,c"})
        settings.own = os.path.join(self.directory.name, "veloz")
        settings.data = os.path.join(self.directory.name, "data")
        os.makedirs(settings.own, exist_ok=True)
        os.makedirs(settings.data, exist_ok=True)
        if with_data and not os.path.exists(os.path.join(settings.data, "PG_VERSION")):
            statefile.replace(os.path.join(settings.data, "PG_VERSION"), "17\n")
        agent = PostgresAgent(settings)
        agent.launched = 0
        agent.heeds = ("SIGQUIT",)

        def launch():
            agent.launched += 1
            agent.server = Server(agent, agent.heeds)
            agent.stopping = False

        async def ask(_addresses, replay=False):
            return self.answers

        agent.launch = launch
        agent.ask = ask
        agent.control = lambda: dict(CONTROL)
        self.addCleanup(agent.disarm)
        return agent

    async def restarted(self):
        """The same node after its container was started again."""
        self.agent = self.new_agent()
        saved = statefile.load_state(self.agent.state_path)
        self.agent.claims = type(self.agent.claims)(saved)
        await self.agent.prepare(saved)
        await asyncio.sleep(0.05)
        return self.agent

    async def fence_now(self, run="r", upstream=UPSTREAM):
        return await self.agent.fence_now({"token": token(run), "upstream": upstream})

    async def start(self, role, run="r"):
        return await self.agent.start({"token": token(run), "as": role})

    async def refused(self, type_, work):
        with self.assertRaises(CommandError) as caught:
            await work
        self.assertEqual(caught.exception.type, type_)

    async def until(self, condition):
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)

    def put_fence_file(self, text=json.dumps({"version": 1, "run": "k", "upstream": UPSTREAM, "at": 1})):
        statefile.replace(os.path.join(self.agent.settings.own, fence_file.NAME), text)

    # fenceNow

    async def test_a_running_primary_is_fenced_before_it_is_ended_and_stays_stopped(self):
        self.agent.launch()
        server = self.agent.server
        result = await self.fence_now()
        self.assertEqual((result["already"], result["control"]), (False, CONTROL))
        self.assertEqual(server.signals, ["SIGQUIT"])
        self.assertTrue(server.fence_was_visible)
        self.assertEqual((self.agent.desired, self.agent.armed(), self.agent.server), ("fenced", False, None))
        self.assertTrue(self.agent.files.follows(UPSTREAM))
        self.assertTrue((await self.fence_now())["already"])
        await self.restarted()
        self.assertEqual((self.agent.desired, self.agent.armed(), self.agent.launched), ("fenced", False, 0))

    async def test_a_server_that_hangs_is_killed_with_all_its_processes(self):
        self.agent.heeds = ()
        self.agent.launch()
        self.left = [42, 43]
        await self.fence_now()
        self.assertEqual((self.agent.server, self.left), (None, []))

    async def test_processes_that_do_not_end_are_told_and_the_fence_holds(self):
        self.agent.launch()
        with (
            unittest.mock.patch("veloz_agent.postgres_server.kill_servers", lambda: [43]),
            unittest.mock.patch("veloz_agent.postgres_server.LEFTOVERS_LIMIT_S", 0.05),
        ):
            await self.refused("StillRunning", self.fence_now())
        self.assertTrue(self.agent.fenced_for_good)

    async def test_when_the_fence_can_not_be_written_the_server_is_ended_all_the_same(self):
        self.agent.launch()
        full = OSError(28, "No space left on device")
        with unittest.mock.patch.object(self.agent.files, "write_upstream", side_effect=full):
            await self.refused("FenceNotDurable", self.fence_now())
        self.assertEqual((self.agent.server, self.agent.desired), (None, "fenced"))
        with unittest.mock.patch("veloz_agent.statefile.make_durable", side_effect=full):
            await self.refused("FenceNotDurable", self.fence_now())
            await self.refused("FenceNotDurable", self.fence_now())
        await self.fence_now()
        await self.restarted()
        self.assertTrue(self.agent.fenced_for_good)

    async def test_room_that_the_end_of_the_server_made_is_used(self):
        self.agent.launch()
        write = self.agent.files.write_upstream
        full = OSError(28, "No space left on device")

        def write_when_the_server_is_gone(upstream, sync):
            if self.agent.server:
                raise full
            write(upstream, sync)

        with unittest.mock.patch.object(self.agent.files, "write_upstream", write_when_the_server_is_gone):
            await self.fence_now()
        self.assertTrue(self.agent.files.follows(UPSTREAM))

    async def test_only_the_claimed_run_fences(self):
        self.agent.launch()
        await self.refused("Superseded", self.fence_now("s"))
        self.assertIsNotNone(self.agent.server)

    async def test_a_held_node_is_fenced_for_good_and_its_switch_disarmed(self):
        self.agent.desired = "held"
        self.agent.arm({"limitMs": 40, "peers": []})
        await self.fence_now()
        await asyncio.sleep(0.1)
        self.assertEqual((self.agent.desired, self.agent.launched), ("fenced", 0))

    async def test_a_planned_fence_does_not_weaken_it(self):
        await self.fence_now()
        await self.agent.fence({"token": token(), "upstream": OTHER, "deadmanMs": 1000})
        self.assertFalse(self.agent.armed())
        self.assertTrue(self.agent.files.follows(OTHER))

    # How it ends.

    async def test_any_run_ends_it_by_a_start_as_standby(self):
        await self.fence_now()
        await self.agent.claim({"token": token("s")})
        await self.start("standby", "s")
        self.assertEqual((self.agent.desired, self.agent.fenced_by, self.agent.launched), ("up", None, 1))

    async def test_only_the_run_that_fenced_a_primary_may_take_the_fence_back(self):
        self.agent.launch()
        await self.fence_now()
        await self.agent.claim({"token": token("s")})
        await self.refused("FencedForGood", self.start("primary", "s"))
        # Nor does fencing it again make it its own.
        await self.fence_now("s", OTHER)
        await self.refused("FencedForGood", self.start("primary", "s"))

    async def test_the_run_that_fenced_takes_it_back_while_no_peer_is_primary(self):
        self.agent.launch()
        await self.fence_now()
        await self.agent.claim({"token": token(attempt=2)})
        self.answers = [Answer("b", 5432, writable=True, speaks=True, timeline=2, system_identifier="1")]
        again = self.agent.start({"token": token(attempt=2), "as": "primary"})
        await self.refused("PeerIsPrimary", again)
        self.answers = []
        await self.agent.start({"token": token(attempt=2), "as": "primary"})
        self.assertEqual((self.agent.desired, self.agent.files.is_standby), ("up", False))

    async def test_what_was_a_standby_does_not_become_a_primary_by_it(self):
        self.agent.files.write_signal()
        await self.fence_now()
        await self.refused("FencedForGood", self.start("primary"))

    # The fence file.

    async def test_a_fence_file_keeps_a_started_container_from_starting_its_server(self):
        self.put_fence_file()
        await self.restarted()
        self.assertEqual((self.agent.desired, self.agent.armed(), self.agent.launched), ("fenced", False, 0))
        self.assertEqual(self.agent.fenced_by["run"], "k")
        self.assertTrue(self.agent.files.is_standby and self.agent.files.follows(UPSTREAM))
        self.assertFalse(os.path.exists(os.path.join(self.agent.settings.own, fence_file.NAME)))
        await self.restarted()
        self.assertTrue(self.agent.fenced_for_good)

    async def test_a_fence_file_of_an_attempt_that_was_overtaken_fences_nobody(self):
        await self.agent.claim({"token": token("k", 7)})
        order = {"version": 1, "run": "k", "upstream": UPSTREAM, "at": 1}
        for run, attempt, fences in (("k", 6, False), ("r", 9, False), ("k", 7, True)):
            with self.subTest(run=run, attempt=attempt):
                self.put_fence_file(json.dumps({**order, "run": run, "attempt": attempt}))
                agent = await self.restarted()
                self.assertEqual(agent.fenced_for_good, fences)
                self.assertFalse(os.path.exists(os.path.join(agent.settings.own, fence_file.NAME)))

    async def test_a_fence_file_that_nobody_understands_fences_too(self):
        for text in ("", "{", "[]", "null", '{"run": 1}', '{"run": "k"}', '{"run": "k", "upstream": {"host": "a b"}}'):
            with self.subTest(text=text):
                self.put_fence_file(text)
                self.assertEqual(fence_file.read(self.agent.settings.own), {"run": None, "upstream": None, "attempt": None})
        await self.restarted()
        self.assertEqual((self.agent.desired, self.agent.launched), ("fenced", 0))

    async def test_a_fence_file_without_a_data_directory_creates_none(self):
        self.put_fence_file()
        self.agent = self.new_agent()
        os.unlink(os.path.join(self.agent.settings.data, "PG_VERSION"))
        await self.agent.prepare({})
        self.assertEqual((self.agent.desired, self.agent._starter), ("fenced", None))

    async def test_a_fence_file_is_looked_for_before_a_start_too(self):
        self.put_fence_file()
        await self.refused("FencedForGood", self.start("primary"))
        self.assertEqual(self.agent.launched, 0)
        self.put_fence_file()
        await self.start("standby")
        self.assertFalse(os.path.exists(os.path.join(self.agent.settings.own, fence_file.NAME)))

    async def test_a_fence_file_ends_a_hold_too(self):
        self.agent.desired = "held"
        self.agent.arm({"limitMs": 20, "peers": []})
        self.put_fence_file()
        await self.until(lambda: self.agent.desired == "fenced")
        self.assertEqual(self.agent.launched, 0)

    def full(self, empty_files=False):
        """A disk on which nothing can be written until `room` is called; empty files often can."""
        full = OSError(28, "No space left on device")
        write = unittest.mock.patch("os.write", side_effect=full)
        patch = write if empty_files else unittest.mock.patch("os.open", self.open_when_full)
        patch.start()
        self.addCleanup(patch.stop)
        return patch.stop

    @staticmethod
    def open_when_full(path, flags, *args, _open=os.open):
        if flags & os.O_CREAT:
            raise OSError(28, "No space left on device")
        return _open(path, flags, *args)

    async def test_on_a_full_disk_a_fence_file_fences_in_memory_until_there_is_room(self):
        self.put_fence_file()
        path = os.path.join(self.agent.settings.own, fence_file.NAME)
        with unittest.mock.patch("veloz_agent.postgres_server.FENCE_RETRY_S", 0.02):
            room = self.full(empty_files=True)
            await self.restarted()
            self.assertEqual((self.agent.desired, self.agent.launched, self.agent.armed()), ("fenced", 0, False))
            self.assertEqual(self.agent.fenced_by["run"], "k")
            self.assertFalse(self.agent.fence_durable or self.agent.files.is_standby)
            self.assertTrue(os.path.exists(path))
            with unittest.mock.patch("veloz_agent.postgres_agent.observation", return_value={}):
                await self.agent.dispatch("observe", {})
            await self.refused("FenceNotDurable", self.start("primary"))
            # What is only in memory is found again.
            agents = [self.agent, await self.restarted()]
            self.assertEqual((self.agent.desired, self.agent.launched), ("fenced", 0))
            agents[0].shutting_down = True
            await self.until(agents[0]._fence_task.done)
            room()
            await self.until(lambda: not os.path.exists(path))
        await self.until(self.agent._fence_task.done)
        self.assertTrue(self.agent.fence_durable and self.agent.files.is_standby)
        self.assertTrue(self.agent.files.follows(UPSTREAM))
        self.assertEqual((self.agent.fenced_by["run"], self.agent.fenced_by["wasPrimary"]), ("k", True))
        await self.restarted()
        self.assertTrue(self.agent.fenced_for_good)
        self.assertEqual(self.agent.launched, 0)

    async def test_a_run_that_ends_a_fence_in_memory_is_not_undone_later(self):
        self.put_fence_file()
        with unittest.mock.patch("veloz_agent.postgres_server.FENCE_RETRY_S", 0.02):
            room = self.full()
            await self.restarted()
            room()
            await self.agent.start({"token": token(), "as": "standby", "upstream": OTHER})
            await self.until(self.agent._fence_task.done)
        self.assertEqual((self.agent.desired, self.agent.launched), ("up", 1))
        self.assertTrue(self.agent.files.follows(OTHER))

    async def test_the_reserve_of_an_earlier_container_is_used_for_the_fence(self):
        self.put_fence_file()
        reserve = os.path.join(self.agent.settings.own, statefile.RESERVE)
        statefile.replace(reserve, "x")

        def open_(path, flags, *args, _open=os.open):
            if os.path.exists(reserve):
                return self.open_when_full(path, flags, *args)
            return _open(path, flags, *args)

        with (
            unittest.mock.patch.object(statefile, "_reserves", set()),
            unittest.mock.patch("os.open", open_),
        ):
            statefile.know_reserve(self.agent._reserve_path)
            await self.restarted()
        self.assertFalse(os.path.exists(reserve))
        self.assertTrue(self.agent.fenced_for_good and self.agent.fence_durable and self.agent.files.is_standby)

    async def test_a_fence_whose_signal_can_not_be_written_anew_stands(self):
        await self.fence_now()
        os.unlink(self.agent.files.signal_path)
        with unittest.mock.patch("veloz_agent.postgres_server.FENCE_RETRY_S", 0.02):
            room = self.full()
            await self.restarted()
            self.assertEqual((self.agent.desired, self.agent.launched), ("fenced", 0))
            room()
            await self.until(lambda: self.agent.files.is_standby)
            await self.until(self.agent._fence_task.done)

    # Crashes.

    async def test_a_server_that_ends_unasked_is_started_again_in_place(self):
        self.agent.launch()
        for launches in (2, 3, 4):
            self.agent.server.end(-9)
            self.assertFalse(self.agent.health()[0])
            await self.until(lambda: self.agent.launched == launches)
        self.assertEqual((self.agent.crashes.count, self.agent.crashes.last_exit_code), (3, -9))

    async def test_as_a_primary_only_while_no_peer_is_one(self):
        self.answers = [Answer("b", 5432, writable=True, speaks=True, timeline=2, system_identifier="1")]
        self.agent.launch()
        self.agent.server.end(-9)
        await self.until(lambda: self.agent.start_guard)
        self.assertEqual(self.agent.launched, 1)
        self.assertIn("timeline 2", self.agent.health()[1])
        await self.agent.cancel_start()

    async def test_what_a_run_wants_cancels_a_start_that_waits(self):
        for command in ("fence_now", "stop"):
            with self.subTest(command=command), unittest.mock.patch("veloz_agent.crashes.FIRST_PAUSE_S", 0.1):
                self.agent.desired = "up"
                self.agent.launch()
                self.agent.server.end(1)
                await self.until(lambda: self.agent.server)
                self.agent.server.end(1)
                launched = self.agent.launched
                if command == "stop":
                    stop = {"token": token(), "limitMs": 100, "deadmanMs": 60_000}
                    await self.refused("UncleanStop", self.agent.stop(stop))
                else:
                    await self.fence_now()
                await asyncio.sleep(0.3)
                self.assertEqual(self.agent.launched, launched)

    async def test_a_fence_file_that_came_meanwhile_is_found(self):
        self.agent.launch()
        self.put_fence_file()
        self.agent.server.end(-9)
        await self.until(lambda: self.agent.desired == "fenced")
        self.assertEqual(self.agent.launched, 1)

    async def test_an_unreadable_control_file_is_told_and_tried_again(self):
        def broken():
            raise FileNotFoundError("global/pg_control")

        self.agent.control = broken
        self.agent.launch()
        self.agent.server.end(1)
        await self.until(lambda: self.agent.start_guard)
        self.assertIn("control file", self.agent.start_guard)
        await self.agent.cancel_start()


if __name__ == "__main__":
    unittest.main()

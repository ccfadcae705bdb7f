import asyncio
import os
import re
import signal
import tempfile
import time
import unittest
import unittest.mock

import support  # noqa: F401

from veloz_agent import pgbouncer_agent, statefile
from veloz_agent.errors import CommandError
from veloz_agent.peers import Answer
from veloz_agent.pgbouncer_agent import PgBouncerAgent
from veloz_agent.settings import PgBouncerSettings
from veloz_agent.wire import ServerError

A = {"host": "a", "port": 5432}
B = {"host": "b", "port": 5432}
TOKEN = {"run": "r", "attempt": 1}


class Console:
    """PgBouncer as far as the agent sees it: a route that RELOAD takes over, and a pool that is paused or not."""

    def __init__(self, read_route):
        self.read_route = read_route
        self.route = A
        self.paused = False
        # What somebody did to all of PgBouncer.
        self.all = None
        self.troubles = 0
        self.hangs = False

    async def open(self):
        session = unittest.mock.AsyncMock(tag="PAUSE")
        session.close = lambda: None

        async def query(_sql):
            if self.all is not None:
                raise ServerError({"M": "already suspended/paused", "C": "08P01"})
            self.paused = True

        session.query = query
        return session

    async def ask(self, sql):
        if sql == "RELOAD":
            self.route = self.read_route()

    async def database(self):
        return {"host": self.route["host"], "port": str(self.route["port"]), "paused": "1" if self.paused else "0"}

    async def halted(self):
        return self.all

    async def resume_all(self):
        halted, self.all = self.all, None
        return halted

    async def resume(self):
        if self.hangs:
            raise asyncio.TimeoutError
        if self.troubles:
            self.troubles -= 1
            raise ConnectionResetError("gone")
        self.paused = False
        await self.resume_all()


class ExpiryTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        for name, value in (("log", unittest.mock.Mock()), ("EXTRA_S", 30), ("ASK_EVERY_S", 0.02)):
            patch = unittest.mock.patch.object(pgbouncer_agent, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        patch = unittest.mock.patch("veloz_agent.node.log")
        patch.start()
        self.addCleanup(patch.stop)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        settings = PgBouncerSettings({"VELOZ_PG_ROUTE": "a:5432"})
        settings.volume = directory.name
        settings.route_dir = os.path.join(directory.name, "route")
        os.mkdir(settings.route_dir)
        self.agent = PgBouncerAgent(settings)
        self.addresses = {}
        patch = unittest.mock.patch.object(pgbouncer_agent.addresses, "look_up", self.look_up)
        patch.start()
        self.addCleanup(patch.stop)
        self.console = self.agent.console = Console(lambda: self.server_of(settings))
        self.agent._ask = self.ask
        self.addCleanup(self.agent._end_watch)
        self.writable = None
        self.standbys = ()
        await self.agent.claim({"token": TOKEN})

    async def look_up(self, host, _known=None, _limit_s=0):
        return self.addresses.get(host)

    @staticmethod
    def server_of(settings):
        """Where PgBouncer connects to, as it reads the routing file."""
        found = re.search(r"host=(\S+) port=(\d+)", statefile.read(pgbouncer_agent.route_path(settings)))
        return {"host": found[1], "port": int(found[2])}

    async def ask(self, candidates, _limit_ms=0):
        return [
            Answer(
                each["host"],
                5432,
                speaks=True,
                writable=each["host"] == self.writable,
                standby=each["host"] in self.standbys,
                timeline=1,
            )
            for each in candidates
        ]

    async def hold(self, limit_ms):
        message = {"token": TOKEN, "pauseLimitMs": 1000, "limitMs": limit_ms, "candidates": [A, B]}
        return await self.agent.take_hold(message)

    async def let_go_after(self):
        began = time.monotonic()
        while self.agent.hold or self.agent.change.locked():
            self.assertLess(time.monotonic() - began, 20)
            await asyncio.sleep(0.005)
        self.assertFalse(self.console.paused)
        return time.monotonic() - began

    async def test_a_hold_that_is_not_awaited_answers_while_transactions_are_open(self):
        gate = asyncio.Event()
        session = unittest.mock.AsyncMock(close=lambda: None)
        session.query = lambda _sql: gate.wait()
        with unittest.mock.patch.object(self.console, "open", return_value=session):
            message = {"token": TOKEN, "pauseLimitMs": 50, "limitMs": 60_000, "wait": False}
            first = await self.agent.take_hold(message)
            self.assertEqual((first["already"], first["pauseMs"]), (False, None))
            # Who joins may grant open transactions more time.
            joined = asyncio.ensure_future(self.agent.take_hold({**message, "pauseLimitMs": 30_000, "wait": True}))
            await asyncio.sleep(0.2)
            self.assertFalse(joined.done())
            gate.set()
            self.assertGreaterEqual((await joined)["pauseMs"], 200)
        self.assertIsNotNone((await self.agent.take_hold(message))["pauseMs"])
        await self.agent.release({"token": TOKEN})

    async def test_a_pause_that_is_on_its_way_holds_nobody_once_clients_were_let_go(self):
        gate = asyncio.Event()
        opened = self.console.open

        async def open_slowly():
            await gate.wait()
            return await opened()

        with unittest.mock.patch.object(self.console, "open", open_slowly):
            message = {"token": TOKEN, "pauseLimitMs": 30_000, "limitMs": 60_000, "candidates": [A, B], "wait": False}
            await self.agent.take_hold(message)
            hold = self.agent.hold
            await asyncio.sleep(0)
            await self.agent.release({"token": TOKEN})
            gate.set()
            await asyncio.sleep(0.05)
        self.assertFalse(self.console.paused)
        with self.assertRaises(CommandError) as refused:
            await hold.paused
        self.assertEqual(refused.exception.type, "Released")

    async def test_nor_does_one_that_waits_for_open_transactions(self):
        for let_go in (lambda: self.agent.release({"token": TOKEN}), self.agent._expire):
            self.agent.expired_run = None
            gate = asyncio.Event()
            session = unittest.mock.AsyncMock(close=lambda: None)

            async def pause(_sql, gate=gate):
                await gate.wait()
                self.console.paused = True

            session.query = pause
            self.writable = "a"
            with unittest.mock.patch.object(self.console, "open", return_value=session):
                message = {"token": TOKEN, "pauseLimitMs": 30_000, "limitMs": 100, "candidates": [A, B], "wait": False}
                await self.agent.take_hold(message)
                await asyncio.sleep(0.15 if let_go == self.agent._expire else 0)
                await let_go()
                self.assertIsNone(self.agent.hold)
                gate.set()
                await asyncio.sleep(0.05)
            self.assertFalse(self.console.paused)

    async def test_transactions_that_hang_are_ended_only_while_clients_are_held(self):
        ended = []

        async def end_clients():
            ended.append(1)
            gate.set()
            return 1

        gate = asyncio.Event()
        session = unittest.mock.AsyncMock(close=lambda: None)
        session.query = lambda _sql: gate.wait()
        self.console.end_clients_of_busy_servers = end_clients
        with self.assertRaises(CommandError) as caught:
            await self.agent.drop({"token": TOKEN})
        self.assertEqual(caught.exception.type, "NotHeld")
        with unittest.mock.patch.object(self.console, "open", return_value=session):
            message = {"token": TOKEN, "pauseLimitMs": 30_000, "limitMs": 60_000, "wait": False}
            await self.agent.take_hold(message)
            with self.assertRaises(CommandError):
                await self.agent.drop({"token": {**TOKEN, "attempt": 2}})
            self.assertEqual(await self.agent.drop({"token": TOKEN}), {"dropped": 1})
            await self.agent.take_hold({**message, "wait": True})
        self.assertEqual(await self.agent.drop({"token": TOKEN}), {"dropped": 0})
        self.assertEqual(len(ended), 1)
        await self.agent.release({"token": TOKEN})

    async def test_with_a_writable_node_clients_go_at_the_limit(self):
        self.writable = "b"
        await self.hold(50)
        await self.let_go_after()
        self.assertEqual(self.agent.route, B)

    async def test_pgbouncer_is_given_addresses_and_follows_them_when_nodes_come_back_with_others(self):
        with unittest.mock.patch.object(pgbouncer_agent, "FOLLOW_EVERY_S", 0.01):
            self.addresses = {"a": "10.0.0.2", "b": "10.0.0.3"}
            await self.agent.take_route({"token": TOKEN, **A})
            self.assertEqual((self.console.route["host"], self.agent.route), ("10.0.0.2", A))
            self.assertTrue((await self.agent.take_route({"token": TOKEN, **A}))["already"])
            following = asyncio.ensure_future(self.agent._follow_address())
            self.addCleanup(following.cancel)
            # Both were down.
            self.addresses = {}
            await asyncio.sleep(0.05)
            self.assertEqual(self.console.route["host"], "10.0.0.2")
            self.addresses = {"a": "10.0.0.3", "b": "10.0.0.2"}
            while self.console.route["host"] != "10.0.0.3":
                await asyncio.sleep(0.005)
            self.assertEqual(self.agent.route, A)
            observed = await self.agent.observe({})
            self.assertEqual((observed["route"], observed["routeAddress"]), (A, "10.0.0.3"))
            self.assertEqual(pgbouncer_agent.read_route(self.agent.settings), A)
            # PgBouncer may know an address of old for a name that has none: it is given a name that never has one.
            self.addresses = {}
            await self.agent.take_route({"token": TOKEN, **B})
            self.assertEqual((self.console.route["host"], self.agent.route), ("b.invalid", B))
            self.addresses = {"b": "10.0.0.7"}
            while self.console.route["host"] != "10.0.0.7":
                await asyncio.sleep(0.005)

    async def test_an_address_that_is_another_nodes_by_now_is_used_no_more(self):
        self.agent.settings.peers = [A, B]
        with unittest.mock.patch.object(pgbouncer_agent, "FOLLOW_EVERY_S", 0.01):
            self.addresses = {"a": "10.0.0.2", "b": "10.0.0.3"}
            await self.agent.take_route({"token": TOKEN, **A})
            following = asyncio.ensure_future(self.agent._follow_address())
            self.addCleanup(following.cancel)
            # Both ended, and the standby was started: the lowest free address is that of the primary.
            self.addresses = {"b": "10.0.0.2"}
            async with asyncio.timeout(10):
                while self.agent.last_correction is None:
                    await asyncio.sleep(0.005)
            self.assertEqual((self.console.route["host"], self.agent.route), ("a.invalid", A))
            self.assertIn("10.0.0.2, the address that a had, is another node's now", self.agent.last_correction["did"])
            # A route of a run that is the same keeps clients waiting, too.
            self.assertTrue((await self.agent.take_route({"token": TOKEN, **A}))["already"])
            self.addresses["a"] = "10.0.0.3"
            async with asyncio.timeout(10):
                while self.console.route["host"] != "10.0.0.3":
                    await asyncio.sleep(0.005)
            self.assertEqual(self.agent.route, A)

    async def test_an_address_that_its_node_has_lost_is_looked_at_more_often(self):
        self.agent.settings.peers = [A, B]
        with unittest.mock.patch.object(pgbouncer_agent, "FOLLOW_EVERY_S", 0.01):
            self.addresses = {"a": "10.0.0.2"}
            await self.agent.take_route({"token": TOKEN, **A})
            following = asyncio.ensure_future(self.agent._follow_address())
            self.addCleanup(following.cancel)
            self.addresses = {}
            await asyncio.sleep(0.1)
        # At the usual pace the standby would be noticed when the test is over.
        with unittest.mock.patch.object(pgbouncer_agent, "FOLLOW_EVERY_S", 60):
            self.addresses = {"b": "10.0.0.2"}
            async with asyncio.timeout(10):
                while self.agent.last_correction is None:
                    await asyncio.sleep(0.005)
            self.assertEqual(self.console.route["host"], "a.invalid")

    async def test_with_nobody_writable_clients_wait_until_somebody_is(self):
        await self.hold(50)
        await asyncio.sleep(0.2)
        observed = await self.agent.observe({})
        self.assertEqual((observed["paused"], observed["hold"]["remainingMs"]), (None, 0))
        self.assertTrue(self.console.paused)
        self.writable = "a"
        await self.let_go_after()
        self.assertIn("a:5432 is a writable primary", self.agent.last_expiry["did"])
        self.assertEqual(self.agent.route, A)

    async def test_nobody_at_all_is_waited_for_beyond_the_bound_and_the_route_follows_later(self):
        with unittest.mock.patch.object(pgbouncer_agent, "EXTRA_S", 0.3):
            await self.hold(50)
            self.assertGreaterEqual(await self.let_go_after(), 0.3)
        self.assertIn("Nobody is writable", self.agent.last_expiry["did"])
        self.writable = "b"
        async with asyncio.timeout(10):
            while self.agent.route != B:
                await asyncio.sleep(0.01)

    async def test_clients_who_were_led_ahead_to_a_node_that_is_still_being_promoted_go_back_at_the_limit(self):
        self.standbys = ("b",)
        with unittest.mock.patch.object(pgbouncer_agent, "EXTRA_S", 0.1):
            await self.hold(50)
            await self.agent.take_route({"token": TOKEN, **B})
            await self.let_go_after()
        self.assertEqual(self.agent.route, A)
        self.assertIn("Nobody is writable: the route is now a:5432", self.agent.last_expiry["did"])
        # Nor does the run lead them there now, and its looking for the primary goes on.
        with self.assertRaises(CommandError) as caught:
            await self.agent.take_route({"token": TOKEN, **B})
        self.assertEqual(caught.exception.type, "Standby")
        self.standbys, self.writable = (), "b"
        async with asyncio.timeout(10):
            while self.agent.route != B:
                await asyncio.sleep(0.01)

    async def test_after_the_limit_the_run_may_let_go_but_not_hold_on(self):
        await self.hold(50)
        await asyncio.sleep(0.1)
        with self.assertRaises(CommandError) as caught:
            await self.hold(5000)
        self.assertEqual(caught.exception.type, "Expired")
        await self.agent.take_route({"token": TOKEN, **B})
        self.assertFalse((await self.agent.release({"token": TOKEN}))["already"])
        self.assertFalse(self.console.paused)
        await asyncio.sleep(0.4)
        self.assertIsNone(self.agent.last_expiry)

    async def test_a_console_that_is_unwell_is_tried_again(self):
        self.writable = "a"
        self.console.troubles = 2
        await self.hold(50)
        await self.let_go_after()

    async def test_a_pgbouncer_that_hangs_during_a_hold_is_ended_soon_after_the_limit(self):
        self.writable = "a"
        self.agent.server = unittest.mock.Mock()
        await self.hold(50)
        self.console.hangs = True
        async with asyncio.timeout(10):
            while not self.agent.server.signal.called:
                await asyncio.sleep(0.005)
        self.agent.server.signal.assert_called_once_with(signal.SIGKILL)
        self.assertIn("was ended: it hung", self.agent.last_correction["did"])
        self.assertIn("PgBouncer did not let clients go", self.agent.last_expiry["did"])
        # The same run may not hold clients again once it has started anew.
        self.assertEqual(self.agent.state()["expiredRun"], "r")

    async def test_one_that_answers_in_between_is_not(self):
        self.writable = "a"
        self.agent.server = unittest.mock.Mock()
        resume, times = self.console.resume, iter([True, True, False, True, True])

        async def stalls():
            if next(times, False):
                raise asyncio.TimeoutError
            await resume()

        self.console.troubles = 1
        self.console.resume = stalls
        await self.hold(50)
        await self.let_go_after()
        self.agent.server.signal.assert_not_called()

    async def test_a_hold_takes_the_place_of_a_pause_of_everything_and_its_end_ends_it(self):
        for halted in ("paused", "suspended"):
            self.console.all = halted
            self.agent.server = unittest.mock.Mock(pid=1)
            observed = await self.agent.observe({})
            self.assertEqual((observed["paused"], observed["halted"], observed["hold"]), (True, halted, None))
            await self.hold(60_000)
            observed = await self.agent.observe({})
            self.assertEqual((observed["paused"], observed["halted"]), (True, None))
            await self.agent.release({"token": TOKEN})
            observed = await self.agent.observe({})
            self.assertEqual((observed["paused"], observed["halted"]), (False, None))

    async def test_a_pause_that_is_answered_as_wait_close_lasts_until_no_server_is_in_use(self):
        used = asyncio.Event()
        session = unittest.mock.AsyncMock(tag="WAIT_CLOSE", close=lambda: None)
        self.console.until_unused = used.wait
        with unittest.mock.patch.object(self.console, "open", return_value=session):
            message = {"token": TOKEN, "pauseLimitMs": 30_000, "limitMs": 60_000, "candidates": [A, B], "wait": False}
            self.assertIsNone((await self.agent.take_hold(message))["pauseMs"])
            await asyncio.sleep(0.05)
            self.assertIsNone((await self.agent.take_hold(message))["pauseMs"])
            used.set()
            self.assertIsNotNone((await self.agent.take_hold({**message, "wait": True}))["pauseMs"])
        await self.agent.release({"token": TOKEN})

    async def test_a_pause_of_everything_during_a_hold_ends_with_it(self):
        await self.hold(60_000)
        self.console.all = "paused"
        await self.agent.release({"token": TOKEN})
        self.assertFalse((await self.agent.observe({}))["paused"])
        self.assertIsNone(self.console.all)


if __name__ == "__main__":
    unittest.main()

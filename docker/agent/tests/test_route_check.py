import asyncio
import os
import tempfile
import time
import unittest
import unittest.mock

import support  # noqa: F401
import test_pooler_expiry as expiry
from test_pooler_expiry import A, B, TOKEN, Console

from veloz_agent import pgbouncer_agent
from veloz_agent.peers import Answer
from veloz_agent.pgbouncer_agent import PgBouncerAgent
from veloz_agent.route_check import RouteCheck
from veloz_agent.settings import PgBouncerSettings

C = {"host": "c", "port": 5432}


def answer(host, role, timeline=None, system="1"):
    return Answer(
        host, 5432, speaks=role != "silent", writable=role == "primary", standby=role == "standby",
        timeline=timeline, system_identifier=None if role == "silent" else system,
    )


class DecisionTest(unittest.TestCase):
    def setUp(self):
        self.check = RouteCheck()

    def test_clients_leave_a_standby_for_the_only_primary(self):
        self.assertEqual(self.check.better(A, [answer("a", "standby"), answer("b", "primary", 2)]), B)

    def test_nothing_else_moves_them(self):
        for answers in (
            [answer("a", "primary", 1), answer("b", "primary", 2)],
            [answer("a", "silent"), answer("b", "primary", 2)],
            [answer("a", "standby"), answer("b", "standby")],
            [answer("a", "standby"), answer("b", "silent")],
            [answer("a", "standby"), answer("b", "primary", 2), answer("c", "primary", 3)],
            [answer("a", "standby"), answer("b", "primary", 2, system="2")],
        ):
            self.assertIsNone(self.check.better(A, answers), answers)

    def test_a_primary_of_an_older_timeline_is_not_followed(self):
        self.check.learn(A, [answer("c", "primary", 3)])
        self.assertIsNone(self.check.better(A, [answer("a", "standby"), answer("b", "primary", 2)]))
        self.assertEqual(self.check.better(A, [answer("a", "standby"), answer("b", "primary", 3)]), B)


    def test_a_silent_node_is_left_only_for_one_that_was_promoted_in_its_place(self):
        silent = answer("a", "silent")
        self.assertTrue(self.check.learn(A, [answer("a", "primary", 2)]))
        self.assertFalse(self.check.learn(A, [answer("a", "primary", 2)]))
        self.assertIsNone(self.check.better(A, [silent, answer("b", "primary", 2)]))
        self.assertIsNone(self.check.better(A, [silent, answer("b", "primary", 3, system="2")]))
        self.assertIsNone(self.check.better(A, [silent, answer("b", "primary", 3), answer("c", "primary", 4)]))
        self.assertEqual(self.check.better(A, [silent, answer("b", "primary", 3)]), B)
        # Also after a restart, and not where clients are led by somebody else to a node that was never seen well.
        again = RouteCheck(self.check.as_state())
        self.assertEqual(again.better(A, [silent, answer("b", "primary", 3)]), B)
        self.assertIsNone(again.better(C, [answer("c", "silent"), answer("b", "primary", 3)]))


class PoolerTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        patches = [
            unittest.mock.patch.object(pgbouncer_agent, name, value)
            for name, value in (("log", unittest.mock.Mock()), ("CHECK_EVERY_S", 0.01), ("RUN_SPOKE_S", 1.5))
        ]
        for patch in [*patches, unittest.mock.patch("veloz_agent.node.log")]:
            patch.start()
            self.addCleanup(patch.stop)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        settings = PgBouncerSettings({"VELOZ_PG_ROUTE": "a:5432", "VELOZ_PG_PEERS": "a,b"})
        settings.volume = directory.name
        settings.route_dir = os.path.join(directory.name, "route")
        os.mkdir(settings.route_dir)
        self.agent = PgBouncerAgent(settings)
        self.agent.server = unittest.mock.Mock()
        patch = unittest.mock.patch.object(pgbouncer_agent.addresses, "look_up", self.look_up)
        patch.start()
        self.addCleanup(patch.stop)
        self.console = self.agent.console = Console(lambda: expiry.ExpiryTest.server_of(settings))
        self.roles = {"a": "primary", "b": "standby"}
        self.agent._ask = self.ask
        self.agent._run_spoke = -10
        self.task = asyncio.ensure_future(self.agent._follow_the_primary())
        self.addCleanup(self.task.cancel)

    async def look_up(self, host, _known=None, _limit_s=0):
        """A node that runs has its name as address."""
        return None if self.roles.get(host, "silent") == "silent" else host

    async def ask(self, nodes, _limit_ms=0):
        return [answer(each["host"], self.roles.get(each["host"], "silent"), 2) for each in nodes]

    async def follows(self, route):
        began = time.monotonic()
        while self.console.route != route or self.agent.last_correction is None:
            self.assertLess(time.monotonic() - began, 20)
            await asyncio.sleep(0.01)

    async def test_it_follows_roles_that_were_swapped_by_hand(self):
        await asyncio.sleep(0.1)
        self.assertEqual(self.console.route, A)
        self.roles = {"a": "standby", "b": "primary"}
        await self.follows(B)
        self.assertEqual(self.agent.route, B)
        self.assertIn("a is not the primary any more", (await self.agent.observe({}))["lastCorrection"]["did"])

    async def test_a_hold_and_a_run_that_has_just_spoken_decide_for_themselves(self):
        await self.agent.claim({"token": TOKEN})
        self.roles = {"a": "standby", "b": "primary"}
        await asyncio.sleep(0.1)
        self.assertEqual(self.console.route, A)
        message = {"token": TOKEN, "pauseLimitMs": 1000, "limitMs": 60_000, "candidates": [A, B, C]}
        await self.agent.take_hold(message)
        await asyncio.sleep(1.8)
        self.assertEqual(self.console.route, A)
        await self.agent.release({"token": TOKEN})
        await asyncio.sleep(0.1)
        self.assertEqual(self.console.route, A)
        await self.follows(B)

    async def test_a_node_that_only_a_run_has_named_is_asked_too(self):
        await self.agent.claim({"token": TOKEN})
        await self.agent.take_hold({"token": TOKEN, "pauseLimitMs": 1000, "limitMs": 60_000, "candidates": [A, C]})
        await self.agent.release({"token": TOKEN})
        self.roles = {"a": "standby", "c": "primary"}
        await self.follows(C)

    async def test_a_standby_at_the_address_that_the_routed_node_had_gets_no_writers(self):
        self.agent.address = "10.0.0.2"
        # Another container than those that are known by name.
        self.roles = {"a": "silent", "b": "standby", "10.0.0.2": "standby"}
        await self.follows({"host": "a.invalid", "port": 5432})
        self.assertEqual(self.agent.route, A)
        self.assertIn("A standby is at 10.0.0.2", self.agent.last_correction["did"])
        self.roles = {"a": "silent", "b": "primary"}
        self.agent._check.learn(A, [answer("a", "primary", 1)])
        await self.follows(B)
        self.assertEqual(self.agent.route, B)

    async def test_an_address_where_nobody_answers_is_kept(self):
        self.agent.address = "10.0.0.2"
        self.roles = {"a": "silent", "b": "standby"}
        await asyncio.sleep(0.1)
        self.assertIsNone(self.agent.last_correction)

    async def test_at_its_start_it_looks_before_any_client_is_led(self):
        self.task.cancel()
        self.roles = {"a": "standby", "b": "primary"}
        child = unittest.mock.Mock(since_ms=1, exited=asyncio.get_running_loop().create_future())
        routes = []

        def spawn(*_args):
            routes.append(expiry.ExpiryTest.server_of(self.agent.settings))
            return child

        self.agent.processes.spawn = spawn
        self.agent.spawn_task = lambda coroutine: coroutine.close()
        await self.agent.prepare({})
        self.assertEqual(routes, [B])


if __name__ == "__main__":
    unittest.main()

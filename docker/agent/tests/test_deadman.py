import asyncio
import unittest
from dataclasses import replace

import support  # noqa: F401

from veloz_agent.deadman import Deadman, decide_held_expiry, decide_route, decide_start_guard, newest_primary
from veloz_agent.peers import Answer


def primary(host, timeline, system="1"):
    return Answer(host, 5432, writable=True, speaks=True, timeline=timeline, system_identifier=system)


def standby(host):
    return Answer(host, 5432, standby=True, speaks=True, system_identifier="1")


def silent(host):
    return Answer(host, 5432, problem="no answer within 300 ms")


class DecisionsTest(unittest.TestCase):
    def test_a_held_node_starts_as_it_was_while_nobody_writes(self):
        self.assertEqual(decide_held_expiry(False, [standby("b"), silent("c")], 3, "1"), ("as-was", None))
        self.assertEqual(decide_held_expiry(False, [], 3, "1"), ("as-was", None))

    def test_a_held_primary_becomes_a_standby_of_whoever_writes(self):
        what = decide_held_expiry(False, [standby("c"), primary("b", 4)], 3, "1")
        self.assertEqual(what, ("standby", {"host": "b", "port": 5432}))

    def test_a_held_primary_does_not_follow_one_that_was_a_primary_on_its_own_timeline(self):
        self.assertEqual(decide_held_expiry(False, [standby("c"), primary("b", 3)], 3, "1"), ("waits", None))
        # What an agent says of a server that is being promoted: it leaves that timeline.
        promoting = replace(primary("b", 3), problem="the database system is full")
        self.assertEqual(decide_held_expiry(False, [promoting], 3, "1")[0], "standby")

    def test_a_held_standby_stays_the_standby_that_it_was(self):
        self.assertEqual(decide_held_expiry(True, [primary("b", 4)], 3, "1"), ("as-was", None))

    def test_a_primary_of_another_database_system_does_not_count(self):
        self.assertEqual(decide_held_expiry(False, [primary("b", 4, system="2")], 3, "1"), ("as-was", None))
        self.assertIsNone(decide_start_guard([primary("b", 9, system="2")], 3, "1"))

    def test_a_start_is_guarded_against_a_primary_on_a_newer_or_the_same_timeline(self):
        self.assertIn("timeline 4", decide_start_guard([primary("b", 4)], 3, "1"))
        self.assertIn("timeline 3", decide_start_guard([primary("b", 3)], 3, "1"))

    def test_a_start_is_not_guarded_against_an_older_primary_standbys_or_silence(self):
        self.assertIsNone(decide_start_guard([primary("b", 2), standby("c"), silent("d")], 3, "1"))

    def test_of_two_primaries_the_one_on_the_newest_timeline_counts(self):
        self.assertEqual(newest_primary([primary("a", 3), primary("b", 4)]).host, "b")

    def test_an_expired_hold_routes_to_the_primary_or_leaves_the_route(self):
        route = {"host": "a", "port": 5432}
        self.assertEqual(decide_route(route, [silent("a"), primary("b", 4)]), {"host": "b", "port": 5432})
        self.assertEqual(decide_route(route, [silent("a"), standby("b")]), route)

    def test_an_expired_hold_leads_nobody_to_a_node_that_is_still_being_promoted(self):
        before, ahead = {"host": "a", "port": 5432}, {"host": "b", "port": 5432}
        self.assertEqual(decide_route(ahead, [silent("a"), standby("b")], before), before)
        self.assertEqual(decide_route(ahead, [silent("a"), primary("b", 4)], before), ahead)
        # Silence is no standby, and two standbys are all the same.
        self.assertEqual(decide_route(ahead, [silent("a"), silent("b")], before), ahead)
        self.assertEqual(decide_route(ahead, [standby("a"), standby("b")], before), ahead)


class DeadmanTest(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.fired = 0

    def fire(self):
        self.fired += 1

    async def test_it_fires_once_after_its_limit(self):
        switch = Deadman(self.fire)
        switch.arm(20)
        self.assertTrue(switch.armed)
        await asyncio.sleep(0.1)
        self.assertEqual(self.fired, 1)
        self.assertTrue(switch.expired)

    async def test_disarmed_or_moved_it_does_not_fire(self):
        switch = Deadman(self.fire)
        switch.arm(20)
        switch.disarm()
        switch.arm(20)
        switch.arm(60_000)
        await asyncio.sleep(0.08)
        self.assertEqual(self.fired, 0)
        self.assertFalse(switch.expired)
        self.assertGreater(switch.remaining_ms, 59_000)
        switch.disarm()
        self.assertIsNone(switch.remaining_ms)


if __name__ == "__main__":
    unittest.main()

"""Run in docker/redis: python3 -B -m unittest discover tests"""

import asyncio
import os
import sys
import unittest
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from veloz_redis import mistaken, node  # noqa: E402
from veloz_redis.opinion import opinion  # noqa: E402
from veloz_redis.resp import ReplyError  # noqa: E402
from veloz_redis.settings import read  # noqa: E402

GROUP = "veloz-master"
SETTINGS = read(
    {
        "VELOZ_NODE": "b",
        "VELOZ_REDIS_PASSWORD": "p",
        "VELOZ_REDIS_SENTINELS": "s1:26379,s2:26379,s3:26379",
        "VELOZ_REDIS_NODES": "a:6379,b:6379,c:6379",
    }
)


class Node:
    """Says who it is; None: it is away."""

    def __init__(self, run_id):
        self.run_id = run_id

    async def call(self, *words):
        return f"run_id:{self.run_id}\r\n"

    async def ask(self, *words):
        return None if self.run_id is None else await self.call(*words)


class Sentinel:
    """Names a master and knows replicas, each with the run id of whom it is connected to."""

    def __init__(self, name, master, run_id, replicas=(), flags="master", fails=()):
        self.address = (name, 26379)
        self.master = master
        self.fields = {"ip": master, "port": "6379", "runid": run_id, "flags": flags, "quorum": "3", "failover-timeout": "70000"}
        self.replicas = [["name", f"{ip}:6379", "ip", ip, "runid", its] for ip, its in replicas]
        self.fails = list(fails)
        self.told = []

    async def call(self, *words):
        _, what, *rest = words
        if what == "REPLICAS":
            return self.replicas
        if what == "MASTER":
            if self.master is None:
                raise ReplyError("ERR No such master with that name")
            return [word for pair in self.fields.items() for word in pair]
        self.told.append((what, *rest))
        if self.fails:
            error = self.fails.pop(0)
            if error is not None:
                raise error
        self.master = None if what == "REMOVE" else rest[1] if what == "MONITOR" else self.master
        return 1 if what == "RESET" else "OK"

    async def ask(self, *words):
        try:
            return await self.call(*words)
        except (ReplyError, OSError):
            return None

    def words(self):
        return [what for what, *_ in self.told]


class MistakenTest(unittest.TestCase):
    """What b, which is the master, does to the Sentinels."""

    def setUp(self):
        self.log = []
        patch = mock.patch.object(mistaken, "log", self.log.append)
        patch.start()
        self.addCleanup(patch.stop)

    def rounds(self, sentinels, a="A", c="C", times=(0.0,)):
        """Its looks at those times, in seconds."""
        others = {("a", 6379): Node(a), ("c", 6379): Node(c)}
        its = mistaken.Mistaken(SETTINGS)
        clock = mock.Mock()

        async def looks():
            for at in times:
                clock.time.return_value = at
                with mock.patch.object(asyncio, "get_running_loop", lambda: clock):
                    await its.finish(sentinels)
                    said = [opinion(await sentinel.ask("SENTINEL", "MASTER", GROUP)) for sentinel in sentinels]
                    await its.put_right(said, Node("B"), sentinels, others)

        asyncio.run(looks())
        return [sentinel.words() for sentinel in sentinels]

    def test_nobody_is_told_anything_where_each_is_taken_for_itself(self):
        well = [Sentinel(f"s{number}", "b", "B", [("a", "A"), ("c", "C")]) for number in range(3)]
        # One that has not asked yet, one that watches another node rightly, and one that has the id of before a restart.
        for odd in (("b", ""), ("a", "A"), ("b", "older")):
            self.assertEqual(self.rounds([*well[:2], Sentinel("s", *odd, [("a", ""), ("b", "B")])]), [[], [], []])
        self.assertEqual(self.log, [])

    def test_a_master_that_is_taken_for_its_replica_would_be_told_to_follow_itself(self):
        taken = [("a", "B"), ("c", "C")]
        (told, *_) = self.rounds([Sentinel("s1", "b", "B", taken)])
        self.assertEqual(told, ["SET"])
        # The name of one that is away can't be looked up: the Sentinel is to forget its address.
        sentinel = Sentinel("s1", "b", "B", taken)
        self.rounds([sentinel], a=None)
        self.assertEqual(sentinel.told, [("RESET", GROUP)])
        self.assertIn("s1 took another node for a", self.log[-1])

    def test_a_promoted_master_that_is_taken_for_the_one_that_it_has_replaced_is_watched_by_its_name(self):
        sentinels = [Sentinel("s1", "b", "B"), Sentinel("s2", "a", "B"), Sentinel("s3", "a", "B", [("b", "B")])]
        anew = ["REMOVE", "MONITOR", "SET"]
        # All at once: the word of one that is left, of a later version, would win the others over again.
        self.assertEqual(self.rounds(sentinels, a=None), [[], anew, anew])
        self.assertEqual(sentinels[1].told[1], ("MONITOR", GROUP, "b", "6379", "3"))
        self.assertEqual(sentinels[1].told[2][2:7], ("auth-pass", "p", "down-after-milliseconds", "5000", "failover-timeout"))
        self.assertEqual(sentinels[1].told[2][7], "70000")

    def test_who_is_the_master_is_for_the_sentinels_where_the_other_one_lives(self):
        # It answers: only the address is wrong.
        self.assertEqual(self.rounds([Sentinel("s1", "a", "B")]), [["SET"]])
        # It is silent here, and another Sentinel hears from it.
        self.assertEqual(self.rounds([Sentinel("s1", "a", "B"), Sentinel("s2", "a", "A")], a=None), [[], []])
        gone = Sentinel("s2", "a", "A", flags="master,s_down")
        self.assertEqual(self.rounds([Sentinel("s1", "a", "B"), gone], a=None)[0], ["REMOVE", "MONITOR", "SET"])

    def test_a_replica_that_is_taken_for_the_master_would_have_it_replaced(self):
        self.assertEqual(self.rounds([Sentinel("s1", "b", "A")]), [["SET"]])

    def test_nothing_is_forgotten_during_a_failover_or_where_the_master_counts_as_down(self):
        for flags in ("master,o_down,s_down", "master,failover_in_progress"):
            sentinels = [Sentinel("s1", "b", "B", [("a", "B")]), Sentinel("s2", "b", "B", flags=flags)]
            self.assertEqual(self.rounds(sentinels, a=None), [[], []])
        sentinels = [Sentinel("s1", "b", "B", [("a", "B")], flags="master,s_down"), Sentinel("s2", "b", "B", [("a", "B")])]
        self.assertEqual(self.rounds(sentinels, a=None), [[], ["RESET"]])

    def test_one_sentinel_at_a_time_within_the_time_that_is_there_and_each_not_again_at_once(self):
        sentinels = [Sentinel(f"s{number}", "b", "B", [("a", "B")]) for number in range(3)]
        told = []
        for until in (1, 2, 3, 4, 6, 7, 11, 12):
            for sentinel in sentinels:
                sentinel.told.clear()
            told.append(sum(map(len, self.rounds(sentinels, a=None, times=range(until + 1)))))
        self.assertEqual(told, [1, 1, 2, 2, 3, 3, 3, 4])

    def test_a_sentinel_that_watches_nobody_is_told_again_until_it_does(self):
        for fails, words in (
            ([None, OSError()], ["REMOVE", "MONITOR", "MONITOR", "SET"]),
            ([None, ReplyError("ERR Invalid IP address or hostname specified")], ["REMOVE", "MONITOR", "MONITOR", "SET"]),
            ([None, None, OSError()], ["REMOVE", "MONITOR", "SET", "SET"]),
            # It has done it, and could not write it down.
            ([None, None, ReplyError("ERR Failed to save config file. Check server logs.")], ["REMOVE", "MONITOR", "SET"]),
            # It did not hear the first word: it watches the old name still, and is told once more in its time.
            ([OSError()], ["REMOVE", "SET"]),
        ):
            self.assertEqual(self.rounds([Sentinel("s1", "a", "B", fails=fails)], a=None, times=(0, 1, 2)), [words])

    def test_the_master_alone_looks(self):
        asked = []
        keeper = node.Keeper(SETTINGS)

        class Own(Node):
            async def call(self, *words):
                return self.run_id if words == ("ROLE",) else await super().call(*words)

        async def put_right(*_):
            asked.append(True)

        keeper.mistaken.put_right = put_right
        keeper.sentinels = [Sentinel("s1", "b", "B")]
        for role, times in ((["slave", "a", "6379", "connect", 0], 0), (["master", 0, []], 1)):
            asked.clear()
            keeper.own = Own(role)
            with mock.patch.object(node, "keep"):
                asyncio.run(keeper.watch())
            self.assertEqual(len(asked), times)


if __name__ == "__main__":
    unittest.main()

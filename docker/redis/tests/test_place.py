"""Run in docker/redis: python3 -B -m unittest discover tests"""

import asyncio
import os
import sys
import unittest
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from veloz_redis import node  # noqa: E402
from veloz_redis.opinion import (  # noqa: E402
    Opinion,
    Other,
    agreed,
    copy_from,
    has_loaded,
    keys_in,
    may_lead,
    none_to_choose,
    opinion,
    place,
    whose_data,
    would_wipe,
)
from veloz_redis.sentinel import config, monitored  # noqa: E402
from veloz_redis.settings import SettingsError, impatience, read  # noqa: E402

A = ("a", 6379)
B = ("b", 6379)
C = ("c", 6379)


def says(master, busy=False):
    return Opinion(master, busy)


class PlaceTest(unittest.TestCase):
    def test_a_node_that_the_majority_names_is_the_master(self):
        self.assertEqual(place([says(A), says(A), None], 2, "a", []), A)

    def test_an_old_master_follows_its_successor(self):
        self.assertEqual(place([says(B), says(B), says(A)], 2, "a", ["b"]), B)

    def test_nobody_becomes_a_master_beside_another_one_or_while_a_sentinel_chooses(self):
        self.assertIsNone(place([says(A)] * 3, 2, "a", ["b"]))
        self.assertIsNone(place([says(A), says(A), says(A, busy=True)], 2, "a", []))

    def test_one_that_is_counted_as_down_waits_only_where_another_one_could_be_chosen(self):
        down = Opinion(A, True, down=True)
        self.assertIsNone(place([down] * 3, 2, "a", []))
        self.assertEqual(place([down] * 3, 2, "a", [], nobody_else=True), A)
        self.assertIsNone(place([down] * 3, 2, "a", ["b"], nobody_else=True))
        self.assertIsNone(place([down, down, Opinion(A, True, acts=True)], 2, "a", [], nobody_else=True))

    def test_nobody_can_be_chosen_where_each_sentinel_counts_all_others_as_down(self):
        def replica(name, flags):
            return ["name", f"{name}:6379", "ip", name, "port", "6379", "flags", flags]

        down = [replica("b", "s_down,slave,disconnected"), replica("a", "slave")]
        self.assertTrue(none_to_choose([down, down, []], "a"))
        self.assertFalse(none_to_choose([down, [replica("b", "slave,disconnected")]], "a"))
        self.assertFalse(none_to_choose([down, None], "a"))

    def test_without_a_majority_a_node_waits(self):
        self.assertIsNone(place([says(A), says(B), None], 2, "a", []))
        self.assertIsNone(agreed([None, None, says(A)], 2))

    def test_reads_what_a_sentinel_says(self):
        self.assertEqual(opinion(["ip", "a", "port", "6379", "flags", "master,o_down"]), says(A, busy=True))
        acts = opinion(["ip", "a", "port", "6379", "flags", "master,s_down,o_down,failover_in_progress"])
        self.assertEqual(acts, Opinion(A, True, acts=True, down=True))
        self.assertIsNone(opinion(None))


class EmptyNodeTest(unittest.TestCase):
    lived = [Opinion(A, False, replicas=1)] * 3

    def test_an_empty_node_takes_no_role_that_would_wipe_another_ones_data(self):
        b = Other("b", True, keys=3)
        self.assertEqual(whose_data(0, [b], self.lived), b)
        self.assertIsNone(whose_data(1, [b], self.lived))

    def test_one_that_is_silent_may_hold_everything_unless_the_group_is_new(self):
        b = Other("b", False)
        self.assertEqual(whose_data(0, [b], self.lived), b)
        self.assertIsNone(whose_data(0, [b], [says(A)] * 3))
        self.assertIsNone(whose_data(2, [b], self.lived))

    def test_one_whose_append_only_file_was_off_may_have_less_than_another_one(self):
        b = Other("b", True, keys=3)
        self.assertEqual(whose_data(2, [b], self.lived, behind=True), b)
        self.assertEqual(whose_data(2, [Other("b", False)], self.lived, behind=True), Other("b", False))
        self.assertIsNone(whose_data(2, [Other("b", True)], self.lived, behind=True))

    def test_where_all_are_empty_nothing_can_be_wiped(self):
        self.assertIsNone(whose_data(0, [Other("b", True)], self.lived))

    def test_counts_the_keys_of_all_databases(self):
        text = "# Keyspace\r\ndb0:keys=2,expires=0,avg_ttl=0\r\ndb3:keys=40,expires=1,avg_ttl=5\r\n"
        self.assertEqual(keys_in(text), 42)
        self.assertEqual(keys_in("# Keyspace\r\n"), 0)


ENVIRONMENT = {
    "VELOZ_NODE": "s1",
    "VELOZ_REDIS_KIND": "sentinel",
    "VELOZ_REDIS_PASSWORD": 'a"b',
    "VELOZ_REDIS_SENTINELS": "s1:26379,s2:26379,s3:26379",
    "VELOZ_REDIS_NODES": "a:6379,b:6379",
}
SAVED = """sentinel monitor veloz-master a 6379 2
sentinel myid 0123456789abcdef0123456789abcdef01234567
sentinel config-epoch veloz-master 7
sentinel known-replica veloz-master b 6379
sentinel current-epoch 7
"""


def info(role="slave", link="down", keys=0, loading=0, priority=100):
    lines = ["# Replication", f"role:{role}"]
    lines += [f"master_link_status:{link}", f"slave_priority:{priority}"] if role == "slave" else []
    lines += ["# Persistence", f"loading:{loading}", "# Keyspace"]
    return "\r\n".join([*lines, *([f"db0:keys={keys},expires=0,avg_ttl=0"] if keys else []), ""])


class ChosenTest(unittest.TestCase):
    def test_a_node_starts_as_one_that_no_sentinel_chooses(self):
        text = node.config(read({**ENVIRONMENT, "VELOZ_NODE": "a", "VELOZ_REDIS_KIND": "node"}))
        self.assertIn("replica-priority 0\n", text)

    def test_one_that_never_had_the_data_can_not_be_chosen(self):
        self.assertFalse(may_lead(info()))
        # Its first copy is being read: a part of it is no copy.
        self.assertFalse(may_lead(info(keys=3, loading=1)))
        self.assertFalse(may_lead(""))

    def test_one_that_is_a_master_or_has_a_whole_copy_or_data_of_its_own_can(self):
        self.assertTrue(may_lead(info(role="master")))
        # Of a group without any keys too.
        self.assertTrue(may_lead(info(link="up")))
        self.assertTrue(may_lead(info(keys=3)))

    def test_one_whose_append_only_file_was_off_can_only_with_a_whole_copy(self):
        self.assertFalse(may_lead(info(keys=3), behind=True))
        self.assertTrue(may_lead(info(link="up"), behind=True))
        self.assertTrue(may_lead(info(role="master"), behind=True))


class CopyTest(unittest.TestCase):
    """Whether a node whose own files can't be read may copy another one."""

    b = Other("b", True, True, 3)

    def copies(self, opinions, *others):
        return copy_from(opinions, 2, "a", others)[0]

    def test_the_one_master_with_keys_that_a_majority_names(self):
        self.assertEqual(self.copies([says(B), says(B), None], self.b, Other("c", False)), self.b)

    def test_nobody_while_it_may_be_the_one_that_has_the_data(self):
        self.assertIsNone(self.copies([says(A)] * 3, self.b))
        self.assertIsNone(self.copies([says(B), None, None], self.b))
        self.assertIsNone(self.copies([says(B), says(B), says(B, busy=True)], self.b))
        self.assertIsNone(self.copies([says(B)] * 3, Other("b", True, True, 0)))
        self.assertIsNone(self.copies([says(B)] * 3, Other("b", True, False, 3)))
        self.assertIsNone(self.copies([says(B)] * 3, Other("b", False)))
        self.assertIsNone(self.copies([says(B)] * 3, self.b, Other("c", True, True, 3)))

    def test_says_why(self):
        self.assertIn("no majority", copy_from([None] * 3, 2, "a", [])[1])
        self.assertIn("has no keys", copy_from([says(B)] * 3, 2, "a", [Other("b", True, True)])[1])


class Server:
    """Answers a keeper as its own node, another node or a Sentinel does."""

    def __init__(self, answers):
        self.answers = answers
        self.said = []
        self.address = B

    async def call(self, *words):
        self.said.append(words)
        return self.answers.get(words[0])

    async def ask(self, *words):
        return await self.call(*words)


def answering(role, keys):
    return {"ROLE": [role, 0, []], "DBSIZE": keys, "INFO": info(role="master", keys=keys)}


class KeeperTest(unittest.TestCase):
    def keeper(self, own, other):
        settings = read({**ENVIRONMENT, "VELOZ_NODE": "a", "VELOZ_REDIS_KIND": "node"})
        keeper = node.Keeper(settings)
        keeper.own = Server(own)
        keeper.others = {B: Server(other)}
        keeper.sentinels = [Server({"SENTINEL": ["ip", "b", "port", "6379", "flags", "master"]}) for _ in range(3)]
        return keeper

    def watched(self, own, other):
        keeper = self.keeper(own, other)

        async def rounds():
            for _ in range(node.ROUNDS + 1):
                await keeper.watch()

        asyncio.run(rounds())
        return [words for words in keeper.own.said if words[0] == "REPLICAOF"]

    def test_a_second_master_follows_the_one_that_the_sentinels_name(self):
        follows = [("REPLICAOF", "b", "6379")]
        self.assertEqual(self.watched(answering("master", 3), answering("master", 4)), follows)
        # Where somebody deleted all keys of both there is nothing to lose.
        self.assertEqual(self.watched(answering("master", 0), answering("master", 0)), follows)

    def test_a_second_master_with_data_does_not_follow_one_without_any(self):
        self.assertEqual(self.watched(answering("master", 3), answering("master", 0)), [])
        self.assertTrue(would_wipe(3, Other("b", False, True)))

    def test_knows_that_the_server_has_read_its_files(self):
        self.assertFalse(has_loaded(info(loading=1)))
        for text, loaded in ((info(loading=1), False), (info(), True)):
            keeper = self.keeper({"INFO": text}, {})
            asyncio.run(keeper.may_be_chosen())
            self.assertEqual(keeper.loaded, loaded)

    def test_the_sentinels_may_choose_it_once_it_has_the_data(self):
        for text, said in ((info(), []), (info(link="up"), [("CONFIG", "SET", "replica-priority", "100")])):
            keeper = self.keeper({"INFO": text}, {})
            asyncio.run(keeper.may_be_chosen())
            self.assertEqual([words for words in keeper.own.said if words[0] == "CONFIG"], said)
            self.assertEqual(keeper.eligible, said != [])


    def put_back(self, others, value="0", eligible=True, after=0.0):
        """Whether a replica sets its number back; `others`: what they say in INFO, by address. The Sentinels name B."""
        keeper = self.keeper({"CONFIG": ["replica-priority", value], "ROLE": ["slave", "b", 6379, "connected", 1]}, {})
        keeper.others = {address: Server({"INFO": text}) for address, text in others.items()}
        keeper.eligible = eligible

        async def rounds():
            await keeper.watch()
            await keeper.stay_eligible()
            if after > 0 and keeper._alone_since is not None:
                keeper._alone_since -= after
                await keeper.stay_eligible()

        with mock.patch.object(node, "keep"):
            asyncio.run(rounds())
        said = [words for words in keeper.own.said if words[1:2] == ("SET",)]
        self.assertIn(said, ([], [("CONFIG", "SET", "replica-priority", "100")]))
        return said != []

    def test_one_that_has_the_data_can_be_chosen_where_nobody_else_can(self):
        beside = {B: info(role="master", keys=3)}
        self.assertTrue(self.put_back(beside))
        self.assertFalse(self.put_back(beside, value="50"))
        self.assertFalse(self.put_back(beside, eligible=False))
        # Of two nodes each may be the replica, whatever the other one says.
        self.assertTrue(self.put_back({B: info(keys=3)}))
        # Somebody made the master that the Sentinels name a replica: it is the one to be replaced all the same.
        self.assertTrue(self.put_back({B: info(keys=3), C: None}, after=30))

    def test_which_of_several_is_never_chosen_is_a_persons(self):
        beside = {B: info(role="master", keys=3)}
        self.assertFalse(self.put_back({**beside, C: info(link="up")}, after=100))
        # Its master has failed this moment.
        self.assertFalse(self.put_back({B: None, C: info(keys=3)}, after=100))

    def test_another_one_that_is_away_may_be_back_in_a_moment(self):
        beside = {B: info(role="master", keys=3)}
        for other in (None, info(priority=0), info(keys=3, loading=1), info(link="up", priority=0)):
            self.assertFalse(self.put_back({**beside, C: other}, after=29))
            self.assertTrue(self.put_back({**beside, C: other}, after=30))


class SentinelConfigTest(unittest.TestCase):
    def test_keeps_what_it_has_learnt(self):
        self.assertEqual(monitored(SAVED, "veloz-master"), A)
        text = config(read(ENVIRONMENT), SAVED, A, moved=False)
        self.assertIn("sentinel monitor veloz-master a 6379 2", text)
        self.assertIn("sentinel config-epoch veloz-master 7", text)
        self.assertIn('sentinel auth-pass veloz-master "a\\"b"', text)

    def test_an_epoch_of_another_master_is_dropped(self):
        text = config(read(ENVIRONMENT), SAVED, B, moved=True)
        self.assertIn("sentinel monitor veloz-master b 6379 2", text)
        self.assertIn("sentinel myid 0123", text)
        self.assertNotIn("config-epoch", text)
        self.assertNotIn("known-replica", text)

    def test_a_damaged_line_is_left_out_since_it_would_keep_the_sentinel_from_starting(self):
        known = f"sentinel known-sentinel veloz-master s2 26379 {'0123456789' * 4}"
        damaged = ["sentinel myid XXXXXXXX", "sentinel current-epoch X", "sentinel known-replica veloz-master b XXXX"]
        damaged += ["sentinel known-sentinel veloz-master s3 26379 XXXX", "sentinel config-epoch veloz-master \ufffd"]
        text = config(read(ENVIRONMENT), "\n".join([known, *damaged]), A, moved=False)
        self.assertIn(known, text)
        for line in damaged:
            self.assertNotIn(line, text)
        self.assertIsNone(monitored("sentinel monitor veloz-master a XXXX 2", "veloz-master"))

    def test_times_that_are_far_from_the_usual_are_told(self):
        self.assertEqual(impatience(read(ENVIRONMENT)), [])
        odd = {"VELOZ_REDIS_DOWN_AFTER_MS": "15000", "VELOZ_REDIS_FAILOVER_TIMEOUT_MS": "29999"}
        self.assertEqual(
            [says.split(" (")[0] for says in impatience(read({**ENVIRONMENT, **odd}))],
            ["VELOZ_REDIS_DOWN_AFTER_MS is 15000 ms", "VELOZ_REDIS_FAILOVER_TIMEOUT_MS is 29999 ms"],
        )

    def test_no_password_or_one_that_would_add_a_line_is_refused(self):
        for password in ("", "a\nrequirepass b"):
            with self.assertRaises(SettingsError):
                read({**ENVIRONMENT, "VELOZ_REDIS_PASSWORD": password})


if __name__ == "__main__":
    unittest.main()

"""Run in docker/redis: python3 -B -m unittest discover tests"""

import asyncio
import os
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from veloz_redis import health, node, record, sentinel  # noqa: E402
from veloz_redis.first import Choice, Held, first_master  # noqa: E402
from veloz_redis.opinion import Opinion  # noqa: E402
from veloz_redis.record import Record, next_record, told_in  # noqa: E402
from veloz_redis.resp import Client  # noqa: E402
from veloz_redis.settings import read  # noqa: E402

A = ("a", 6379)
B = ("b", 6379)
ENVIRONMENT = {
    "VELOZ_NODE": "s1",
    "VELOZ_REDIS_KIND": "sentinel",
    "VELOZ_REDIS_PASSWORD": "secret",
    "VELOZ_REDIS_SENTINELS": "s1:26379,s2:26379,s3:26379",
    "VELOZ_REDIS_NODES": "a:6379,b:6379",
}
SETTINGS = read(ENVIRONMENT)


def holds(address, keys=0, last=None, number=0, master=False):
    return Held(address, True, master, keys, True, None if last is None else Record(last, number))


class FirstMasterTest(unittest.TestCase):
    """Whom Sentinels watch that lost what they knew."""

    def choice(self, *nodes, opinions=()):
        return first_master(nodes, opinions)[0]

    def test_the_node_that_was_the_master_last_and_not_the_first_one(self):
        self.assertEqual(self.choice(holds(A, 3, A, 6), holds(B, 4, B, 7)), Choice(B, 7))
        self.assertEqual(self.choice(holds(A, 3, A, 8), holds(B, 4, B, 7)), Choice(A, 8))

    def test_a_silent_node_may_be_it(self):
        for silent in (Held(B), Held(B, tells=True, record=Record(B, 7))):
            self.assertIsNone(self.choice(holds(A, 3, A, 6), silent))
        _, why = first_master([holds(A, 3, B, 7), Held(B)], [])
        self.assertIn("b, which may hold newer data, does not answer; the last known master is b", why)
        self.assertIn("Next: docker start b", why)
        self.assertIn("docker exec NODE redis-cli replicaof no one", why)
        # Also where the others hold nothing: their volumes may have been lost with those of the Sentinels.
        self.assertIsNone(self.choice(holds(A), Held(B)))

    def test_one_that_has_not_told_yet_is_waited_for(self):
        self.assertIsNone(self.choice(holds(A, 3, A, 6), Held(B, True, False, 3)))

    def test_a_new_cluster_starts_with_the_first_one(self):
        self.assertEqual(self.choice(holds(A), holds(B)), Choice(A, 0))

    def test_what_one_sentinel_remembers_counts_as_what_a_node_does(self):
        a, b = holds(A, 3, A, 6), holds(B, 3, A, 6)
        self.assertEqual(self.choice(a, b, opinions=[None, Opinion(B, False, epoch=7)]), Choice(B, 7))
        self.assertEqual(self.choice(a, b, opinions=[None, Opinion(B, False, epoch=5)]), Choice(A, 6))

    def test_a_node_that_is_a_master_is_it_and_outlives_what_is_remembered(self):
        self.assertEqual(self.choice(holds(A, 3, B, 7, master=True), Held(B)), Choice(A, 8))
        self.assertEqual(self.choice(holds(A, 3, A, 7, master=True), holds(B, 3, A, 7)), Choice(A, 7))

    def test_of_two_masters_the_later_one(self):
        self.assertEqual(self.choice(holds(A, 3, A, 6, master=True), holds(B, 3, B, 7, master=True)), Choice(B, 7))
        self.assertIsNone(self.choice(holds(A, 3, master=True), holds(B, 3, master=True)))

    def test_where_the_last_master_lost_its_volume_whoever_has_data(self):
        self.assertEqual(self.choice(holds(A), holds(B, 3, A, 7)), Choice(B, 8))
        self.assertEqual(self.choice(holds(A), holds(B, 3)), Choice(B, 0))

    def test_a_last_master_that_is_no_node_any_more_is_for_a_person(self):
        choice, why = first_master([holds(A, 3, ("c", 6379), 7), holds(B)], [])
        self.assertIsNone(choice)
        self.assertIn("the last known master is c, which is none of the nodes a and b", why)

    def test_where_nothing_tells_which_is_newer_a_person_decides(self):
        for nodes in ([holds(A, 3), holds(B, 4)], [holds(A, 3, A, 7), holds(B, 4, B, 7)]):
            choice, why = first_master(nodes, [])
            self.assertIsNone(choice)
            self.assertIn("a has 3 keys and b has 4 keys, and no record says which of them is newer", why)


class RecordTest(unittest.TestCase):
    def test_is_on_the_disk_and_read_again(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "last-master")
            self.assertIsNone(record.load(path))
            record.keep(Record(B, 7), path)
            self.assertEqual(record.load(path), Record(B, 7))
            with open(path, "w", encoding="utf-8") as file:
                file.write("\0\0\0")
            self.assertIsNone(record.load(path))

    def test_is_told_by_the_name_of_a_connection(self):
        clients = "id=3 addr=127.0.0.1:5 name={} age=1\nid=4 addr=10.0.0.2:5 name=engine age=1\n"
        self.assertEqual(told_in(clients.format("veloz-last-master=b:6379#7")), (True, Record(B, 7)))
        self.assertEqual(told_in(clients.format("veloz-last-master=none")), (True, None))
        self.assertEqual(told_in(clients.format("")), (False, None))
        self.assertEqual(told_in(None), (False, None))

    def test_numbers_go_on_where_the_sentinels_begin_anew(self):
        self.assertEqual(next_record(B, 7, [Record(A, 6)]), Record(B, 7))
        self.assertEqual(next_record(B, 1, [Record(A, 6), None]), Record(B, 7))
        # Two nodes that keep the same change agree on the number.
        self.assertEqual(next_record(B, 1, [Record(A, 6), Record(B, 7)]), Record(B, 7))
        self.assertEqual(next_record(A, 0, []), Record(A, 0))


class Server:
    def __init__(self, answers, address=B):
        self.answers = answers
        self.address = address

    async def ask(self, *words):
        return self.answers.get(words[0])

    call = ask

    def close(self):
        pass


class KeeperTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "last-master")
        self.keeper = node.Keeper(read({**ENVIRONMENT, "VELOZ_NODE": "a", "VELOZ_REDIS_KIND": "node"}))
        self.keeper.record = None
        patch = mock.patch.object(node, "keep", lambda record_: record.keep(record_, self.path))
        patch.start()
        self.addCleanup(patch.stop)

    def watched(self, role, named, epoch=7, flags="master", tells=""):
        self.keeper.own = Server({"ROLE": role})
        self.keeper.others = {B: Server({"CLIENT": tells})}
        says = ["ip", named[0], "port", "6379", "flags", flags, "config-epoch", str(epoch)]
        self.keeper.sentinels = [Server({"SENTINEL": says}) for _ in range(3)]
        asyncio.run(self.keeper.watch())
        return record.load(self.path)

    def test_keeps_who_is_the_master_where_it_has_what_that_one_has(self):
        self.assertEqual(self.watched(["master", 0, []], A), Record(A, 7))
        self.assertEqual(self.watched(["slave", "b", 6379, "connected", 5], B, epoch=8), Record(B, 8))

    def test_keeps_nothing_of_a_master_whose_data_it_does_not_have_or_that_is_being_replaced(self):
        self.assertIsNone(self.watched(["slave", "b", 6379, "sync", 5], B))
        self.assertIsNone(self.watched(["slave", "127.0.0.1", 1, "connect", 5], B))
        self.assertIsNone(self.watched(["master", 0, []], B))
        self.assertIsNone(self.watched(["master", 0, []], A, flags="master,o_down"))

    def test_learns_the_numbers_of_the_others(self):
        tells = "id=3 name=veloz-last-master=b:6379#12 age=1\n"
        self.assertEqual(self.watched(["master", 0, []], A, epoch=1, tells=tells), Record(A, 13))


class SentinelStartTest(unittest.TestCase):
    """The start of a Sentinel whose volume is new."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.waits = os.path.join(folder.name, "waits")
        self.log = []
        for target, name, value in (
            (sentinel, "WAITS", self.waits),
            (health, "WAITS", self.waits),
            (sentinel, "QUIET_S", 0.0),
            (sentinel, "AGAIN_S", 0.01),
            (sentinel, "log", self.log.append),
        ):
            patch = mock.patch.object(target, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def node(self, keys, last):
        return {
            "ROLE": ["slave", "127.0.0.1", 1, "connect", -1],
            "DBSIZE": keys,
            "INFO": f"db0:keys={keys},expires=0\r\n" if keys else "# Keyspace\r\n",
            "CLIENT": f"id=3 name=veloz-last-master={last} age=1\n",
        }

    def choose(self, servers, remembered=None, at_wait=None):
        """`at_wait` is called once, while the Sentinel waits."""

        async def go():
            def connect(address, _password):
                return Server(servers.get(address[0], {}), address)

            with mock.patch.object(sentinel, "Client", connect):
                task = asyncio.ensure_future(sentinel.choose_master(SETTINGS, remembered))
                if at_wait is not None:
                    while not self.log:
                        await asyncio.sleep(0.01)
                    self.assertFalse(task.done())
                    await at_wait()
                return await asyncio.wait_for(task, 10)

        return asyncio.run(go())

    def test_does_not_name_the_first_node_where_another_one_was_the_master_last(self):
        servers = {"a": self.node(3, "a:6379#0"), "b": self.node(4, "b:6379#1")}
        self.assertEqual(self.choose(servers), Choice(B, 1))

    def test_a_new_cluster_waits_for_nothing(self):
        self.assertEqual(self.choose({"a": self.node(0, "none"), "b": self.node(0, "none")}), Choice(A, 0))
        self.assertEqual(self.log, [])

    def test_one_that_remembers_asks_no_node(self):
        self.assertEqual(self.choose({}, remembered=B), Choice(B))

    def test_waits_for_a_silent_node_and_says_so_to_whoever_asks(self):
        with mock.patch.object(type(SETTINGS), "port", 0):
            servers = {"a": self.node(3, "a:6379#0")}
            answers = {}
            real = asyncio.start_server

            async def start(answer, _host, port):
                self.server = await real(answer, "127.0.0.1", port)
                return self.server

            async def at_wait():
                while not hasattr(self, "server"):
                    await asyncio.sleep(0.01)
                client = Client(self.server.sockets[0].getsockname(), "secret", limit_s=5)
                try:
                    await client.call("SENTINEL", "MASTER", "veloz-master")
                except Exception as error:  # noqa: BLE001 - it is looked at
                    answers["port"] = str(error)
                client.close()
                answers["health"] = await health.state(Server({}), "sentinel", "veloz-master")
                late.update(self.node(4, "b:6379#1"))

            late = {}
            servers["b"] = late
            with mock.patch("asyncio.start_server", start):
                self.assertEqual(self.choose(servers, at_wait=at_wait), Choice(B, 1))
        self.assertIn("WAITING it names no master: b, which may hold newer data, does not answer", answers["port"])
        self.assertTrue(answers["health"][0])
        self.assertIn("waits, and names no master: b", answers["health"][1])
        self.assertFalse(os.path.exists(self.waits))
        self.assertIn("s1 waits no more", self.log[-1])

    def test_goes_on_with_the_epoch_that_the_nodes_remember(self):
        text = sentinel.config(SETTINGS, "sentinel config-epoch veloz-master 3\n", B, False, 7)
        self.assertIn("sentinel config-epoch veloz-master 7\n", text)
        self.assertNotIn("config-epoch veloz-master 3", text)
        self.assertLess(text.index("sentinel monitor"), text.index("config-epoch"))


if __name__ == "__main__":
    unittest.main()

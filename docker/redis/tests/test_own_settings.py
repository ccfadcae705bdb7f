"""Run in docker/redis: python3 -B -m unittest discover tests"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from veloz_redis import node, own_settings  # noqa: E402
from veloz_redis.own_settings import OwnSettings, has_whole_file, is_behind  # noqa: E402
from veloz_redis.resp import Client, ReplyError  # noqa: E402
from veloz_redis.settings import read  # noqa: E402

SETTINGS = read(
    {
        "VELOZ_NODE": "a",
        "VELOZ_REDIS_PASSWORD": "p",
        "VELOZ_REDIS_SENTINELS": "s1:26379,s2:26379,s3:26379",
        "VELOZ_REDIS_NODES": "a:6379,b:6379",
    }
)
WHOLE = {
    "role": "master",
    "loading": "0",
    "aof_enabled": "1",
    "aof_rewrite_in_progress": "0",
    "aof_rewrite_scheduled": "0",
    "aof_last_bgrewrite_status": "ok",
    "aof_last_write_status": "ok",
}


def info(**over):
    return "\r\n".join(f"{key}:{value}" for key, value in {**WHOLE, **over}.items())


class Server:
    """A node with settings of its own."""

    def __init__(self, values, refuses=False):
        self.values = values
        self.refuses = refuses
        self.info = info(aof_enabled="0" if values["appendonly"] == "no" else "1")

    async def call(self, *words):
        if words[:2] == ("CONFIG", "GET"):
            return [part for name in words[2:] if name in self.values for part in (name, self.values[name])]
        if words[:2] == ("CONFIG", "SET"):
            if self.refuses:
                raise ReplyError("ERR no" if self.refuses is True else self.refuses)
            self.values[words[2]] = words[3]
            # The file is made anew in the background.
            self.info = info(aof_rewrite_in_progress="1")
        return self.info if words[0] == "INFO" else "OK"


class OwnSettingsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.log = []
        patch = mock.patch.object(own_settings, "log", self.log.append)
        patch.start()
        self.addCleanup(patch.stop)

    def kept(self, server):
        kept = OwnSettings(SETTINGS, self.folder)
        kept.own = server
        return kept

    def test_the_append_only_file_is_switched_on_again_and_counts_once_it_is_whole(self):
        server = Server({"appendonly": "no"})
        kept = self.kept(server)
        asyncio.run(kept.look())
        self.assertEqual(server.values["appendonly"], "yes")
        self.assertTrue(is_behind(self.folder))
        self.assertIn("appendonly was changed", self.log[-1])
        server.info = info()
        asyncio.run(kept.look())
        self.assertFalse(is_behind(self.folder))

    def test_what_can_not_be_switched_on_stays_behind_and_is_said_once(self):
        kept = self.kept(Server({"appendonly": "no"}, refuses=True))
        for _ in range(3):
            asyncio.run(kept.look())
        self.assertTrue(is_behind(self.folder))
        self.assertEqual(len(self.log), 1)

    def test_what_would_have_a_master_refuse_writes_is_put_back_and_no_secret_is_logged(self):
        changed = {"save": "3600 1", "min-replicas-to-write": "1", "masterauth": "secret"}
        changed |= {"replica-read-only": "no", "masteruser": "nobody", "tls-replication": "yes"}
        changed |= {"repl-diskless-load": "flush-before-load"}
        changed |= {"replica-serve-stale-data": "no"}
        changed |= {"requirepass": "another", "port": "6390", "bind": "127.0.0.1"}
        values = {**own_settings.owned(SETTINGS), **changed}
        server = Server(values)
        asyncio.run(self.kept(server).look())
        self.assertEqual(server.values, dict(own_settings.owned(SETTINGS)))
        self.assertEqual(len(self.log), len(changed))
        self.assertNotIn("secret", "".join(self.log))
        self.assertFalse(is_behind(self.folder))

    def test_a_node_lets_in_as_many_clients_as_ever_and_a_few_more_where_all_places_are_taken(self):
        cases = {
            # connected, maxclients: what it is set to
            (5, 10_000): None,
            (5, 12): "10000",
            (9_968, 10_000): None,
            (9_969, 10_000): "10033",
            (10_990, 10_990): "11000",
            (11_000, 11_000): None,
            (5, 20_000): None,
        }
        for (used, limit), expected in cases.items():
            server = Server({"appendonly": "yes"})
            server.info = info(connected_clients=used, maxclients=limit)
            asyncio.run(self.kept(server).look())
            self.assertEqual(server.values.get("maxclients"), expected, (used, limit))

    def test_where_the_container_may_open_too_few_files_it_lets_in_as_many_as_it_can(self):
        server = Server({"appendonly": "yes"}, refuses="ERR failed, try with 4064")
        server.info = info(connected_clients=5, maxclients=4064)
        kept = self.kept(server)
        for _ in range(3):
            asyncio.run(kept.look())
        self.assertEqual(len(self.log), 1)

    def test_nothing_is_done_where_all_is_as_it_should_be(self):
        asyncio.run(self.kept(Server(dict(own_settings.owned(SETTINGS)))).look())
        self.assertEqual((self.log, os.listdir(self.folder)), ([], []))

    def test_one_that_has_just_started_has_what_was_in_its_files(self):
        self.assertTrue(has_whole_file(info()))
        self.assertTrue(has_whole_file(info(role="slave", master_link_status="up")))
        self.assertFalse(has_whole_file(info(role="slave", master_link_status="down")))
        for at_work in ("loading", "aof_rewrite_in_progress", "aof_rewrite_scheduled"):
            self.assertFalse(has_whole_file(info(**{at_work: "1"})))
        self.assertFalse(has_whole_file(info(aof_last_bgrewrite_status="err")))
        self.assertFalse(has_whole_file(info(aof_enabled="0")))


@unittest.skipIf(shutil.which("redis-server") is None, "needs redis-server")
class RealServerTest(unittest.TestCase):
    """The same against a server."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = node.config(SETTINGS).replace("port 6379", f"port {self.port}", 1)
        config = config.replace(f"dir {node.VOLUME}", f"dir {self.folder}").replace("bind * -::*", "bind 127.0.0.1")
        self.path = os.path.join(self.folder, "redis.conf")
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(config)
        self.server = None
        self.start()
        self.addCleanup(lambda: (self.server.kill(), self.server.wait()))

    def start(self):
        if self.server is not None:
            self.server.kill()
            self.server.wait()
        self.server = subprocess.Popen(["redis-server", self.path], stdout=subprocess.DEVNULL)
        self.until(lambda: "loading:0" in (self.ask("INFO", "persistence") or ""))

    def ask(self, *words):
        client = Client(("127.0.0.1", self.port), SETTINGS.password, limit_s=5)

        async def one():
            try:
                return await client.ask(*words)
            finally:
                client.close()

        return asyncio.run(one())

    def until(self, true):
        end = time.monotonic() + 20
        while not true():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)

    def look(self, before=lambda own: asyncio.sleep(0)):
        kept = OwnSettings(SETTINGS, self.folder)
        kept.owned = {**kept.owned, "port": str(self.port), "bind": "127.0.0.1"}
        kept.own = Client(("127.0.0.1", self.port), SETTINGS.password, limit_s=5)

        async def one():
            try:
                await before(kept.own)
                await kept.look()
            finally:
                kept.close()

        asyncio.run(one())
        return is_behind(self.folder)

    def test_a_file_that_was_off_is_whole_again_before_the_node_counts_as_whole(self):
        self.ask("REPLICAOF", "NO", "ONE")
        self.assertFalse(self.look())
        self.ask("CONFIG", "SET", "appendonly", "no")
        self.assertEqual(self.ask("SET", "k", "1"), "OK")
        self.assertTrue(self.look())
        self.until(lambda: not self.look())
        self.start()
        self.assertEqual(self.ask("GET", "k"), "1")
        self.assertFalse(self.look())

    def test_a_master_whose_snapshot_failed_takes_writes_again(self):
        self.ask("REPLICAOF", "NO", "ONE")
        self.ask("CONFIG", "SET", "save", "3600 1")
        os.makedirs(os.path.join(self.folder, "dump.rdb", "x"))
        self.ask("BGSAVE")
        self.until(lambda: self.ask("SET", "k", "1") is None)
        self.look()
        self.assertEqual(self.ask("SET", "k", "1"), "OK")

    def test_a_node_with_another_password_lets_in_whom_it_let_in_before(self):
        self.look(before=lambda own: own.call("CONFIG", "SET", "requirepass", "other"))
        self.assertEqual(self.ask("PING"), "PONG")

    def test_a_node_whose_places_are_all_taken_has_some_for_control(self):
        self.look(before=lambda own: own.call("CONFIG", "SET", "maxclients", "1"))
        self.assertEqual(self.ask("CONFIG", "GET", "maxclients")[1], "10000")

    def test_a_node_that_would_log_in_as_somebody_else_follows_as_before(self):
        self.ask("CONFIG", "SET", "masteruser", "nobody")
        self.look()
        self.assertEqual(self.ask("CONFIG", "GET", "masteruser")[1], "")

    def test_a_replica_keeps_its_data_until_it_has_its_copy_whatever_it_was_set_to(self):
        self.assertEqual(self.ask("CONFIG", "GET", "repl-diskless-load")[1], "disabled")
        # What a version of the server has that knows it; "swapdb" is known to all.
        self.ask("CONFIG", "SET", "repl-diskless-load", "swapdb")
        self.look()
        self.assertEqual(self.ask("CONFIG", "GET", "repl-diskless-load")[1], "disabled")

    def test_what_waits_at_a_master_is_refused_once_it_is_a_replica_whatever_it_was_set_to(self):
        self.ask("REPLICAOF", "NO", "ONE")
        self.ask("CONFIG", "SET", "replica-read-only", "no")
        self.look()
        self.assertEqual(self.ask("CONFIG", "GET", "replica-read-only")[1], "yes")
        self.ask("REPLICAOF", "127.0.0.1", "1")
        self.assertIsNone(self.ask("SET", "k", "1"))

    def test_one_that_ended_with_its_file_off_comes_back_as_behind_until_it_is_a_master(self):
        self.ask("REPLICAOF", "NO", "ONE")
        self.ask("CONFIG", "SET", "appendonly", "no")
        self.ask("SET", "k", "1")
        kept = OwnSettings(SETTINGS, self.folder)
        kept.mark()
        self.start()
        self.assertIsNone(self.ask("GET", "k"))
        for _ in range(3):
            self.assertTrue(self.look())
        self.ask("REPLICAOF", "NO", "ONE")
        self.until(lambda: not self.look())


if __name__ == "__main__":
    unittest.main()

"""Run in docker/redis: python3 -B -m unittest discover tests"""

import asyncio
import os
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from veloz_redis import damaged, life, node  # noqa: E402
from veloz_redis.opinion import Other  # noqa: E402
from veloz_redis.settings import read  # noqa: E402

SETTINGS = read(
    {
        "VELOZ_NODE": "a",
        "VELOZ_REDIS_PASSWORD": "secret",
        "VELOZ_REDIS_SENTINELS": "127.0.0.1:1,127.0.0.2:1,127.0.0.3:1",
        "VELOZ_REDIS_NODES": "a:1,127.0.0.4:1",
    }
)
HOLDER = Other("b", True, True, 3)


def volume(folder, size=10):
    files = os.path.join(folder, damaged.FILES)
    os.mkdir(files)
    with open(os.path.join(files, "appendonly.aof.1.incr.aof"), "wb") as file:
        file.write(b"x" * size)
    return files


class PutAwayTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.free = 1 << 40
        patch = mock.patch.object(damaged, "free_bytes", lambda _volume: self.free)
        patch.start()
        self.addCleanup(patch.stop)

    def test_keeps_the_files_under_another_name(self):
        volume(self.folder)
        name = damaged.put_away(self.folder, now=0)
        self.assertEqual(name, "appendonlydir.damaged-19700101T000000Z")
        self.assertEqual(os.listdir(self.folder), [name])
        self.assertEqual(os.listdir(os.path.join(self.folder, name)), ["appendonly.aof.1.incr.aof"])

    def test_keeps_the_newest_alone(self):
        for day in range(4):
            volume(self.folder)
            damaged.put_away(self.folder, now=day * 86_400)
        self.assertEqual([name[-16:-8] for name, _at in damaged.put_away_in(self.folder)], ["19700103", "19700104"])

    def test_keeps_all_of_the_last_day_and_changes_nothing_where_the_disk_damages_more(self):
        for hour in range(2):
            volume(self.folder)
            damaged.put_away(self.folder, now=hour * 3600)
        volume(self.folder)
        with self.assertRaises(damaged.Refused):
            damaged.put_away(self.folder, now=3 * 3600)
        self.assertEqual(len(os.listdir(self.folder)), 3)

    def test_an_older_one_makes_room_for_a_copy(self):
        volume(self.folder)
        damaged.put_away(self.folder, now=0)
        volume(self.folder)
        with mock.patch.object(damaged, "free_bytes", lambda folder: (2 - len(os.listdir(folder))) * (1 << 40)):
            name = damaged.put_away(self.folder, now=2 * 86_400)
        self.assertEqual(os.listdir(self.folder), [name])

    def test_changes_nothing_where_a_copy_has_no_room(self):
        volume(self.folder)
        self.free = 1000
        with self.assertRaises(damaged.Refused):
            damaged.put_away(self.folder)
        self.assertEqual(os.listdir(self.folder), [damaged.FILES])


class Server:
    """redis-server, which ends with these codes, one a start."""

    def __init__(self, codes):
        self.codes = list(codes)
        self.starts = 0
        self.returncode = None

    async def wait(self):
        await asyncio.sleep(0)
        self.starts += 1
        return self.codes.pop(0)


class StartTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        volume(self.folder)
        self.found = (HOLDER, "")
        self.loaded = False

        async def copy_from(_keeper):
            return self.found

        async def run(keeper):
            keeper.loaded = self.loaded
            await asyncio.sleep(60)

        for target, name, value in (
            (life, "VOLUME", self.folder),
            (life, "AGAIN_AFTER_S", 0),
            (life, "log", lambda text: self.log.append(text)),
            (node.Keeper, "copy_from", copy_from),
            (node.Keeper, "run", run),
        ):
            patch = mock.patch.object(target, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        self.log = []

    def run_node(self, *codes):
        server = Server(codes)

        async def start(*_words):
            return server

        with mock.patch("asyncio.create_subprocess_exec", start):
            code = asyncio.run(life.run_node(SETTINGS))
        return code, server.starts, sorted(name.split("-")[0] for name in os.listdir(self.folder))

    def test_a_server_that_can_not_read_its_files_is_started_without_them(self):
        self.assertEqual(self.run_node(1, 1, 0), (0, 3, ["appendonlydir.damaged"]))
        self.assertIn("b is copied", self.log[-1])

    def test_one_bad_start_is_none(self):
        self.assertEqual(self.run_node(1, 0), (0, 2, ["appendonlydir"]))

    def test_without_the_proof_nothing_is_changed(self):
        self.found = (None, "the Sentinels name this node as the master")
        self.assertEqual(self.run_node(1, 1), (1, 2, ["appendonlydir"]))
        self.assertIn("keeps it as it is: the Sentinels name this node as the master", self.log[-1])

    def test_one_that_fails_without_its_files_too_is_not_started_again(self):
        self.assertEqual(self.run_node(1, 1, 1), (1, 3, ["appendonlydir.damaged"]))

    def test_an_end_from_outside_or_after_the_files_were_read_says_nothing_about_them(self):
        self.assertEqual(self.run_node(-9), (137, 1, ["appendonlydir"]))
        self.assertEqual(self.run_node(0), (0, 1, ["appendonlydir"]))
        self.loaded = True
        self.assertEqual(self.run_node(1), (1, 1, ["appendonlydir"]))


if __name__ == "__main__":
    unittest.main()

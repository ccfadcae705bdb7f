"""Run in docker/redis: python3 -B -m unittest discover tests"""

import os
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from veloz_redis import cli, names  # noqa: E402
from veloz_redis.names import docker_first, find_nobody, nobody_at  # noqa: E402
from veloz_redis.settings import SettingsError, read  # noqa: E402

HOSTS = "127.0.0.1\tlocalhost\n172.18.0.5\ts1\n"
ORDER = "passwd: files\nhosts:          files dns\nnetworks: files\n"
ENVIRONMENT = {
    "VELOZ_NODE": "s1",
    "VELOZ_REDIS_KIND": "sentinel",
    "VELOZ_REDIS_PASSWORD": "p",
    "VELOZ_REDIS_SENTINELS": "s1:26379,s2:26379,s3:26379",
    "VELOZ_REDIS_NODES": "a:6379,b:6379",
}


class NamesTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.hosts, self.order = (os.path.join(folder.name, name) for name in ("hosts", "nsswitch.conf"))
        for path, text in ((self.hosts, HOSTS), (self.order, ORDER)):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        self.settings = read(ENVIRONMENT)

    def text(self, path):
        with open(path, encoding="utf-8") as file:
            return file.read()

    def test_a_node_that_docker_does_not_know_is_found_where_nobody_is(self):
        self.assertTrue(find_nobody(self.settings, self.hosts, self.order))
        self.assertEqual(self.text(self.hosts), f"{HOSTS}127.77.0.1 a\n127.77.0.2 b\n")
        self.assertEqual(self.text(self.order), "passwd: files\nnetworks: files\nhosts: dns files\n")

    def test_a_second_start_changes_nothing(self):
        for _ in range(2):
            self.assertTrue(find_nobody(self.settings, self.hosts, self.order))
        self.assertEqual(self.text(self.hosts), f"{HOSTS}127.77.0.1 a\n127.77.0.2 b\n")

    def test_each_name_has_an_address_of_its_own_and_one_that_is_there_keeps_its_own(self):
        self.assertEqual(nobody_at("10.0.0.7 a # not b\n127.77.0.1 c\n", ["a", "b", "d"]), ["127.77.0.2 b", "127.77.0.3 d"])
        self.assertEqual(nobody_at("", ["a"]), ["127.77.0.1 a"])

    def test_a_file_without_an_end_of_its_last_line_and_none_at_all(self):
        with open(self.hosts, "w", encoding="utf-8") as file:
            file.write("127.0.0.1 localhost")
        os.remove(self.order)
        self.assertTrue(find_nobody(self.settings, self.hosts, self.order))
        self.assertEqual(self.text(self.hosts), "127.0.0.1 localhost\n127.77.0.1 a\n127.77.0.2 b\n")
        self.assertEqual(self.text(self.order), docker_first(""))

    def test_a_sentinel_that_may_not_is_started_all_the_same_and_its_log_says_so(self):
        said = []
        with mock.patch.object(names, "log", said.append):
            self.assertFalse(find_nobody(self.settings, os.path.join(self.hosts, "x"), self.order))
        self.assertIn("s1: a node that is away", said[0])

    def test_is_done_as_root_and_for_a_sentinel_alone(self):
        for kind, times in (("sentinel", 1), ("node", 0)):
            order = []
            with (
                mock.patch.dict(os.environ, {**ENVIRONMENT, "VELOZ_REDIS_KIND": kind}),
                mock.patch.object(names, "find_nobody", lambda _: order.append("names")),
                mock.patch.object(cli, "become_redis", side_effect=SettingsError("ends here")),
                self.assertRaises(SettingsError),
            ):
                cli.main(["run"])
            self.assertEqual(order, ["names"] * times)


if __name__ == "__main__":
    unittest.main()

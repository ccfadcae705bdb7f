import asyncio
import os
import struct
import tempfile
import unittest
from unittest import mock

import support  # noqa: F401

from veloz_agent import config_files, origin_files, start_trial
from veloz_agent.control_file import crc32c
from veloz_agent.settings import PostgresSettings


class OriginFilesTest(unittest.TestCase):
    def setUp(self):
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.data = held.name
        os.makedirs(os.path.join(self.data, "pg_logical"))

    def put(self, content):
        with open(os.path.join(self.data, origin_files.FILE), "wb") as file:
            file.write(content)

    def checkpoint(self, origins, magic=0x1257DADE):
        states = b"".join(struct.pack("=H6xQ", number + 1, 0x3000000) for number in range(origins))
        body = struct.pack("=I", magic) + states
        return body + struct.pack("=I", crc32c(body))

    def problem(self, version=17, **values):
        return origin_files.problem(self.data, values, version)

    def test_origins_need_room(self):
        self.assertIsNone(self.problem(max_replication_slots="1"))
        self.put(self.checkpoint(0))
        self.assertIsNone(self.problem(max_replication_slots="1"))
        self.put(self.checkpoint(4))
        self.assertEqual(origin_files.count(self.data), 4)
        self.assertIsNone(self.problem())
        self.assertIsNone(self.problem(max_replication_slots="4"))
        self.assertIn(
            "max_replication_slots is 3, and pg_logical/replorigin_checkpoint has the progress of 4 replication origins",
            self.problem(max_replication_slots="3"),
        )
        # A server without room does not read the file.
        self.assertIsNone(self.problem(max_replication_slots="0"))
        # A setting of their own.
        self.assertIsNone(self.problem(18, max_replication_slots="3"))
        self.assertIn("max_active_replication_origins is 2", self.problem(18, max_active_replication_origins="2"))

    def test_a_file_at_which_a_start_would_end_is_told(self):
        for content, why in (
            (b"", "has 0 bytes"),
            (self.checkpoint(2)[:-1], "has 39 bytes"),
            (self.checkpoint(2)[:-4], "has 36 bytes"),
            (self.checkpoint(1, magic=7), "begins otherwise"),
            (self.checkpoint(1)[:-4] + b"xxxx", "another checksum"),
        ):
            self.put(content)
            self.assertIn(why, self.problem())

    def test_a_trial_of_a_start_tells_it_with_the_setting(self):
        self.put(self.checkpoint(4))
        settings = PostgresSettings({})
        settings.data = self.data
        trial = start_trial.StartTrial(settings, None, {})
        hba = os.path.join(self.data, "pg_hba.conf")
        with open(hba, "w", encoding="utf-8"):
            pass
        files = config_files.ConfigFiles()
        named = {"max_replication_slots": "3", "hba_file": hba, "unix_socket_directories": self.data, "listen_addresses": ""}
        files.settings = {name: config_files.Setting(value, "x.conf", 1) for name, value in named.items()}

        async def run(_files):
            return 0, "1"

        with mock.patch.object(trial, "_run", run):
            answer = asyncio.run(trial._try(files))
        self.assertEqual((answer["ok"], answer["setting"]["name"]), (False, "max_replication_slots"))


if __name__ == "__main__":
    unittest.main()

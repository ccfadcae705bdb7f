import json
import os
import tempfile
import unittest
import unittest.mock

import support  # noqa: F401

from veloz_agent import auto_conf, quarantine, statefile
from veloz_agent.wal_end import WalReader

SEGMENT = 1 << 20


class AutoConfTest(unittest.TestCase):
    def test_what_is_a_node_s_own_stays_and_the_rest_is_the_primary_s(self):
        theirs = "# Do not edit\nsynchronous_standby_names = ''\nmax_connections = '200'\nprimary_slot_name = 'b'\n"
        ours = "# Do not edit\nsynchronous_standby_names = 'ANY 1 (veloz_standby)'\nmax_connections = '100'\n"
        self.assertEqual(
            auto_conf.merged(theirs, ours),
            "# Do not edit\nmax_connections = '200'\nsynchronous_standby_names = 'ANY 1 (veloz_standby)'\n",
        )
        self.assertEqual(auto_conf.merged(theirs, ""), "# Do not edit\nmax_connections = '200'\n")


class ListingTest(unittest.TestCase):
    def test_commits_are_counted_once_however_the_output_is_cut_and_the_text_is_bounded(self):
        text = b"x desc: COMMIT 2026\ny desc: COMMIT_PREPARED\nz desc: INSERT\n" * 50
        for size in (1, 7, 64, len(text)):
            limit = unittest.mock.patch.object(quarantine, "LISTING_BYTES", 100)
            with tempfile.TemporaryDirectory() as directory, limit:
                path = os.path.join(directory, "lost-wal.txt")
                listing = quarantine.Listing(path)
                for at in range(0, len(text), size):
                    listing.take(text[at : at + size])
                listing.close()
                self.assertEqual(listing.commits, 100)
                self.assertLess(os.stat(path).st_size, 200)


class KeepTest(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.own = os.path.join(directory.name, "veloz")
        self.data = os.path.join(directory.name, "data")
        os.makedirs(os.path.join(self.data, "global"))
        os.makedirs(os.path.join(self.data, "pg_wal"))
        os.makedirs(self.own)
        for name in ("global/pg_control", "postgresql.auto.conf", "pg_wal/00000002.history"):
            statefile.replace(os.path.join(self.data, name), name)
        for number in range(6):
            with open(os.path.join(self.data, "pg_wal", f"0000000200000000{number:08X}"), "wb") as file:
                file.truncate(SEGMENT)
        self.reader = WalReader(None, "/bin", self.data)
        self.dumped = []
        self.code = 0

        async def dump(*args):
            self.dumped.append((*args[:2], *args[3:]))
            args[2](b"desc: COMMIT a\ndesc: COMMIT b\n")
            return self.code

        self.reader.dump = dump

    async def keep(self, lost_from, end):
        about = {"kind": "rewind", "run": "r"}
        folder, lost = await quarantine.keep(self.own, self.data, self.reader, about, lost_from, end)
        with open(os.path.join(folder, "summary.json"), encoding="utf-8") as file:
            return folder, lost, json.load(file)

    async def test_the_lost_part_is_kept_counted_and_listed(self):
        folder, lost, summary = await self.keep((2, "0/200100"), "0/400000")
        self.assertEqual(
            lost,
            {
                "fromLsn": "0/200100",
                "toLsn": "0/400000",
                "bytes": 0x1FFF00,
                "commits": 2,
                "complete": True,
                "kept": True,
            },
        )
        self.assertEqual(summary["segments"], ["000000020000000000000002", "000000020000000000000003"])
        self.assertEqual(
            sorted(os.listdir(folder)),
            sorted(
                ["pg_control", "postgresql.auto.conf", "00000002.history", "lost-wal.txt", "summary.json"]
                + summary["segments"]
            ),
        )
        # Named segments: pg_waldump takes the segment size from whichever file comes first else, and that may be empty.
        self.assertEqual(self.dumped, [(2, "0/200100", "--end=0/400000", *summary["segments"])])

    async def test_what_could_not_be_read_to_its_end_is_no_complete_count(self):
        self.code = 1
        _, lost, summary = await self.keep((2, "0/200100"), "0/400000")
        self.assertEqual((lost["commits"], lost["complete"], summary["complete"]), (2, False, False))
        self.code = 0
        _, lost, _ = await self.keep((2, "0/200100"), None)
        self.assertFalse(lost["complete"])

    async def test_with_nothing_lost_the_rest_is_kept_and_a_missing_file_is_no_failure(self):
        os.unlink(os.path.join(self.data, "postgresql.auto.conf"))
        folder, lost, summary = await self.keep(None, "0/400000")
        self.assertIsNone(lost)
        self.assertEqual((summary["bytes"], summary["segments"]), (0, []))
        self.assertIn("pg_control", os.listdir(folder))

    async def test_segments_that_would_fill_the_disk_are_named_instead(self):
        with unittest.mock.patch.object(quarantine, "WAL_BYTES", SEGMENT):
            folder, _, summary = await self.keep((2, "0/200100"), "0/400000")
        self.assertEqual(len(summary["segmentsLeftOut"]), 2)
        self.assertNotIn(summary["segmentsLeftOut"][0], os.listdir(folder))

    async def test_folders_are_told_apart_and_bounded_in_number(self):
        with unittest.mock.patch.object(quarantine, "FOLDERS", 3):
            folders = [(await self.keep(None, None))[0] for _ in range(5)]
        self.assertEqual(len(set(folders[:3])), 3)
        self.assertEqual(len(os.listdir(os.path.join(self.own, "quarantine"))), 3)
        self.assertTrue(os.path.isdir(folders[-1]))


if __name__ == "__main__":
    unittest.main()

import os
import struct
import tempfile
import unittest

import support  # noqa: F401

from veloz_agent import wal
from veloz_agent.comparison import apart, divergence, was_primary
from veloz_agent.wal_end import WalReader

MB = 1 << 20
SEGMENT = 4 * MB
# Where the segments end that exist in the tests, and their names.
END = "--end=0/3C00000"
D, E = "00000008000000000000000D", "00000008000000000000000E"

HISTORY = """1\t0/368B298\tno recovery target specified

# a comment
2\t0/368B3C0\tno recovery target specified
"""


def line(start, length, description="INSERT off: 1"):
    return (
        f"rmgr: Heap        len (rec/tot):     54/{length:6d}, tx:        985, lsn: {start}, prev 0/0369FA90, "
        f"desc: {description}, blkref #0: rel 1663/16393/16400 blk 0\n"
    )


class WalTest(unittest.TestCase):
    def test_positions_and_segment_names(self):
        self.assertEqual(wal.parse_lsn("16/B374D848"), 0x16B374D848)
        name = wal.segment_name(8, 0x100000400 // SEGMENT, SEGMENT)
        self.assertEqual(name, "000000080000000100000000")
        self.assertEqual(wal.segment_number(name, SEGMENT), 0x100000000 // SEGMENT)

    def test_where_a_record_ends_was_seen_on_real_data(self):
        # A short one, one over a page boundary (a short header inside), and a switch.
        for start, length, switch, end in (
            ("0/3690990", 50, False, "0/36909C8"),
            ("0/36909C8", 7601, False, "0/3692798"),
            ("0/36927D8", 24, True, "0/3800000"),
        ):
            found = wal.record_end(wal.parse_lsn(start), length, switch, SEGMENT)
            self.assertEqual(found, wal.parse_lsn(end), start)

    def test_a_record_over_a_segment_boundary_has_the_long_header_inside(self):
        start = SEGMENT - 32
        self.assertEqual(wal.record_end(start, 48, False, SEGMENT), SEGMENT + wal.LONG_HEADER + 16)
        self.assertEqual(wal.record_end(start, 32, False, SEGMENT), SEGMENT)

    def test_a_history_tells_where_each_timeline_was_left(self):
        history = wal.parse_history(HISTORY)
        self.assertEqual(
            history, [{"timeline": 1, "endLsn": "0/368B298"}, {"timeline": 2, "endLsn": "0/368B3C0"}]
        )
        self.assertEqual(wal.left_at(history, 3, 2), "0/368B3C0")
        self.assertIsNone(wal.left_at(history, 3, 3))
        self.assertIsNone(wal.left_at(history, 3, 7))
        self.assertEqual(wal.parse_history(""), [])


class DivergenceTest(unittest.TestCase):
    def compared(self, timeline, end, system="1", **local):
        return divergence(self.both(timeline, end, system, **local))

    def both(self, timeline, end, system="1", **local):
        return {
            "upstream": {"systemIdentifier": "1", "timeline": 3, "writable": True, "lsn": "0/5000000"},
            "history": wal.parse_history(HISTORY),
            "local": {"systemIdentifier": system, "timeline": timeline, "walEnd": end, **local},
        }

    def test_what_lies_beyond_the_point_where_the_upstream_left_is_lost(self):
        self.assertEqual(self.compared(2, "0/368B3C8"), (2, "0/368B3C0"))
        self.assertIsNone(self.compared(2, "0/368B3C0"))

    def test_so_is_what_is_ahead_on_the_same_timeline(self):
        self.assertEqual(self.compared(3, "0/5000008"), (3, "0/5000000"))
        self.assertIsNone(self.compared(3, "0/4FFFFF8"))

    def test_of_two_primaries_on_one_timeline_everything_since_its_beginning_is(self):
        self.assertEqual(self.compared(3, "0/4FFFFF8", wasPrimary=True), (3, "0/368B3C0"))
        self.assertEqual(self.compared(3, "0/5000008", wasPrimary=True), (3, "0/368B3C0"))
        # The primary before this one is on the timeline that was left.
        self.assertFalse(apart(self.both(2, "0/368B3C8", wasPrimary=True)))
        self.assertEqual(self.compared(2, "0/368B3C8", wasPrimary=True), (2, "0/368B3C0"))

    def test_where_two_primaries_on_the_first_timeline_parted_is_not_known(self):
        both = self.both(1, "0/1000", wasPrimary=True)
        both["history"], both["upstream"]["timeline"] = [], 1
        self.assertEqual((apart(both), divergence(both)), (True, None))

    def test_a_copy_that_was_never_started_has_the_control_file_of_a_primary(self):
        with tempfile.TemporaryDirectory() as data:
            for state in ("in production", "shutting down", "shut down", "in crash recovery"):
                self.assertTrue(was_primary(data, {"state": state}), state)
            for state in ("in archive recovery", "shut down in recovery", "starting up"):
                self.assertFalse(was_primary(data, {"state": state}), state)
            with open(os.path.join(data, "backup_label"), "w", encoding="utf-8"):
                pass
            self.assertFalse(was_primary(data, {"state": "in production"}))

    def test_nothing_is_said_of_another_system_an_unknown_timeline_or_an_unread_end(self):
        self.assertIsNone(self.compared(2, "0/368B3C8", system="2"))
        self.assertIsNone(self.compared(7, "0/368B3C8"))
        self.assertIsNone(self.compared(2, None))


class WalEndTest(unittest.IsolatedAsyncioTestCase):
    """What pg_waldump printed on real data, and what follows from it."""

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.reader = WalReader(None, "/bin", self.directory.name)
        os.mkdir(self.reader.pg_wal)
        self.outputs = {}
        self.reader.dump = self.dump
        self.put(D, E)

    def put(self, *names):
        for name in names:
            with open(os.path.join(self.reader.pg_wal, name), "wb") as file:
                file.truncate(SEGMENT)

    async def dump(self, timeline, start, take, *options):
        key = (timeline, start, *options)
        text = self.outputs.get(key, f"pg_waldump: error: could not find a valid record after {start}\n").encode()
        for at in range(0, len(text), 7):
            take(text[at : at + 7])
        return 1

    async def test_it_ends_after_the_last_record_that_could_be_read(self):
        self.outputs = {
            (8, "0/3690918", END, "--quiet", D, E): "pg_waldump: error: error in WAL record at 0/3690990: "
            "invalid record length "
            "at 0/36909C8: expected at least 24, got 0\n",
            (8, "0/3690990", END, "--limit=1", D, E): line("0/03690990", 50, "RUNNING_XACTS nextXid 981"),
        }
        self.assertEqual(await self.reader.end_of_timeline(8, "0/3690918"), "0/36909C8")

    async def test_a_recycled_page_and_a_switch(self):
        self.outputs = {
            (8, "0/3690918", END, "--quiet", D, E): "pg_waldump: error: error in WAL record at 0/36927D8: "
            "unexpected pageaddr "
            "0/1C00000 in WAL segment 00000008000000000000000E, LSN 0/3800000, offset 0\n",
            (8, "0/36927D8", END, "--limit=1", D, E): line("0/036927D8", 24, "SWITCH "),
        }
        self.assertEqual(await self.reader.end_of_timeline(8, "0/3690918"), "0/3800000")

    async def test_without_a_next_segment_the_last_record_is_looked_for_in_the_last_one(self):
        self.outputs = {
            (8, "0/3690918", END, "--quiet", D, E): "",
            (8, "0/3800000", END, E, E): line("0/03BFFF00", 100) + line("0/03BFFF68", 120),
        }
        self.assertEqual(await self.reader.end_of_timeline(8, "0/3690918"), "0/3BFFFE0")

    async def test_a_last_record_that_began_a_segment_earlier(self):
        self.outputs = {
            (8, "0/3690918", END, "--quiet", D, E): "",
            (8, "0/3690918", END, D, E): line("0/03690918", 100),
        }
        self.assertEqual(await self.reader.end_of_timeline(8, "0/3690918"), "0/3690980")

    async def test_the_newest_timeline_with_records_counts_and_one_without_does_not(self):
        control = {"checkpointTimeline": 7, "redoLsn": "0/3600000"}
        self.put("00000007000000000000000D", "00000009000000000000000E")
        for timeline, text in ((8, "7\t0/3690918\tx\n"), (9, "7\t0/3690918\tx\n8\t0/36909C8\tx\n")):
            with open(os.path.join(self.reader.pg_wal, f"{timeline:08X}.history"), "w") as file:
                file.write(text)
        self.outputs = {
            (8, "0/3690918", END, "--quiet", D, E): "pg_waldump: error: error in WAL record at 0/3690990: "
            "invalid record length "
            "at 0/36909C8: expected at least 24, got 0\n",
            (8, "0/3690990", END, "--limit=1", D, E): line("0/03690990", 50),
        }
        self.assertEqual(await self.reader.end(control), (8, "0/36909C8"))

    async def test_nothing_is_read_before_the_first_segment_and_beyond_a_gap(self):
        self.put("000000080000000000000010")
        self.outputs = {
            (8, "0/3400000", END, "--quiet", D, E): "pg_waldump: error: error in WAL record at 0/3690990: invalid "
            "record length at 0/36909C8: expected at least 24, got 0\n",
            (8, "0/3690990", END, "--limit=1", D, E): line("0/03690990", 50),
        }
        self.assertEqual(await self.reader.end_of_timeline(8, "0/2400018"), "0/36909C8")

    async def test_wal_that_ends_with_its_last_segment_and_wal_whose_last_record_is_cut_off_there(self):
        for last, end in ((line("0/03BFFFC8", 50), "0/3C00000"), (line("0/03BFFFC0", 50), "0/3BFFFF8")):
            self.outputs = {
                (8, "0/3690918", END, "--quiet", D, E): "",
                (8, "0/3800000", END, E, E): last,
            }
            self.assertEqual(await self.reader.end_of_timeline(8, "0/3690918"), end)

    async def test_what_is_skipped_before_the_first_record_is_no_error(self):
        self.outputs = {
            (8, "0/3692000", END, "--quiet", D, E): "pg_waldump: first record is after 0/3692000, at 0/3692018, "
            "skipping over 24 bytes\n",
            (8, "0/3800000", END, E, E): line("0/03BFFFC8", 50),
        }
        self.assertEqual(await self.reader.end_of_timeline(8, "0/3692000"), "0/3C00000")

    async def test_where_no_segment_is_left_from_the_start_on_nothing_is_run(self):
        self.reader.dump = None
        self.assertIsNone(await self.reader.end_of_timeline(8, "0/3C00000"))

    def begin(self, *names, address=None):
        for name in names:
            at = address if address is not None else wal.segment_number(name, SEGMENT) * SEGMENT
            with open(os.path.join(self.reader.pg_wal, name), "r+b") as file:
                file.write(struct.pack("=HHIQ", 0xD116, 7, 8, at))

    async def test_from_a_position_on_only_the_last_segment_that_was_begun_is_read(self):
        recycled = "00000008000000000000000F"
        self.put(recycled)
        self.begin(D, E)
        self.begin(recycled, address=0x400000)
        end = "--end=0/4000000"
        self.outputs = {
            (8, "0/3800000", end, "--quiet", E, recycled): "pg_waldump: error: error in WAL record at 0/3800990: "
            "invalid record length at 0/38009C8: expected at least 24, got 0\n",
            (8, "0/3800990", end, "--limit=1", E, recycled): line("0/03800990", 50),
        }
        self.assertEqual(await self.reader.end_near(8, "0/3500000"), "0/38009C8")
        # What it was asked from lies here too, whatever is read.
        self.assertEqual(await self.reader.end_near(8, "0/3800A00"), "0/3800A00")

    async def test_a_record_that_fills_the_last_segment_is_found_by_its_beginning(self):
        self.begin(D, E)
        self.outputs = {
            (8, "0/3400000", END, "--quiet", D, E): "",
            (8, "0/3800000", END, E, E): "",
            (8, "0/3400000", END, D, E): line("0/03690918", 100),
        }
        self.assertEqual(await self.reader.end_near(8, "0/3500000"), "0/3690980")

    async def test_a_position_whose_own_segment_is_not_here_has_no_known_end(self):
        self.assertIsNone(await self.reader.end_near(8, "0/3500000"))

    async def test_a_standby_that_has_begun_a_newer_timeline_ends_there(self):
        self.put("00000009000000000000000E")
        self.begin(D, E, "00000009000000000000000E")
        with open(os.path.join(self.reader.pg_wal, "00000009.history"), "w") as file:
            file.write("8\t0/3800100\tx\n")
        newest = "00000009000000000000000E"
        self.outputs = {
            (9, "0/3800000", END, "--quiet", newest, newest): "pg_waldump: error: error in WAL record at 0/3800990: "
            "invalid record length at 0/38009C8: expected at least 24, got 0\n",
            (9, "0/3800990", END, "--limit=1", newest, newest): line("0/03800990", 50),
        }
        self.assertEqual(await self.reader.standby_end(8, "0/3500000"), (9, "0/38009C8"))

    async def test_wal_that_can_not_be_read_has_no_known_end(self):
        self.assertEqual(await self.reader.end({"checkpointTimeline": 8, "redoLsn": "0/3600000"}), (8, None))


if __name__ == "__main__":
    unittest.main()

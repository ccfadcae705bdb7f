import os
import struct
import tempfile
import unittest

import support  # noqa: F401

from veloz_agent import lost_wal, wal
from veloz_agent.peers import Answer

SEGMENT = 1 << 20
TIMELINE = 8
CONTROL = {"timeline": TIMELINE, "checkpointTimeline": TIMELINE, "checkpointLsn": "0/300100", "systemIdentifier": "1"}


def standby(replayed, timeline=TIMELINE, system="1"):
    return Answer(
        "b", 5432, standby=True, speaks=True, system_identifier=system, replayed=replayed, replayed_timeline=timeline
    )


class LostWalTest(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.data = directory.name
        os.mkdir(os.path.join(self.data, "pg_wal"))
        # Where the records end, as pg_waldump says, and what it was asked.
        self.end, self.read = "0/305F00", []
        # Written up to somewhere in the page at 0/304000; what follows in the segment is of its use before.
        self.segment(3, pages=3, stale=True)

    def segment(self, number, pages, stale=False, timeline=TIMELINE):
        """A segment of which so many pages were written."""
        content = bytearray(SEGMENT)
        for page in range(SEGMENT // wal.PAGE):
            at = number * SEGMENT + page * wal.PAGE
            if page >= pages:
                at = at - SEGMENT if stale else 0
            struct.pack_into("=HHIQ", content, page * wal.PAGE, 0xD116 if at else 0, 0, timeline if at else 0, at)
        with open(os.path.join(self.data, "pg_wal", wal.segment_name(timeline, number, SEGMENT)), "wb") as file:
            file.write(content)

    async def reason(self, *answers):
        async def on_disk(function, *arguments):
            return function(*arguments)

        async def end_near(timeline, start):
            self.read.append((timeline, start))
            if isinstance(self.end, Exception):
                raise self.end
            return self.end

        return await lost_wal.reason(self.data, CONTROL, list(answers), on_disk, end_near)

    async def test_a_standby_that_has_replayed_no_more_than_lies_here_is_no_reason(self):
        # In the last page, at its end, before the last checkpoint, and in a segment that is long gone.
        for replayed in ("0/304100", "0/306000", "0/300090", "0/100000"):
            self.assertIsNone(await self.reason(standby(replayed)), replayed)

    async def test_one_that_has_replayed_what_is_not_here_is(self):
        # The next page, which holds what the segment was before; and a segment that there is not.
        for replayed in ("0/306020", "0/3FF000", "0/400030", "1/300100"):
            self.assertIn(replayed, await self.reason(standby("0/304100"), standby(replayed)), replayed)

    async def test_behind_a_switch_of_segments_no_page_has_a_header_and_the_records_tell(self):
        self.segment(3, pages=3)
        self.end = "0/400000"
        self.assertIsNone(await self.reason(standby("0/400000")))
        self.assertEqual(self.read, [(TIMELINE, "0/300100")])
        # The same where the records end before.
        for end in ("0/305F00", None, ValueError("no segment"), OSError("timed out")):
            self.end = end
            self.assertIn("0/400000", await self.reason(standby("0/400000")), end)

    async def test_who_has_everything_has_no_record_read(self):
        await self.reason(standby("0/304100"))
        self.assertEqual(self.read, [])

    async def test_a_standby_on_a_timeline_that_this_node_does_not_know_has_what_this_node_lacks(self):
        told = await self.reason(standby("0/200000", timeline=TIMELINE + 2))
        self.assertIn("has replayed timeline 10, and this node knows none after 8", told)
        self.assertIsNone(await self.reason(standby("0/200000", timeline=TIMELINE + 2, system="2")))

    async def test_a_segment_that_was_only_made_ahead_holds_nothing(self):
        self.segment(4, pages=0)
        self.assertIn("b:5432 is a standby", await self.reason(standby("0/400030")))

    async def test_who_is_of_another_system_or_timeline_or_silent_says_nothing(self):
        self.assertIsNone(await self.reason(standby("0/400030", system="2"), standby("0/400030", timeline=7), standby(None)))
        self.assertIsNone(await self.reason(Answer("c", 5432, problem="no answer within 300 ms")))

    async def test_where_a_newer_timeline_was_begun_here_nobody_can_tell(self):
        self.segment(3, pages=4, timeline=9)
        self.assertIsNone(await self.reason(standby("0/400030")))

    async def test_a_directory_that_can_not_be_read_is_no_reason(self):
        for name in os.listdir(os.path.join(self.data, "pg_wal")):
            os.truncate(os.path.join(self.data, "pg_wal", name), 0)
        self.assertIsNone(await self.reason(standby("0/400030")))


if __name__ == "__main__":
    unittest.main()

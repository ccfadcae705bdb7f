import os
import struct
import tempfile
import unittest

import support  # noqa: F401

from veloz_agent import lost_wal, wal
from veloz_agent.peers import Answer

SEGMENT = 1 << 20
TIMELINE = 8
CONTROL = {"checkpointTimeline": TIMELINE, "checkpointLsn": "0/300100", "systemIdentifier": "1"}


def standby(replayed, timeline=TIMELINE, system="1"):
    return Answer(
        "b", 5432, standby=True, speaks=True, system_identifier=system, replayed=replayed, replayed_timeline=timeline
    )


class LostWalTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.data = directory.name
        os.mkdir(os.path.join(self.data, "pg_wal"))
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

    def reason(self, *answers):
        return lost_wal.reason(self.data, CONTROL, list(answers))

    def test_a_standby_that_has_replayed_no_more_than_lies_here_is_no_reason(self):
        # In the last page, at its end, before the last checkpoint, and in a segment that is long gone.
        for replayed in ("0/304100", "0/306000", "0/300090", "0/100000"):
            self.assertIsNone(self.reason(standby(replayed)), replayed)

    def test_one_that_has_replayed_what_is_not_here_is(self):
        # The next page, which holds what the segment was before; and a segment that there is not.
        for replayed in ("0/306020", "0/3FF000", "0/400030", "1/300100"):
            self.assertIn(replayed, self.reason(standby("0/304100"), standby(replayed)), replayed)

    def test_a_segment_that_was_only_made_ahead_holds_nothing(self):
        self.segment(4, pages=0)
        self.assertIn("b:5432 is a standby", self.reason(standby("0/400030")))

    def test_who_is_of_another_system_or_timeline_or_silent_says_nothing(self):
        self.assertIsNone(self.reason(standby("0/400030", system="2"), standby("0/400030", timeline=7), standby(None)))
        self.assertIsNone(self.reason(Answer("c", 5432, problem="no answer within 300 ms")))

    def test_where_a_newer_timeline_was_begun_here_nobody_can_tell(self):
        self.segment(3, pages=4, timeline=9)
        self.assertIsNone(self.reason(standby("0/400030")))

    def test_a_directory_that_can_not_be_read_is_no_reason(self):
        for name in os.listdir(os.path.join(self.data, "pg_wal")):
            os.truncate(os.path.join(self.data, "pg_wal", name), 0)
        self.assertIsNone(self.reason(standby("0/400030")))


if __name__ == "__main__":
    unittest.main()

import asyncio
import os
import tempfile
import unittest

import support  # noqa: F401

from veloz_agent import database_directories, statefile


class DatabaseDirectoriesTest(unittest.TestCase):
    """A server's databases, and what of them lies in its data directory."""

    def setUp(self):
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.data = held.name
        self.answers = []
        for place in ("base/5", "pg_tblspc/16399/PG_17_202406281/16401"):
            self.make(place)

    def make(self, place):
        os.makedirs(os.path.join(self.data, place))
        statefile.replace(os.path.join(self.data, place, "PG_VERSION"), "17\n")

    async def query(self, sql):
        self.assertIn("datconnlimit <> -2", sql)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return [dict(zip(("oid", "name", "space"), row)) for row in answer]

    def lacking(self, *answers):
        self.answers = list(answers)
        return asyncio.run(database_directories.lacking(self.data, self))

    def test_whatever_lies_where_it_should_is_well(self):
        rows = [("5", "postgres", "1663"), ("16401", "fast", "16399")]
        self.assertEqual(self.lacking(rows), {"databases": [], "more": 0})

    def test_one_whose_directory_is_not_there_is_told(self):
        rows = [("5", "postgres", "1663"), ("16400", "cold", "1663"), ("16402", "slow", "16399")]
        databases = [{"oid": "16400", "name": "cold"}, {"oid": "16402", "name": "slow"}]
        self.assertEqual(self.lacking(rows, rows), {"databases": databases, "more": 0})
        # A link is followed, as the server does.
        elsewhere = os.path.join(self.data, "elsewhere")
        self.make("elsewhere")
        os.symlink(elsewhere, os.path.join(self.data, "base", "16400"))
        self.assertEqual(self.lacking(rows, rows)["databases"], databases[1:])

    def test_one_that_was_dropped_or_moved_meanwhile_is_not(self):
        before = [("5", "postgres", "1663"), ("16400", "gone", "1663"), ("16401", "moved", "1663")]
        self.assertEqual(self.lacking(before, [before[0], ("16401", "moved", "16399")])["databases"], [])

    def test_what_can_not_be_asked_is_not_known(self):
        self.assertIsNone(self.lacking(ConnectionResetError()))

    def test_many_are_counted(self):
        rows = [(str(number), "x", "1663") for number in range(20000, 20015)]
        found = self.lacking(rows, rows)
        self.assertEqual((len(found["databases"]), found["more"]), (12, 3))


if __name__ == "__main__":
    unittest.main()

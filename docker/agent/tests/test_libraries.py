import asyncio
import os
import tempfile
import unittest
from unittest import mock

import support  # noqa: F401

from veloz_agent import control_database, libraries
from veloz_agent.settings import PostgresSettings


class LibrariesTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.settings = PostgresSettings({"VELOZ_PG_DATABASE": "orders"})
        self.settings.bin = os.path.join(folder.name, "bin")
        self.settings.data = os.path.join(folder.name, "data")
        for name in ("data", "lib"):
            os.makedirs(os.path.join(folder.name, name))
        open(os.path.join(folder.name, "lib", "here.so"), "w").close()

    def test_a_library_is_looked_for_where_the_server_does(self):
        for name in ("$libdir/here", "$libdir/here.so", "here", "../lib/here"):
            self.assertTrue(libraries.found(name, "$libdir", self.settings), name)
        for name in ("$libdir/pgcrypto", "pgcrypto", "/nowhere/here"):
            self.assertFalse(libraries.found(name, "$libdir", self.settings), name)

    def test_each_database_is_asked_once_in_a_while_and_one_that_is_closed_is_told(self):
        asked = []

        class Session:
            def __init__(self, database):
                self.database = database

            async def query(self, sql):
                if "pg_database" in sql:
                    return [{"datname": name, "path": "$libdir"} for name in ("closed", "orders")]
                return [{"probin": "$libdir/here"}, {"probin": "$libdir/pgcrypto"}]

            def close(self):
                pass

        async def superuser(_settings, *names):
            asked.append(names)
            if names == ("closed",):
                raise OSError("closed")
            return Session(names)

        async def run():
            each = libraries.Libraries(self.settings)
            await each.answer()
            return await each.answer()

        with mock.patch.object(control_database, "superuser", superuser):
            told = asyncio.run(run())
        self.assertEqual(told, {"missing": [{"database": "orders", "library": "$libdir/pgcrypto"}], "unasked": ["closed"]})
        self.assertEqual(asked, [(), ("orders",), ("closed",)])

    def test_without_a_server_nothing_is_known(self):
        with mock.patch.object(control_database, "superuser", mock.AsyncMock(side_effect=OSError("gone"))):
            self.assertIsNone(asyncio.run(libraries.Libraries(self.settings).answer()))


if __name__ == "__main__":
    unittest.main()

import os
import tempfile
import unittest
import unittest.mock

import support  # noqa: F401

from veloz_agent import base_backup, bootstrap, statefile
from veloz_agent.bootstrap import Bootstrap, BootstrapError
from veloz_agent.node_files import NodeFiles
from veloz_agent.settings import PostgresSettings

UPSTREAM = {"host": "b", "port": 5432}
LINK = {"path": "/var/lib/postgresql/data/base/16400", "target": "/cold"}


class FirstCopyTest(unittest.IsolatedAsyncioTestCase):
    """A node without data copies the primary by itself; what pg_basebackup does is played."""

    def setUp(self):
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.settings = s = PostgresSettings({"VELOZ_NODE": "a"})
        s.volume, s.data, s.own = held.name, os.path.join(held.name, "data"), os.path.join(held.name, "veloz")
        os.mkdir(s.own)
        self.files = NodeFiles(s.data, s.own, "replicator", "/pass", "veloz_standby", "a")
        self.spaces, self.databases, self.reply, self.says, self.ran = {}, set(), {"node": "b"}, [], []
        for target, value in (
            ("veloz_agent.tablespaces.of", unittest.mock.AsyncMock(side_effect=lambda *_: self.spaces)),
            ("veloz_agent.copy_check.databases", unittest.mock.AsyncMock(side_effect=lambda *_: self.databases)),
            ("veloz_agent.bootstrap.ensure_slot", unittest.mock.AsyncMock()),
            ("veloz_agent.bootstrap.log", unittest.mock.Mock()),
        ):
            patch = unittest.mock.patch(target, value)
            patch.start()
            self.addCleanup(patch.stop)

        async def ask_agent(*_):
            return self.reply

        self.made = Bootstrap(s, self.files, None, self.says.append, ask_agent)
        self.made._run = self.run_tool
        self.printed = ""

    async def run_tool(self, argv, *_):
        self.ran.append(argv[0])
        side = base_backup.side_directory(self.settings)
        os.makedirs(os.path.join(side, "base", "5"))
        for name in ("PG_VERSION", "base/5/PG_VERSION"):
            statefile.replace(os.path.join(side, name), "17\n")
        return self.printed

    async def test_it_is_a_standby_to_be(self):
        self.databases = {("5", "1663")}
        await self.made._clone(UPSTREAM)
        self.assertTrue(self.files.is_standby)
        self.assertEqual(self.says, ["Copying the primary b:5432."])

    async def test_a_copy_that_would_lack_data_is_not_begun(self):
        self.reply["leftOut"] = {"links": [LINK], "more": 0}
        with self.assertRaisesRegex(BootstrapError, "A copy of b would lack data"):
            await self.made._clone(UPSTREAM)
        self.assertEqual((self.ran, self.says), ([], []))

    async def test_one_that_lacks_some_is_not_used_and_made_anew_only_after_a_while(self):
        for self.databases, self.printed in (
            ({("16400", "1663")}, ""),
            (set(), 'WARNING:  skipping special file "./base/16400"'),
        ):
            with self.subTest(printed=self.printed):
                with self.assertRaises(BootstrapError) as caught:
                    await self.made._clone(UPSTREAM)
                self.assertEqual(caught.exception.again_s, bootstrap.COPY_AGAIN_S)
                self.assertFalse(os.path.exists(self.settings.data))
                base_backup.set_aside(self.settings)

    async def test_a_copy_whose_container_ended_while_it_took_its_place_is_finished(self):
        side = base_backup.side_directory(self.settings)
        await self.run_tool(["pg_basebackup"])
        statefile.replace(base_backup._marker(self.settings), base_backup._OLD_GOES)
        self.assertIsNone(await self.made._attempt(0.0))
        self.assertTrue(os.path.exists(os.path.join(self.settings.data, "base", "5")))
        self.assertFalse(os.path.exists(side))


if __name__ == "__main__":
    unittest.main()

import asyncio
import os
import tempfile
import types
import unittest
import unittest.mock

import support  # noqa: F401

from veloz_agent import postgres_agent
from veloz_agent.errors import CommandError
from veloz_agent.postgres_agent import PostgresAgent
from veloz_agent.settings import PostgresSettings

MB = 1024 * 1024


class DiskWatchTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        settings = PostgresSettings({"VELOZ_NODE": "a"})
        settings.volume = settings.own = directory.name
        settings.data = os.path.join(directory.name, "data")
        self.agent = PostgresAgent(settings)
        self.free = 100 * MB
        patch = unittest.mock.patch.object(
            postgres_agent.os, "statvfs", lambda _path: types.SimpleNamespace(f_bavail=self.free // 4096, f_frsize=4096)
        )
        patch.start()
        self.addCleanup(patch.stop)

    def watch(self, wait_ms):
        return self.agent.commands["watchDisk"]({"belowBytes": 16 * MB, "waitMs": wait_ms})

    async def test_it_answers_as_soon_as_the_volume_is_full(self):
        watching = asyncio.ensure_future(self.watch(10_000))
        await asyncio.sleep(0.1)
        self.assertFalse(watching.done())
        self.free = 0
        self.assertEqual(await asyncio.wait_for(watching, 5), {"freeBytes": 0})
        self.assertEqual(await self.watch(10_000), {"freeBytes": 0})

    async def test_it_answers_after_the_time_asked_for_when_there_is_room(self):
        self.assertEqual(await asyncio.wait_for(self.watch(30), 5), {"freeBytes": 100 * MB})

    async def test_what_makes_no_sense_is_refused(self):
        for message in ({}, {"belowBytes": -1, "waitMs": 10}, {"belowBytes": 1, "waitMs": 0}):
            with self.assertRaises(CommandError):
                await self.agent.watch_disk(message)


if __name__ == "__main__":
    unittest.main()

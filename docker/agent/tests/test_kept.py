import asyncio
import unittest
from unittest import mock

import support  # noqa: F401

from veloz_agent import kept


class KeptTest(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.now = 100.0
        self.took_s = 0.0
        self.asked = 0
        self.found = "well"
        patch = mock.patch.object(kept.time, "monotonic", lambda: self.now)
        patch.start()
        self.addCleanup(patch.stop)

    async def ask(self):
        self.asked += 1
        await asyncio.sleep(0)
        self.now += self.took_s
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def kept(self, kept_s=3):
        return kept.Kept(self.ask, lambda found: found == "well", kept_s)

    async def times_asked(self, each, after_s, **how):
        self.asked = 0
        await each.answer(**how)
        self.now += after_s
        await each.answer(**how)
        return self.asked

    async def test_what_was_well_is_kept_and_longer_for_who_wants_it_so(self):
        self.assertEqual(await self.times_asked(self.kept(), 2.9), 1)
        self.assertEqual(await self.times_asked(self.kept(), 3.1), 2)
        self.assertEqual(await self.times_asked(self.kept(), 19, kept_s=20), 1)
        self.assertEqual(await self.times_asked(self.kept(), 2.9, kept_s=1), 1)

    async def test_what_was_wrong_is_kept_no_longer_than_it_took_to_find(self):
        self.found, self.took_s = "wrong", 2.5
        self.assertEqual(await self.times_asked(self.kept(), 2.4, kept_s=20), 1)
        self.assertEqual(await self.times_asked(self.kept(), 2.6, kept_s=20), 2)
        self.took_s = 0.002
        self.assertEqual(await self.times_asked(self.kept(), 0.01, kept_s=20), 2)

    async def test_what_is_mended_is_well_at_the_next_question(self):
        self.found, each = "wrong", self.kept()
        self.assertEqual(await each.answer(), "wrong")
        self.found, self.now = "well", self.now + 0.01
        self.assertEqual(await each.answer(), "well")

    async def test_several_who_ask_at_once_cost_one_try_and_one_who_goes_away_ends_it_for_nobody(self):
        each = self.kept()
        first = asyncio.ensure_future(each.answer())
        second = asyncio.ensure_future(each.answer())
        await asyncio.sleep(0)
        first.cancel()
        self.assertEqual((await second, self.asked), ("well", 1))

    async def test_a_try_that_raises_is_told_to_all_who_wait_and_tried_again(self):
        self.found, each = OSError("gone"), self.kept()
        told = await asyncio.gather(each.answer(), each.answer(), return_exceptions=True)
        self.assertEqual(([str(one) for one in told], self.asked), (["gone", "gone"], 1))
        self.found = "well"
        self.assertEqual(await each.answer(), "well")


if __name__ == "__main__":
    unittest.main()

import asyncio
import signal
import unittest
import unittest.mock

import support  # noqa: F401

from veloz_agent import pgbouncer_agent
from veloz_agent.pgbouncer_agent import HANG_TIMES, PgBouncerAgent
from veloz_agent.settings import PgBouncerSettings


class HangTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        for name, value in (("log", unittest.mock.Mock()), ("HANG_ASK_EVERY_S", 0.001)):
            patch = unittest.mock.patch.object(pgbouncer_agent, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        self.agent = PgBouncerAgent(PgBouncerSettings({"VELOZ_PG_ROUTE": "a:5432"}))
        self.agent.server = unittest.mock.Mock()
        self.agent._ready = True
        self.asked = 0
        self.answers = []
        self.agent.console = unittest.mock.Mock(ask=self.ask)

    async def ask(self, _sql):
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        return []

    async def watch(self, times):
        """Until the console was asked so often."""
        task = asyncio.ensure_future(self.agent._end_what_hangs())
        try:
            async with asyncio.timeout(5):
                while self.asked < times:
                    await asyncio.sleep(0.001)
        finally:
            task.cancel()

    async def test_one_that_gives_no_answer_again_and_again_is_ended_and_that_is_told(self):
        self.answers = [asyncio.TimeoutError()] * HANG_TIMES
        await self.watch(HANG_TIMES + 1)
        self.agent.server.signal.assert_called_once_with(signal.SIGKILL)
        self.assertIn("was ended: it hung", self.agent.last_correction["did"])

    async def test_one_answer_among_silences_counts_anew(self):
        silence = [asyncio.TimeoutError()] * (HANG_TIMES - 1)
        self.answers = [*silence, None, *silence]
        await self.watch(2 * HANG_TIMES)
        self.agent.server.signal.assert_not_called()

    async def test_who_refuses_does_not_hang(self):
        self.answers = [ConnectionRefusedError("no")] * 20
        await self.watch(20)
        self.agent.server.signal.assert_not_called()

    async def test_while_clients_are_held_the_hold_decides(self):
        self.agent.hold = unittest.mock.Mock()
        task = asyncio.ensure_future(self.agent._end_what_hangs())
        await asyncio.sleep(0.05)
        task.cancel()
        self.assertEqual(self.asked, 0)
        self.agent.server.signal.assert_not_called()


if __name__ == "__main__":
    unittest.main()

import os
import tempfile
import unittest
import unittest.mock
from dataclasses import replace

import support  # noqa: F401

from veloz_agent import peer_role
from veloz_agent.errors import CommandError
from veloz_agent.peer_channel import ChannelError
from veloz_agent.peers import Answer
from veloz_agent.postgres_agent import PostgresAgent
from veloz_agent.settings import PostgresSettings

REFUSED = Answer("b", 5432, speaks=True, problem="password authentication failed")
SAYS = {"node": "b", "answer": "primary", "state": "running", "timeline": 4, "systemIdentifier": "1"}


class PeerRoleTest(unittest.IsolatedAsyncioTestCase):
    async def clarified(self, reply, given=REFUSED, timeline=4):
        async def ask_agent(host, content, _limit_ms):
            self.assertEqual((host, content), ("b", {"do": "role", "from": "a", "to": "b"}))
            if isinstance(reply, Exception):
                raise reply
            return reply

        (found,) = await peer_role.clarify([given], "a", timeline, ask_agent)
        return found

    async def test_the_agent_of_a_server_that_does_not_say_tells_that_it_is_the_primary(self):
        found = await self.clarified(SAYS)
        self.assertEqual((found.writable, found.timeline, found.system_identifier), (True, 4, "1"))

    async def test_one_that_recovers_counts_only_on_a_newer_timeline(self):
        for timeline, writable in ((3, True), (4, False)):
            self.assertEqual((await self.clarified({**SAYS, "state": "starting"}, timeline=timeline)).writable, writable)
        self.assertFalse((await self.clarified({**SAYS, "state": "stopping"}, timeline=3)).writable)

    async def test_a_standby_is_one(self):
        found = await self.clarified({**SAYS, "answer": "standby"})
        self.assertEqual((found.writable, found.standby), (False, True))

    async def test_what_is_said_by_nobody_or_by_another_changes_nothing(self):
        old = {"answer": "refused", "why": "do: expected revoke"}
        for reply in (TimeoutError(), ChannelError("x"), OSError("x"), old, {**SAYS, "node": "c"}, {**SAYS, "timeline": "4"}):
            with self.subTest(reply=reply):
                self.assertEqual(await self.clarified(reply), REFUSED)

    async def test_who_has_answered_or_is_not_there_is_not_asked(self):
        for given in (replace(REFUSED, standby=True), replace(REFUSED, speaks=False)):
            self.assertEqual(await self.clarified(AssertionError("was asked"), given), given)

    def test_an_agent_answers_what_is_meant_for_it(self):
        control = {"timeline": 4, "systemIdentifier": "1", "state": "in production"}
        self.assertEqual(peer_role.answer("b", {"to": "b"}, "running", False, control), SAYS)
        with self.assertRaises(CommandError):
            peer_role.answer("b", {"to": "c"}, "running", False, control)

    async def test_the_start_up_guard_keeps_a_node_down_beside_a_primary_that_does_not_let_it_in(self):
        with tempfile.TemporaryDirectory() as volume:
            settings = PostgresSettings({"VELOZ_NODE": "a", "VELOZ_PG_PEERS": "b:5432"})
            settings.own, settings.data = os.path.join(volume, "veloz"), os.path.join(volume, "data")
            agent = PostgresAgent(settings)
            agent.system_identifier = "1"
            agent.control = lambda: {"timeline": 3, "systemIdentifier": "1"}
            agent.ask = unittest.mock.AsyncMock(return_value=[REFUSED])
            agent._ask_agent = unittest.mock.AsyncMock(return_value=SAYS)
            with unittest.mock.patch("veloz_agent.postgres_server.asyncio.sleep", unittest.mock.AsyncMock()):
                self.assertIn("b:5432 is a writable primary on timeline 4", await agent._guard())
                agent._ask_agent.return_value = {**SAYS, "answer": "standby"}
                self.assertIsNone(await agent._guard())


if __name__ == "__main__":
    unittest.main()

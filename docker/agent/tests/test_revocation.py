import asyncio
import os
import tempfile
import unittest
import unittest.mock

import support  # noqa: F401

from veloz_agent import peer_channel, postgres_agent, revocation, statefile
from veloz_agent.errors import CommandError
from veloz_agent.node_files import NodeFiles
from veloz_agent.peer_channel import ChannelError
from veloz_agent.peers import Answer
from veloz_agent.postgres_agent import PostgresAgent
from veloz_agent.settings import PostgresSettings

UPSTREAM = {"host": "b", "port": 5432}
OTHER = {"host": "c", "port": 5432}
FENCE = {"run": "r", "upstream": UPSTREAM}
REVOKED = {"answer": "revoked", "node": "b", "run": "r"}


def standby(host="b"):
    return Answer(host, 5432, standby=True, speaks=True, system_identifier="1")


def primary(host="b", system="1"):
    return Answer(host, 5432, writable=True, speaks=True, timeline=2, system_identifier=system)


def silent(host="b"):
    return Answer(host, 5432, problem="no answer within 300 ms")


class WayBackTest(unittest.IsolatedAsyncioTestCase):
    async def decide(self, reply, target=standby(), other=silent("c")):
        async def ask_agent(host, content, _limit_ms):
            self.assertEqual((host, content), ("b", {"do": "revoke", "run": "r", "from": "a", "to": "b"}))
            if isinstance(reply, Exception):
                raise reply
            return reply

        async def ask_servers(addresses):
            return [target if address == UPSTREAM else other for address in addresses]

        return (await revocation.way_back(FENCE, "a", [UPSTREAM, OTHER], ask_agent, ask_servers))[0]

    async def test_only_a_clear_revocation_leads_back(self):
        self.assertTrue(await self.decide(REVOKED))
        self.assertTrue(await self.decide(REVOKED, other=standby("c")))
        for reply in (
            {**REVOKED, "answer": "asked"},
            {**REVOKED, "answer": "refused", "why": "x"},
            {**REVOKED, "node": "c"},
            {**REVOKED, "run": "s"},
            {},
            TimeoutError(),
            ChannelError("not authentic"),
            ConnectionRefusedError(),
        ):
            with self.subTest(reply=reply):
                self.assertFalse(await self.decide(reply))

    async def test_a_server_that_writes_or_a_target_that_does_not_confirm_speaks_against_it(self):
        for target in (primary(), silent(), Answer("b", 5432, speaks=True, problem="starting up")):
            self.assertFalse(await self.decide(REVOKED, target=target))
        self.assertFalse(await self.decide(REVOKED, other=primary("c")))
        self.assertFalse(await self.decide(REVOKED, other=primary("c", system="2")))

    def test_a_question_for_another_node_is_refused(self):
        content = revocation.question(FENCE, "a")
        self.assertEqual(revocation.run_of(content, "b"), "r")
        for wrong in ({**content, "to": "c"}, {**content, "do": "promote"}, {**content, "run": None}, {}):
            self.assertRaises(CommandError, revocation.run_of, wrong, "b")


class AgentTest(unittest.IsolatedAsyncioTestCase):
    """The real agent on a directory of its own, without a server."""

    async def asyncSetUp(self):
        for module in ("postgres_agent", "fencing", "node", "postgres_server"):
            patch = unittest.mock.patch(f"veloz_agent.{module}.log")
            patch.start()
            self.addCleanup(patch.stop)
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.replies = [REVOKED]
        self.servers = {"b": standby(), "c": silent("c")}
        self.asked = []

    def agent(self, node, is_standby):
        settings = PostgresSettings({"VELOZ_NODE": node, "VELOZ_PG_PEERS": "a,b,c"})
        settings.own = os.path.join(self.directory.name, node)
        settings.data = os.path.join(settings.own, "data")
        os.makedirs(settings.data, exist_ok=True)
        statefile.replace(os.path.join(settings.data, "PG_VERSION"), "17\n")
        agent = PostgresAgent(settings)
        self.assertIsInstance(agent.files, NodeFiles)
        if is_standby:
            agent.files.write_signal()
        agent.launch = unittest.mock.Mock()
        agent.ask = self.ask_servers
        agent._ask_agent = self.ask_agent
        agent._channel_key = b"key"
        self.addCleanup(agent.disarm)
        return agent

    async def ask_servers(self, addresses):
        return [self.servers[address["host"]] for address in addresses]

    async def ask_agent(self, host, content, _limit_ms):
        self.asked.append((host, content["run"]))
        return self.replies.pop(0)

    async def refused(self, type_, work):
        with self.assertRaises(CommandError) as caught:
            await work
        self.assertEqual(caught.exception.type, type_)

    # The source.

    async def fenced(self, deadman_ms=40, is_standby=False):
        agent = self.agent("a", is_standby)
        token = {"run": "r", "attempt": 1}
        await agent.claim({"token": token})
        agent.desired = "held"
        agent.arm({"limitMs": deadman_ms, "peers": [UPSTREAM]})
        await agent.fence({"token": token, "upstream": UPSTREAM, "deadmanMs": 60_000})
        self.assertTrue(agent.files.is_standby)
        return agent

    async def expired(self, agent):
        for _ in range(200):
            await asyncio.sleep(0.01)
            if agent.last_expiry and not agent.change.locked():
                break
        self.assertEqual((agent.desired, agent.armed()), ("up", False))
        agent.launch.assert_called_once_with()
        return agent.last_expiry["did"]

    async def test_revoked_it_takes_its_role_back_within_the_limit_of_the_stop(self):
        agent = await self.fenced()
        self.assertIn("takes its role as primary back", await self.expired(agent))
        self.assertEqual(self.asked, [("b", "r")])
        self.assertFalse(agent.files.is_standby)

    async def test_an_expiry_that_fails_is_tried_again(self):
        failures = [OSError("input/output error"), ValueError("pg_control is damaged")]
        with unittest.mock.patch.object(postgres_agent, "EXPIRE_AGAIN_S", 0.02):
            agent = await self.fenced(deadman_ms=300)
            write = agent.files.write_signal

            def write_signal():
                if failures:
                    raise failures.pop()
                write()

            agent.files.write_signal = write_signal
            self.assertIn("takes its role as primary back", await self.expired(agent))
        self.assertEqual(failures, [])

    async def test_asked_it_becomes_a_standby(self):
        self.replies = [{**REVOKED, "answer": "asked", "why": "promoted"}]
        agent = await self.fenced()
        self.assertIn("starts as a standby", await self.expired(agent))
        self.assertTrue(agent.files.is_standby)

    async def test_whatever_goes_wrong_it_becomes_a_standby(self):
        self.replies = []
        agent = await self.fenced()
        self.assertIn("starts as a standby", await self.expired(agent))
        self.assertTrue(agent.files.is_standby)

    async def test_what_was_a_standby_before_the_fence_never_asks(self):
        agent = await self.fenced(is_standby=True)
        self.assertIn("starts as a standby", await self.expired(agent))
        self.assertEqual(self.asked, [])

    async def test_fenced_for_two_targets_it_never_asks(self):
        agent = await self.fenced(100)
        await agent.fence({"token": agent.claims.current, "upstream": OTHER, "deadmanMs": 60_000})
        self.assertIn("starts as a standby", await self.expired(agent))
        self.assertEqual(self.asked, [])

    async def test_a_restarted_container_still_asks_for_the_run_that_fenced(self):
        before = await self.fenced(60)
        before.disarm = lambda: None
        saved = statefile.load_state(before.state_path)
        before.deadman.disarm()
        again = self.agent("a", True)
        with unittest.mock.patch.object(peer_channel.PeerChannel, "listen"):
            await again.prepare(saved)
        again._channel_key = b"key"
        self.assertEqual(again.desired, "fenced")
        self.assertIn("takes its role as primary back", await self.expired(again))
        self.assertEqual(self.asked, [("b", "r")])

    # The target.

    async def target(self):
        agent = self.agent("b", True)
        await agent.claim({"token": {"run": "r", "attempt": 1}})
        agent.server = unittest.mock.Mock(pid=42)
        agent.server_state = lambda: "running"
        return agent

    async def ask_target(self, agent, run="r"):
        return await agent.answer_peer({"do": "revoke", "run": run, "from": "a", "to": "b"})

    async def test_a_revoked_run_can_not_promote_by_any_attempt_nor_after_a_restart(self):
        agent = await self.target()
        self.assertEqual(await self.ask_target(agent), REVOKED)
        self.assertEqual(await self.ask_target(agent), REVOKED)
        self.assertEqual(statefile.load_state(agent.state_path)["revoked"], "r")
        for attempt in (1, 2):
            token = {"run": "r", "attempt": attempt}
            await agent.claim({"token": token})
            await self.refused("Revoked", agent.promote({"token": token}))
        agent.server.signal.assert_not_called()
        await agent.claim({"token": {"run": "s", "attempt": 1}})
        await agent.promote({"token": {"run": "s", "attempt": 1}})
        agent.server.signal.assert_called_once()

    async def test_a_promotion_that_was_asked_for_is_not_revoked(self):
        agent = await self.target()
        await agent.promote({"token": {"run": "r", "attempt": 1}})
        self.assertEqual((await self.ask_target(agent))["answer"], "asked")
        # Nor when the server or its container was restarted meanwhile.
        agent.server = agent.promoting_pid = None
        self.assertEqual((await self.ask_target(agent))["answer"], "asked")
        self.assertEqual(statefile.load_state(agent.state_path)["promotion"]["run"], "r")
        self.assertIsNone(agent.claims.revoked)

    async def test_of_a_question_and_a_promotion_at_the_same_time_one_wins(self):
        for first in ("promote", "revoke"):
            agent = await self.target()
            agent.promotion = agent.promoting_pid = agent.claims.revoked = None
            promote = agent.promote({"token": {"run": "r", "attempt": 1}})
            both = [promote, self.ask_target(agent)] if first == "promote" else [self.ask_target(agent), promote]
            results = await asyncio.gather(*both, return_exceptions=True)
            if first == "promote":
                self.assertEqual((results[0], results[1]["answer"]), ({"already": False}, "asked"))
            else:
                self.assertEqual((results[0]["answer"], results[1].type), ("revoked", "Revoked"))

    async def test_a_promoted_node_says_asked_and_one_of_another_run_refuses(self):
        agent = await self.target()
        agent.files.remove_signal()
        self.assertEqual((await self.ask_target(agent))["answer"], "asked")
        agent.files.write_signal()
        await agent.claim({"token": {"run": "s", "attempt": 1}})
        await self.refused("NotRevocable", self.ask_target(agent))
        self.assertIsNone(agent.claims.revoked)


if __name__ == "__main__":
    unittest.main()

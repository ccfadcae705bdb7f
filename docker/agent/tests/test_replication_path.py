import asyncio
import unittest
from types import SimpleNamespace
from unittest import mock

import support  # noqa: F401

from veloz_agent import replication_path
from veloz_agent.wire import LoginError, ServerError

PEER = {"host": "b", "port": 5432}
SETTINGS = SimpleNamespace(repl_user="replicator", repl_password="secret", peers=[PEER])


class ReplicationPathTest(unittest.TestCase):
    def tried(self, outcome, times=1, kept_s=0):
        """`outcome`: what opening a session does. Returns the answer, and what was asked for."""
        asked = []

        class Session:
            async def query(self, sql):
                asked.append(sql)
                return [{}]

            def close(self):
                asked.append("closed")

        async def open_session(host, port, user, password, database, extra):
            asked.append((host, port, user, password, database, extra))
            if outcome == "silence":
                await asyncio.sleep(60)
            if isinstance(outcome, Exception):
                raise outcome
            return Session()

        async def run():
            path = replication_path.ReplicationPath(SETTINGS)
            for _ in range(times):
                # What was wrong counts for as long as it took to find.
                await asyncio.sleep(0.02)
                found = await path.answer(kept_s)
            return found

        with mock.patch.object(replication_path, "open_session", open_session):
            with mock.patch.object(replication_path, "LIMITS_S", (0.01, 0.02)):
                return asyncio.run(run()), asked

    def test_a_session_for_replication_is_opened_and_closed(self):
        found, asked = self.tried(None)
        self.assertEqual(found, [{**PEER, "ok": True, "problem": None}])
        self.assertEqual(asked[0], ("b", 5432, "replicator", "secret", "replication", {"replication": "true"}))
        self.assertEqual(asked[1:], ["IDENTIFY_SYSTEM", "closed"])

    def test_only_what_was_well_is_kept_for_as_long_as_who_asks_wants(self):
        self.assertEqual(self.tried(None, times=3, kept_s=60)[1].count("IDENTIFY_SYSTEM"), 1)
        self.assertEqual(self.tried(None, times=3)[1].count("IDENTIFY_SYSTEM"), 3)
        refused = ServerError({"C": "28P01", "M": "no"})
        self.assertEqual(len(self.tried(refused, times=3, kept_s=60)[1]), 3)

    def test_a_role_that_is_refused_is_told_in_the_servers_words(self):
        error = ServerError({"C": "28P01", "M": 'password authentication failed for user "replicator"'})
        (found,), asked = self.tried(error)
        self.assertEqual((found["ok"], found["problem"]), (False, 'password authentication failed for user "replicator" (28P01)'))
        self.assertEqual(len(asked), 1)

    def test_a_peer_that_asks_for_a_proof_that_nobody_has_here_refuses(self):
        (found,), asked = self.tried(LoginError("the server asks for GSSAPI"))
        self.assertEqual((found["ok"], found["problem"], len(asked)), (False, "the server asks for GSSAPI", 1))

    def test_a_peer_that_is_silent_gone_or_starting_is_not_known(self):
        (found,), asked = self.tried("silence")
        self.assertEqual((found["ok"], found["problem"], len(asked)), (None, "no answer within 0.02 s", 2))
        for error in (OSError("connection refused"), ServerError({"C": "57P03", "M": "the database system is starting up"})):
            (found,), _ = self.tried(error)
            self.assertIsNone(found["ok"])


if __name__ == "__main__":
    unittest.main()

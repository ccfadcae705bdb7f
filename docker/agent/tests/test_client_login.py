import asyncio
import unittest
from types import SimpleNamespace
from unittest import mock

import support  # noqa: F401

from veloz_agent import client_login
from veloz_agent.wire import LoginError, ServerError

NODE = {"host": "b", "port": 5432}
SETTINGS = SimpleNamespace(user="veloz", password="secret", database="orders")


class ClientLoginTest(unittest.TestCase):
    def tried(self, outcome, times=1, config=(), **message):
        """`outcome`: the value of the setting, or what opening a session raises. Returns the answer, and who was let in where."""
        asked = []

        class Session:
            """Has no `query`: a login is all that is tried."""

            reported = {"default_transaction_read_only": outcome}

            def close(self):
                asked.append("closed")

        async def open_session(host, port, user, password, database, _extra, tls):
            self.tls = tls
            asked.append((host, port, user, password, database))
            if isinstance(outcome, Exception):
                raise outcome
            return Session()

        class Console:
            async def ask(self, sql):
                assert sql == "SHOW CONFIG"
                if isinstance(config, Exception):
                    raise config
                return [{"key": "max_client_conn", "value": "1000"}, *config]

        async def run():
            login = client_login.ClientLogin(SETTINGS, Console())
            for _ in range(times):
                # What was wrong counts for as long as it took to find.
                await asyncio.sleep(0.02)
                found = await login.answer({"addresses": [NODE], **message})
            return found

        with mock.patch.object(client_login.Connection, "open", open_session):
            found = asyncio.run(run())
        self.assertEqual((found["user"], found["database"]), ("veloz", "orders"))
        return found["answers"][0], asked

    def test_a_client_that_is_let_in_tells_whether_it_could_write(self):
        for value, read_only in (("off", False), ("on", True)):
            found, asked = self.tried(value)
            self.assertEqual(found, {**NODE, "ok": True, "code": None, "readOnly": read_only, "problem": None})
            self.assertEqual(asked, [("b", 5432, "veloz", "secret", "orders"), "closed"])

    def test_only_what_was_well_is_kept_for_as_long_as_who_asks_wants(self):
        refused = ServerError({"C": "28000", "M": "no"})
        for outcome, again in (("off", 0), ("on", 1), (refused, 1)):
            _, asked = self.tried(outcome, times=2, keptMs=60_000)
            logins = [each for each in asked if each != "closed"]
            self.assertEqual(len(logins), 1 + again, outcome)
            _, asked = self.tried(outcome, times=2)
            self.assertEqual(len([each for each in asked if each != "closed"]), 2)

    def test_a_refusal_is_told_in_the_servers_words_with_its_code(self):
        found, _ = self.tried(ServerError({"C": "28000", "M": "pg_hba.conf rejects connection"}))
        self.assertEqual((found["ok"], found["code"], found["problem"]), (False, "28000", "pg_hba.conf rejects connection (28000)"))

    def test_a_node_that_wants_another_proof_than_there_is_refuses(self):
        found, asked = self.tried(LoginError("the server asks for GSSAPI"))
        self.assertEqual((found["ok"], found["code"], found["problem"], len(asked)), (False, None, "the server asks for GSSAPI", 1))

    def test_tls_is_asked_for_as_pgbouncer_asks_for_it(self):
        for mode, tls in (("disable", "disable"), ("allow", "prefer"), ("prefer", "prefer"), ("require", "require"), ("verify-full", "require")):
            self.tried("off", config=({"key": "server_tls_sslmode", "value": mode},))
            self.assertEqual((mode, self.tls), (mode, tls))
        for silent in ((), OSError("no console")):
            self.tried("off", config=silent)
            self.assertEqual(self.tls, "prefer")

    def test_a_node_that_can_not_be_reached_is_tried_twice(self):
        found, asked = self.tried(OSError("connection refused"))
        self.assertEqual((found["ok"], found["problem"], len(asked)), (None, "connection refused", 2))


if __name__ == "__main__":
    unittest.main()

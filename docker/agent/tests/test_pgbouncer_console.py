import unittest

import support  # noqa: F401

from veloz_agent.pgbouncer_console import Console
from veloz_agent.settings import PgBouncerSettings
from veloz_agent.wire import ServerError


class EndClientsTest(unittest.IsolatedAsyncioTestCase):
    async def test_only_clients_on_a_server_connection_of_the_pool_are_ended(self):
        console = Console(PgBouncerSettings({"VELOZ_PG_DATABASE": "veloz"}))
        killed = []

        async def ask(sql):
            if sql == "SHOW SERVERS":
                return [
                    {"database": "veloz", "state": "active", "link": "0xc1"},
                    {"database": "veloz", "state": "active", "link": "0xc4"},
                    {"database": "veloz", "state": "idle", "link": ""},
                    {"database": "other", "state": "active", "link": "0xc3"},
                ]
            if sql == "SHOW CLIENTS":
                return [
                    {"database": "veloz", "ptr": "0xc1", "id": "1"},
                    {"database": "veloz", "ptr": "0xc2", "id": "2"},
                    {"database": "other", "ptr": "0xc3", "id": "3"},
                    {"database": "veloz", "ptr": "0xc4", "id": "4"},
                ]
            killed.append(sql)
            if sql.endswith("4"):
                raise ServerError({"M": "client not found", "C": "08P01"})
            return []

        console.ask = ask
        self.assertEqual(await console.end_clients_of_busy_servers(), 1)
        self.assertEqual(killed, ["KILL_CLIENT 1", "KILL_CLIENT 4"])


class UnusedTest(unittest.IsolatedAsyncioTestCase):
    async def test_a_server_connection_of_the_pool_that_is_in_use_is_waited_for(self):
        console = Console(PgBouncerSettings({"VELOZ_PG_DATABASE": "veloz"}))
        free = {"database": "veloz", "sv_active": "0", "sv_tested": "0", "sv_idle": "3"}
        other = {**free, "database": "other", "sv_active": "1"}
        answers = [[free, {**free, "sv_active": "1"}, other], [{**free, "sv_tested": "1"}, other], [free, other]]

        async def ask(sql):
            self.assertEqual(sql, "SHOW POOLS")
            return answers.pop(0)

        console.ask = ask
        await console.until_unused()
        self.assertEqual(answers, [])


class ResumeTest(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.console = Console(PgBouncerSettings({"VELOZ_PG_DATABASE": "veloz"}))
        self.console.ask = self.ask
        self.database = False
        self.mode = "active"
        self.ends = False
        self.asked = []

    async def ask(self, sql):
        """As PgBouncer 1.24 answers, by its source (admin.c)."""
        self.asked.append(sql)
        if sql == "SHOW STATE":
            return [{"key": key, "value": "yes" if key == self.mode else "no"} for key in ("active", "paused", "suspended")]
        if sql == "SHOW DATABASES":
            return [{"name": "veloz", "paused": "1" if self.database else "0"}]
        if sql == 'RESUME "veloz"':
            if not self.database:
                raise ServerError({"M": "database veloz is not paused", "C": "08P01"})
            self.database = False
        if sql == "RESUME":
            if self.ends:
                raise ServerError({"M": "pooler is shutting down", "C": "08P01"})
            if self.mode == "active":
                raise ServerError({"M": "pooler is not paused/suspended", "C": "08P01"})
            self.mode = "active"
        return []

    async def test_clients_go_whatever_keeps_them(self):
        for database in (True, False):
            for mode in ("active", "paused", "suspended"):
                self.database, self.mode = database, mode
                await self.console.resume()
                self.assertEqual((self.database, await self.console.halted()), (False, None))

    async def test_a_pool_alone_is_resumed_first_and_nothing_else_is_asked_for(self):
        self.database = True
        await self.console.resume()
        self.assertEqual(self.asked, ['RESUME "veloz"', "SHOW STATE"])

    async def test_one_that_is_told_to_end_lets_go_by_its_end(self):
        self.mode, self.ends = "paused", True
        await self.console.resume()
        self.assertEqual(await self.console.resume_all(), "paused")


if __name__ == "__main__":
    unittest.main()

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


if __name__ == "__main__":
    unittest.main()

import asyncio
import unittest
from types import SimpleNamespace
from unittest import mock

import support  # noqa: F401

from veloz_agent import replay_blockers

SETTINGS = SimpleNamespace(ha_user="veloz_ha")
SNAPSHOT = {"pid": "20", "kind": "IPC", "event": "RecoveryConflictSnapshot", "replayed": "0/5"}
LOCK = {"pid": "20", "kind": "Lock", "event": "relation", "replayed": "0/5"}


class Standby:
    """Replay waits until all readers that are in its way are ended."""

    def __init__(self, wait, readers):
        self.wait = wait
        self.readers = list(readers)
        self.asked = []
        self.woken = []
        self.looks = 0

    async def query(self, sql):
        if sql.startswith("SELECT pid::text, wait_event_type"):
            self.looks += 1
            wait = self.wait(self.looks) if callable(self.wait) else self.wait
            return [wait] if wait and self.readers else []
        self.asked.append(sql)
        count = int(sql.split("LIMIT ")[1].split(")")[0]) if "LIMIT" in sql else len(self.readers)
        now, self.readers = self.readers[:count], self.readers[count:]
        return [{"pid": str(pid), "ended": "true"} for pid in now]

    def close(self):
        pass


class ReplayBlockersTest(unittest.TestCase):
    def end(self, standby, looks=12, opens=None):
        async def superuser(_settings):
            if opens:
                raise opens.pop()
            return standby

        def wanted():
            return standby.looks < looks

        with mock.patch.object(replay_blockers.control_database, "superuser", superuser):
            with mock.patch.multiple(replay_blockers, EVERY_S=0, AGAIN_S=0, ENDS_S=0, _wake=standby.woken.append):
                return asyncio.run(replay_blockers.end_while(SETTINGS, wanted, 0))

    def test_nobody_is_ended_while_replay_goes_on(self):
        standby = Standby(None, [1, 2])
        self.assertEqual((self.end(standby), standby.readers, standby.woken), (0, [1, 2], []))

    def test_a_wait_of_a_moment_ends_nobody(self):
        standby = Standby(lambda look: {**SNAPSHOT, "replayed": f"0/{look}"}, [1, 2])
        self.assertEqual((self.end(standby), standby.readers), (0, [1, 2]))

    def test_the_oldest_first_and_then_ever_more_until_replay_goes_on(self):
        standby = Standby(SNAPSHOT, range(1, 8))
        self.assertEqual((self.end(standby), standby.readers), (7, []))
        self.assertEqual(len(standby.asked), 3)
        self.assertIn("ORDER BY usename = 'veloz_ha', age(backend_xmin) DESC", standby.asked[0])

    def test_of_a_lock_only_those_who_have_it(self):
        standby = Standby(LOCK, [1])
        self.assertEqual(self.end(standby), 1)
        self.assertIn("WHERE w.pid = 20 AND NOT w.granted", standby.asked[0])
        self.assertEqual(standby.woken, [20])

    def test_a_server_that_takes_no_session_yet_is_asked_again(self):
        standby = Standby(SNAPSHOT, [1])
        self.assertEqual(self.end(standby, opens=[OSError("starting up")]), 1)


if __name__ == "__main__":
    unittest.main()

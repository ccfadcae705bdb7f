import os
import tempfile
import unittest
import unittest.mock

import support  # noqa: F401

from veloz_agent import missing_tablespaces, statefile, tablespaces
from veloz_agent.postgres_agent import PostgresAgent
from veloz_agent.settings import PostgresSettings
from veloz_agent.wal_end import WalReader

UPSTREAM = {"host": "b", "port": 5432}
CONTROL = {"checkpointTimeline": 2, "redoLsn": "0/2000028"}


class MakeTest(unittest.IsolatedAsyncioTestCase):
    """A standby is about to start, of whose upstream and whose WAL the tests say what they know."""

    def setUp(self):
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.root = held.name
        self.settings = PostgresSettings({"VELOZ_NODE": "a"})
        self.settings.data = self.at("data")
        os.makedirs(self.at("data", "pg_tblspc"))
        self.log = unittest.mock.Mock()
        self.read = []
        for target, value in (
            ("log", self.log),
            ("read_control", lambda *_: CONTROL),
            ("created", unittest.mock.AsyncMock(side_effect=self.created)),
        ):
            patch = unittest.mock.patch.object(missing_tablespaces, target, value)
            patch.start()
            self.addCleanup(patch.stop)

    def at(self, *names):
        return os.path.join(self.root, *names)

    def created(self, _reader, control):
        self.read.append(control)
        return {self.at("of-wal")}

    async def make(self, theirs, crashes=1, upstream=UPSTREAM):
        ask = unittest.mock.AsyncMock(**{"side_effect" if isinstance(theirs, Exception) else "return_value": theirs})
        with unittest.mock.patch.object(tablespaces, "of", ask):
            await missing_tablespaces.make(self.settings, upstream, None, crashes)
        return sorted(name for name in os.listdir(self.root) if name != "data")

    async def test_what_the_upstream_has_is_made(self):
        self.assertEqual(await self.make({"16400": self.at("ts1"), "16401": self.at("ts2")}), ["ts1", "ts2"])
        self.assertEqual(self.read, [])
        self.assertIn(self.at("ts1"), self.log.call_args.args[1])

    async def test_a_link_that_leads_nowhere_is_left_since_what_lay_there_is_lost(self):
        os.symlink(self.at("ts1"), self.at("data", "pg_tblspc", "16400"))
        self.assertEqual(await self.make({"16400": self.at("ts1")}), [])

    async def test_one_that_the_upstream_has_dropped_is_found_in_the_wal_from_the_second_crash_on(self):
        self.assertEqual(await self.make({}), [])
        self.assertEqual(await self.make({}, crashes=2), ["of-wal"])
        self.assertEqual(self.read, [CONTROL])

    async def test_a_server_that_ends_for_another_reason_does_not_read_it_before_each_start(self):
        for crashes in range(1, 11):
            await self.make({}, crashes=crashes)
        self.assertEqual(len(self.read), 4)

    async def test_so_is_one_of_an_upstream_that_is_gone(self):
        self.assertEqual(await self.make(ConnectionRefusedError()), [])
        self.assertEqual(await self.make(ConnectionRefusedError(), crashes=2), ["of-wal"])
        os.rmdir(self.at("of-wal"))
        self.assertEqual(await self.make({}, crashes=2, upstream=None), ["of-wal"])

    async def test_what_can_not_be_read_or_made_keeps_nothing_from_its_start(self):
        with unittest.mock.patch.object(missing_tablespaces, "created", side_effect=ValueError("torn")):
            self.assertEqual(await self.make({"16400": "/proc/no/ts1"}, crashes=2), [])
        self.assertIn("/proc/no/ts1", self.log.call_args.args[1])


class StartTest(unittest.IsolatedAsyncioTestCase):
    """The agent starts its server again, which ended by itself."""

    async def start(self, standby, fails=None):
        with tempfile.TemporaryDirectory() as volume, unittest.mock.patch("veloz_agent.postgres_server.log"):
            settings = PostgresSettings({"VELOZ_NODE": "a"})
            settings.data, settings.own = os.path.join(volume, "data"), os.path.join(volume, "veloz")
            os.makedirs(settings.own)
            os.makedirs(settings.data)
            statefile.replace(os.path.join(settings.data, "PG_VERSION"), "17\n")
            agent = PostgresAgent(settings)
            self.addCleanup(agent.disarm)
            agent.files.write_upstream(UPSTREAM)
            if standby:
                agent.files.write_signal()
            done = []
            agent.launch = lambda: done.append("launched")
            agent._guard = unittest.mock.AsyncMock(return_value=None)
            agent.end_leftovers = unittest.mock.AsyncMock(return_value=None)
            agent.crashes.add(1, 10, 0)

            async def make(_settings, upstream, _reader, crashes):
                done.append((upstream, crashes))
                if fails:
                    raise fails

            with unittest.mock.patch.object(missing_tablespaces, "make", make):
                await agent._start_when_allowed(0)
            return done

    async def test_directories_are_made_before_a_standby_starts_and_not_before_a_primary(self):
        self.assertEqual(await self.start(standby=True), [(UPSTREAM, 1), "launched"])
        self.assertEqual(await self.start(standby=False), ["launched"])

    async def test_whatever_is_odd_about_them_the_start_is_tried(self):
        self.assertEqual(await self.start(standby=True, fails=KeyError("odd")), [(UPSTREAM, 1), "launched"])


class CreatedTest(unittest.IsolatedAsyncioTestCase):
    async def test_those_of_the_wal_that_is_to_be_replayed_on_this_timeline_and_on_newer_ones(self):
        with tempfile.TemporaryDirectory() as data:
            reader = WalReader(None, "/bin", data)
            os.mkdir(reader.pg_wal)
            for name in ("00000001", "00000002", "00000003"):
                with open(os.path.join(reader.pg_wal, f"{name}0000000000000002"), "wb") as file:
                    file.truncate(1 << 24)
            with open(os.path.join(reader.pg_wal, "00000003.history"), "w", encoding="utf-8") as file:
                file.write("1\t0/1000000\tno\n2\t0/2800000\tno\n")
            told = {
                2: b'rmgr: Tablespace len (rec/tot): 45/ 45, tx: 748, lsn: 0/02000028, prev 0/0, desc: CREATE 16400 "/v/a \xc3\xa4"\n',
                3: b'rmgr: Tablespace len (rec/tot): 45/ 45, tx: 749, lsn: 0/02800028, prev 0/0, desc: CREATE 16401 "/v/b"\n'
                b"rmgr: Tablespace len (rec/tot): 45/ 45, tx: 750, lsn: 0/02800128, prev 0/0, desc: DROP 16401\n",
            }
            asked = []

            async def dump(timeline, start, take, *options):
                asked.append((timeline, start, *options))
                take(told[timeline])
                return 0

            reader.end_of_timeline = unittest.mock.AsyncMock(return_value="0/2900000")
            reader.dump = dump
            self.assertEqual(await missing_tablespaces.created(reader, CONTROL), {"/v/a \u00e4", "/v/b"})
            rest = ("--end=0/2900000", "--rmgr=Tablespace")
            self.assertEqual(asked[0], (3, "0/2800000", *rest, *["000000030000000000000002"] * 2))
            self.assertEqual(asked[1], (2, "0/2000028", *rest, *["000000020000000000000002"] * 2))


if __name__ == "__main__":
    unittest.main()

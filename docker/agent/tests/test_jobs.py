import asyncio
import os
import tempfile
import unittest
import unittest.mock

import support  # noqa: F401

from veloz_agent import base_backup, jobs, rejoin_jobs, statefile
from veloz_agent.errors import CommandError
from veloz_agent.jobs import Job, JobError
from veloz_agent.postgres_agent import PostgresAgent
from veloz_agent.settings import PostgresSettings

UPSTREAM = {"host": "b", "port": 5432}


def token(run="r", attempt=1):
    return {"run": run, "attempt": attempt}


class JobsTest(unittest.IsolatedAsyncioTestCase):
    """The real agent on a directory of its own; PostgreSQL's tools are played."""

    async def asyncSetUp(self):
        for module in ("postgres_agent", "fencing", "rejoining", "node", "postgres_server", "jobs", "rejoin_jobs"):
            patch = unittest.mock.patch(f"veloz_agent.{module}.log")
            patch.start()
            self.addCleanup(patch.stop)
        for name, value in (
            ("ensure_slot", unittest.mock.AsyncMock()),
            ("read_control", unittest.mock.Mock(return_value={"systemIdentifier": "1"})),
        ):
            patch = unittest.mock.patch.object(rejoin_jobs, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        self.upstream_bytes = 1000
        patch = unittest.mock.patch("veloz_agent.comparison.upstream_size", self.upstream_size)
        patch.start()
        self.addCleanup(patch.stop)
        # The tablespaces and databases of the upstream, and what its agent says of a copy.
        self.name, self.spaces, self.databases, self.uncopied = "b", {}, set(), {"node": "b", "leftOut": None, "unreadable": None}
        for name, value in (
            ("tablespaces.of", unittest.mock.AsyncMock(side_effect=lambda *_: self.spaces)),
            ("copy_check.databases", unittest.mock.AsyncMock(side_effect=lambda *_: self.databases)),
            ("copy_check.name_of", unittest.mock.AsyncMock(side_effect=lambda *_: self.name)),
            ("peer_channel.ask", unittest.mock.AsyncMock(side_effect=lambda *_: self.uncopied)),
        ):
            patch = unittest.mock.patch(f"veloz_agent.{name}", value)
            patch.start()
            self.addCleanup(patch.stop)
        patch = unittest.mock.patch("veloz_agent.comparison.ask_upstream", side_effect=ConnectionRefusedError())
        patch.start()
        self.addCleanup(patch.stop)
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        settings = PostgresSettings({"VELOZ_NODE": "a"})
        settings.volume = self.directory.name
        settings.own = os.path.join(self.directory.name, "veloz")
        settings.data = os.path.join(self.directory.name, "data")
        settings.run = self.directory.name
        settings.socket_dir = self.directory.name
        for path in (settings.own, os.path.join(settings.data, "pg_wal"), os.path.join(settings.data, "global")):
            os.makedirs(path)
        for name in ("PG_VERSION", "postgresql.auto.conf"):
            statefile.replace(os.path.join(settings.data, name), "")
        with open(os.path.join(settings.data, "pg_wal", "000000020000000000000001"), "wb") as file:
            file.truncate(1 << 24)
        self.settings = settings
        self.agent = self.new_agent()
        await self.agent.claim({"token": token()})
        self.agent.desired = "held"
        self.agent.arm({"limitMs": 60_000, "peers": []})
        self.gate = asyncio.Event()
        self.gate.set()
        self.tools = []
        self.outcome = ""

    async def upstream_size(self, _settings, _upstream):
        return self.upstream_bytes

    def new_agent(self):
        agent = PostgresAgent(self.settings)
        agent.launch = unittest.mock.Mock()
        agent.jobs.tool = self.tool
        agent.control = lambda: {"systemIdentifier": "1"}
        agent.wal_reader.end = unittest.mock.AsyncMock(return_value=(2, "0/2000000"))
        agent.wal_reader.dump = unittest.mock.AsyncMock()
        self.addCleanup(agent.disarm)
        return agent

    async def tool(self, job, _upstream, argv):
        self.tools.append(argv[0])
        self.at_work = {
            "signal": self.agent.files.is_standby,
            "mark": self.agent.files.rewind_begun,
            "desired": statefile.load_state(self.agent.state_path)["desired"],
        }
        await self.gate.wait()
        self.agent.jobs._told = self.outcome
        if self.outcome.startswith("error"):
            raise JobError(self.outcome)
        if argv[0] == "pg_basebackup":
            side = argv[argv.index("-D") + 1]
            os.mkdir(side)
            statefile.replace(os.path.join(side, "PG_VERSION"), "17\n")
            statefile.replace(os.path.join(side, "postgresql.auto.conf"), "synchronous_standby_names = ''\n")
            self.make_copy(side)
        return self.outcome

    def make_copy(self, side):
        """What else pg_basebackup copies."""

    async def rewind(self, run="r", **more):
        message = {"token": token(run), "upstream": UPSTREAM, "divergedAt": "0/1000100", "divergedTimeline": 2}
        return await self.agent.rewind({**message, **more})

    async def copy(self, run="r", **more):
        return await self.agent.copy({"token": token(run), "upstream": UPSTREAM, **more})

    async def ended(self):
        async with asyncio.timeout(20):
            while self.agent.jobs.running:
                await asyncio.sleep(0.005)
        return self.agent.jobs.current

    async def refused(self, type_, work):
        with self.assertRaises(CommandError) as caught:
            await work
        self.assertEqual(caught.exception.type, type_)
        return caught.exception

    def start(self, role="standby"):
        return self.agent.start({"token": token(), "as": role})

    async def test_a_rewind_leaves_a_standby_to_be_and_evidence(self):
        result = await self.rewind()
        self.assertEqual((result["already"], result["job"]["state"]), (False, "running"))
        job = await self.ended()
        self.assertEqual((job.state, job.error), ("done", None))
        # While it is at work nothing may start; the signal would keep the crash recovery from its work.
        self.assertEqual(self.at_work, {"signal": False, "mark": True, "desired": "fenced"})
        self.assertTrue(self.agent.files.is_standby and self.agent.files.follows(UPSTREAM))
        self.assertFalse(self.agent.files.rewind_begun)
        self.assertFalse(self.agent.armed())
        self.assertTrue(os.path.isdir(job.quarantine))
        self.assertEqual(job.lost["bytes"], 0x2000000 - 0x1000100)
        self.assertTrue((await self.rewind())["already"])
        await self.start()
        self.agent.launch.assert_called_once_with()

    async def test_nothing_else_touches_the_data_while_a_job_is_at_work(self):
        self.gate.clear()
        await self.copy()
        self.assertTrue((await self.copy())["already"])
        await self.refused("JobRunning", self.rewind())
        await self.refused("JobRunning", self.start())
        await self.refused("JobRunning", self.start("primary"))
        await self.refused("JobRunning", self.agent.discard({"token": token()}))
        fence = {"token": token(), "upstream": UPSTREAM}
        await self.refused("JobRunning", self.agent.fence({**fence, "deadmanMs": 1000}))
        self.assertTrue((await self.agent.fence_now(fence))["already"])
        await self.agent.claim({"token": token("s")})
        await self.refused("JobRunning", self.copy("s"))
        self.gate.set()
        self.assertEqual((await self.ended()).state, "done")
        self.assertFalse((await self.copy("s"))["already"])
        await self.ended()

    async def test_a_running_server_is_refused(self):
        self.agent.desired = "up"
        self.agent.disarm()
        await self.refused("NotStopped", self.copy())
        await self.refused("NotStopped", self.rewind())

    async def test_a_rewind_that_fails_before_it_changes_anything_can_be_tried_again(self):
        self.outcome = "error: could not connect"
        await self.rewind()
        job = await self.ended()
        self.assertEqual((job.state, job.error), ("failed", self.outcome))
        self.assertTrue(self.agent.files.is_standby)
        self.assertFalse(self.agent.files.rewind_begun)
        self.outcome = ""
        self.assertFalse((await self.rewind())["already"])
        self.assertEqual((await self.ended()).state, "done")

    async def test_one_that_fails_later_leaves_only_the_copy(self):
        self.outcome = "error: need to copy 67 MB … lost connection"
        await self.rewind()
        await self.ended()
        await self.refused("RewindBegun", self.rewind())
        await self.refused("RewindBegun", self.start())
        await self.refused("RewindBegun", self.start("primary"))
        self.assertIn("rewind", await self.agent._guard() or "")
        self.outcome = ""
        await self.copy()
        self.assertEqual((await self.ended()).state, "done")
        self.assertFalse(self.agent.files.rewind_begun)
        await self.start()

    async def test_a_copy_after_it_still_tells_what_the_rewind_found_and_where_it_is(self):
        self.agent.wal_reader.dump = unittest.mock.AsyncMock(
            side_effect=lambda _timeline, _start, take, *_: take(b"desc: COMMIT a\n") or 0
        )
        self.outcome = "error: need to copy 67 MB … lost connection"
        await self.rewind()
        found = await self.ended()
        self.assertEqual((found.lost["commits"], found.lost["complete"], found.lost["kept"]), (1, True, True))
        self.outcome = ""
        await self.copy()
        job = await self.ended()
        self.assertEqual((job.state, job.lost, job.quarantine), ("done", found.lost, found.quarantine))

    async def test_nobody_knowing_what_a_copy_drops_is_not_the_same_as_nothing(self):
        # The upstream refuses the comparison.
        await self.copy()
        job = await self.ended()
        self.assertEqual((job.state, job.lost["commits"], job.lost["complete"]), ("done", 0, False))

    async def test_what_only_the_asker_knows_to_have_diverged_is_kept(self):
        compared = {"local": {"walEnd": "0/2000000", "rewindBegun": False}}
        self.agent.wal_reader.dump = unittest.mock.AsyncMock(return_value=0)
        with (
            unittest.mock.patch("veloz_agent.comparison.compare", unittest.mock.AsyncMock(return_value=compared)),
            unittest.mock.patch("veloz_agent.comparison.divergence", return_value=None),
        ):
            await self.copy(divergedAt="0/1000100", divergedTimeline=2)
            job = await self.ended()
        self.assertEqual((job.state, job.lost["fromLsn"], job.lost["kept"]), ("done", "0/1000100", True))

    async def test_of_two_primaries_on_the_first_timeline_nobody_knows_what_a_copy_drops(self):
        compared = {
            "upstream": {"systemIdentifier": "1", "timeline": 1, "writable": True, "lsn": "0/5000000"},
            "history": [],
            "local": {
                "systemIdentifier": "1",
                "timeline": 1,
                "walEnd": "0/2000000",
                "wasPrimary": True,
                "rewindBegun": False,
            },
        }
        with unittest.mock.patch("veloz_agent.comparison.compare", unittest.mock.AsyncMock(return_value=compared)):
            await self.copy()
            job = await self.ended()
        self.assertEqual((job.state, job.lost["commits"], job.lost["complete"]), ("done", 0, False))

    async def test_a_copy_takes_the_place_of_the_data_which_is_discarded_later(self):
        ours = "synchronous_standby_names = 'veloz_standby'\n"
        statefile.replace(os.path.join(self.settings.data, "postgresql.auto.conf"), ours)
        statefile.replace(os.path.join(self.settings.data, "old"), "x")
        await self.copy()
        job = await self.ended()
        self.assertEqual((job.state, job.error), ("done", None))
        self.assertTrue(self.agent.files.is_standby and self.agent.files.follows(UPSTREAM))
        self.assertEqual(statefile.read(os.path.join(self.settings.data, "postgresql.auto.conf")), ours)
        (replaced,) = base_backup.replaced(self.settings)
        self.assertTrue(os.path.exists(os.path.join(replaced, "old")))
        freed = await self.agent.discard({"token": token()})
        self.assertEqual((freed["already"], freed["freedBytes"] > 0), (False, True))
        self.assertEqual((await self.agent.discard({"token": token()}))["already"], True)
        self.assertEqual(sorted(os.listdir(self.directory.name)), ["data", "veloz"])

    async def failed_copy(self):
        await self.copy()
        job = await self.ended()
        self.assertEqual(job.state, "failed")
        # The data is as it was, and no copy has taken its place.
        self.assertEqual(base_backup.replaced(self.settings), [])
        self.assertTrue(os.path.exists(os.path.join(self.settings.data, "PG_VERSION")))
        return job.error

    async def test_a_copy_that_would_lack_what_a_link_leads_to_is_not_begun(self):
        link = {"path": "/var/lib/postgresql/data/base/16400", "target": "/cold"}
        self.uncopied["leftOut"] = {"links": [link], "more": 0}
        said = await self.failed_copy()
        self.assertIn("A copy of b would lack data: /var/lib/postgresql/data/base/16400 is a link to /cold", said)
        self.assertEqual(self.tools, [])

    async def test_nor_one_that_would_not_start_since_a_link_leads_to_what_its_settings_name(self):
        link = {"path": "/data/server.crt", "target": "/run/secrets/crt", "setting": "ssl_cert_file", "leadsTo": "/run/secrets/crt"}
        self.uncopied["leftOut"] = {"links": [link], "more": 0}
        said = await self.failed_copy()
        self.assertEqual(
            said,
            "A copy of b would lack what its settings name (ssl_cert_file), and not start: /data/server.crt is a link to /run/secrets/crt. "
            "Not begun; each has to name the place to which its link leads.",
        )
        self.assertEqual(self.tools, [])

    async def test_a_node_that_is_addressed_by_something_else_than_its_name_is_asked_by_the_name_that_its_server_has(self):
        asked = []

        async def ask(_key, host, content, *_):
            asked.append((host, content["to"]))
            return self.uncopied if content["to"] == "c" else {"answer": "refused"}

        self.uncopied = {"node": "c", "leftOut": {"links": [{"path": "/data/base/16400", "target": "/cold"}], "more": 0}}
        with unittest.mock.patch("veloz_agent.peer_channel.ask", ask):
            self.name = "c"
            self.assertIn("A copy of b would lack data", await self.failed_copy())
            self.assertEqual(asked, [("b", "b"), ("b", "c")])
            # Nobody's name, and another node's answer: what is in the way is not known.
            for self.name, self.uncopied["node"] in (("", "c"), ("c", "d")):
                told = await self.agent.check_copy({"upstream": UPSTREAM})
                self.assertIsNone(told["leftOut"])

    async def test_nor_is_one_that_would_end_at_a_file(self):
        files = [{"path": "/var/lib/postgresql/data/x", "mode": "0600", "owner": "root"}]
        self.uncopied["unreadable"] = {"user": "postgres", "files": files, "more": 0}
        self.assertIn("its server may not read /var/lib/postgresql/data/x", await self.failed_copy())
        self.assertEqual(self.tools, [])

    async def test_nor_one_whose_tablespace_has_no_place_here(self):
        statefile.replace(os.path.join(self.directory.name, "file"), "")
        self.spaces["16400"] = os.path.join(self.directory.name, "file")
        self.assertIn("No copy of b can be made here: tablespace 16400 at", await self.failed_copy())
        self.assertEqual(self.tools, [])

    async def test_a_copy_that_left_something_out_is_no_copy_although_the_tool_ended_well(self):
        # The agent of the upstream is older.
        self.uncopied = {"answer": "refused"}
        self.outcome = 'WARNING:  skipping special file "./base/16400"'
        self.assertIn("pg_basebackup left out what is no file and no directory on the upstream: ./base/16400", await self.failed_copy())

    async def test_nor_is_one_that_lacks_a_database_whatever_was_printed(self):
        self.databases = {("5", "1663"), ("16400", "1663"), ("16401", "16399")}

        def make_copy(side):
            for database in ("base/5", "pg_tblspc/16399/PG_17_202406281/16401"):
                os.makedirs(os.path.join(side, database))
                statefile.replace(os.path.join(side, database, "PG_VERSION"), "17\n")
            if self.dropped:
                self.databases = self.databases - {("16400", "1663")}

        self.make_copy, self.dropped = make_copy, False
        self.assertIn("The copy lacks the directories of databases that are on the upstream: 16400.", await self.failed_copy())
        self.dropped = True
        await self.copy()
        self.assertEqual((await self.ended()).error, None)

    async def test_tablespaces_of_the_nodes_own_are_replaced_with_its_data_and_removed_with_it(self):
        space, version = os.path.join(self.directory.name, "ts1"), "PG_17_202406281"
        os.makedirs(os.path.join(space, version, "5"))
        os.mkdir(os.path.join(self.settings.data, "pg_tblspc"))
        os.symlink(space, os.path.join(self.settings.data, "pg_tblspc", "16399"))
        self.spaces["16400"] = space

        def make_copy(side):
            staged = os.path.join(base_backup.side_tablespaces(self.settings), "16400")
            os.makedirs(os.path.join(staged, version, "6"))
            os.mkdir(os.path.join(side, "pg_tblspc"))
            os.symlink(staged, os.path.join(side, "pg_tblspc", "16400"))

        self.make_copy = make_copy
        await self.copy()
        job = await self.ended()
        self.assertEqual((job.state, job.error), ("done", None))
        self.assertEqual(os.listdir(os.path.join(space, version)), ["6"])
        self.assertEqual(os.readlink(os.path.join(self.settings.data, "pg_tblspc", "16400")), space)
        (replaced,) = base_backup.replaced(self.settings)
        self.assertEqual(os.listdir(os.path.join(replaced, "pg_tblspc", "16399", version)), ["5"])
        await self.agent.discard({"token": token()})
        self.assertEqual(sorted(os.listdir(self.directory.name)), ["data", "ts1", "veloz"])

    async def test_a_rewind_finds_the_directories_of_new_tablespaces(self):
        self.spaces = {"16400": os.path.join(self.directory.name, "ts1")}
        await self.rewind()
        self.assertEqual(((await self.ended()).error, os.path.isdir(self.spaces["16400"])), (None, True))

    async def test_what_is_in_the_way_of_a_copy_is_told_beforehand(self):
        statefile.replace(os.path.join(self.directory.name, "file"), "")
        path = os.path.join(self.directory.name, "file")
        self.spaces = {"16400": path, "16401": os.path.join(self.directory.name, "ts1")}
        links = {"links": [{"path": "/data/base/5", "target": "/cold"}], "more": 0}
        self.uncopied["leftOut"] = links
        told = await self.agent.check_copy({"upstream": UPSTREAM})
        problem = {"oid": "16400", "path": path, "problem": "it is no directory"}
        self.assertEqual(told, {"leftOut": links, "unreadable": None, "tablespaces": [problem]})
        self.assertFalse(os.path.exists(self.spaces["16401"]))
        with unittest.mock.patch("veloz_agent.tablespaces.of", side_effect=ConnectionRefusedError("refused")):
            await self.refused("UpstreamUnreachable", self.agent.check_copy({"upstream": UPSTREAM}))

    async def test_another_node_is_told_what_a_copy_of_this_one_would_leave_out(self):
        link = os.path.join(self.settings.data, "base")
        os.symlink("/cold", link)
        content = {"do": "uncopied", "from": "b", "to": "a"}
        told = await self.agent.answer_peer(content)
        self.assertEqual((told["node"], told["leftOut"]), ("a", {"links": [{"path": link, "target": "/cold"}], "more": 0}))
        await self.refused("BadRequest", self.agent.answer_peer({**content, "to": "c"}))

    async def test_a_slot_that_is_still_taken_is_waited_for(self):
        self.outcome = 'error: replication slot "a" is active for PID 7'

        async def free_it():
            while not self.tools:
                await asyncio.sleep(0.005)
            self.outcome = ""

        freed = asyncio.ensure_future(free_it())
        await self.copy()
        job = await self.ended()
        await freed
        self.assertEqual((job.state, len(self.tools)), ("done", 2))

    async def test_a_copy_into_nothing(self):
        self.agent.disarm()
        os.rename(self.settings.data, os.path.join(self.directory.name, "elsewhere"))
        for made in (False, True):
            if made:
                os.rename(self.settings.data, os.path.join(self.directory.name, "elsewhere-2"))
                os.mkdir(self.settings.data)
            run = f"r{made}"
            await self.agent.claim({"token": token(run)})
            await self.copy(run)
            job = await self.ended()
            self.assertEqual((job.state, job.error, job.quarantine), ("done", None, None))
            self.assertEqual(base_backup.replaced(self.settings), [])

    async def test_a_copy_that_does_not_fit_says_what_is_needed_and_what_is_free(self):
        self.upstream_bytes = 1 << 60
        await self.copy()
        job = await self.ended()
        self.assertEqual(job.state, "failed")
        self.assertIn(str(round((1 << 60) * rejoin_jobs.ROOM)), job.error)
        self.assertEqual(self.tools, [])

    async def test_a_container_that_ends_in_the_middle_shows_it_and_a_copy_begins_anew(self):
        self.gate.clear()
        await self.copy()
        async with asyncio.timeout(20):
            while not self.tools:
                await asyncio.sleep(0.005)
        os.mkdir(base_backup.side_directory(self.settings))
        await self.agent.jobs.abandon()
        saved = statefile.load_state(self.agent.state_path)
        self.agent = self.new_agent()
        self.agent.claims = type(self.agent.claims)(saved)
        with unittest.mock.patch("veloz_agent.peer_channel.PeerChannel.listen"):
            await self.agent.prepare(saved)
        job = self.agent.jobs.current
        self.assertEqual((job.kind, job.run, job.state), ("copy", "r", "interrupted"))
        self.assertIn("pg_basebackup", job.error)
        self.assertTrue(self.agent.fenced_for_good)
        self.gate.set()
        self.assertFalse((await self.copy())["already"])
        self.assertEqual((await self.ended()).state, "done")

    async def test_a_defect_is_told_and_nobody_waits_for_ever(self):
        self.agent.wal_reader.end = unittest.mock.AsyncMock(side_effect=RuntimeError("oops"))
        await self.rewind()
        self.assertIn("oops", (await self.ended()).error)

    async def test_arguments_are_checked(self):
        for more in ({"divergedAt": "x"}, {"divergedAt": None}, {"divergedTimeline": 0}, {"divergedTimeline": "2"}):
            await self.refused("BadRequest", self.rewind(**more))
        await self.refused("NoSuchWal", self.rewind(divergedTimeline=7))


class ProgressTest(unittest.TestCase):
    def test_the_last_figures_count(self):
        settings = PostgresSettings({"VELOZ_NODE": "a"})
        job = Job("copy", "r")
        told = "waiting for checkpoint\n   100/569136 kB (0%), 0/1 tablespace\n 79417/569136 kB (13%), 0/1 tablespace\n"
        jobs.Jobs(settings, None, None)._progress(job, told)
        self.assertEqual((job.done_bytes, job.total_bytes), (79417 * 1024, 569136 * 1024))

    def test_a_job_survives_a_restart_as_it_was_or_as_interrupted(self):
        job = Job("copy", "r")
        self.assertEqual(Job.restored(job.as_answer()).state, "interrupted")
        job.state = "done"
        self.assertEqual(Job.restored(job.as_answer()).as_answer(), job.as_answer())
        self.assertIsNone(Job.restored(None))


if __name__ == "__main__":
    unittest.main()

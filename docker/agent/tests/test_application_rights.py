import asyncio
import os
import re
import unittest
from types import SimpleNamespace
from unittest import mock

import support  # noqa: F401

from veloz_agent import application_rights, control_database, pgbouncer_files, postgres_server
from veloz_agent.settings import PostgresSettings
from veloz_agent.wire import ServerError

ROLES = "/usr/local/share/veloz/roles.sql"
SETTINGS = SimpleNamespace(socket_dir="/s", user="veloz", database="app", control_database="veloz_ha")


class Session:
    """A session in the application's database, in which these routines are missing."""

    def __init__(self, lacking):
        self.lacking = lacking
        self.asked = []
        self.closed = False

    async def query(self, sql):
        self.asked.append(sql)
        if sql.startswith("SELECT"):
            return [{"routine": routine} for routine in self.lacking]
        self.lacking = []
        return []

    def close(self):
        self.closed = True


class ApplicationRightsTest(unittest.TestCase):
    def ensure(self, session):
        opened = []

        async def open_session(_host, _port, user, _password, database, extra):
            opened.append((user, database, extra["options"]))
            if isinstance(session, Exception):
                raise session
            return session

        with mock.patch.object(control_database.Connection, "open", open_session):
            said = asyncio.run(application_rights.ensure(SETTINGS))
        return said, opened

    def test_what_is_missing_is_granted_by_name_and_told(self):
        session = Session(["set_config(text, text, boolean)", "count()"])
        said, opened = self.ensure(session)
        self.assertEqual(
            session.asked[1:],
            ['GRANT EXECUTE ON ROUTINE pg_catalog.set_config(text, text, boolean), pg_catalog.count() TO "veloz"'],
        )
        self.assertIn("to veloz by name in the database app", said)
        self.assertEqual([(user, database) for user, database, _ in opened], [("postgres", "app")])
        self.assertTrue(session.closed)

    def test_nothing_is_changed_or_told_where_nothing_is_missing(self):
        session = Session([])
        self.assertIsNone(self.ensure(session)[0])
        self.assertEqual(len(session.asked), 1)
        self.assertTrue(session.closed)

    def test_the_superuser_runs_nothing_of_the_applications(self):
        _, ((_, _, options),) = self.ensure(Session(["count()"]))
        for setting in (
            # A GRANT fires ddl_command_start and ddl_command_end, and a login has its own.
            "event_triggers=off",
            "session_preload_libraries=",
            "local_preload_libraries=",
            "search_path=pg_catalog,\\ pg_temp",
            "role=none",
            "synchronous_commit=local",
            "lock_timeout=5s",
        ):
            self.assertIn(f"-c {setting}", options)
        asked = application_rights.question("o'app")
        self.assertIn("'o''app'", asked)
        # Where they are on all the same, nothing is granted; nor on a standby.
        self.assertIn("current_setting('event_triggers', true) = 'off'", asked)
        self.assertIn("NOT pg_catalog.pg_is_in_recovery()", asked)
        for name in re.findall(r"(\S+)\(", asked.split("WHERE", 1)[1]):
            self.assertTrue(name in ("EXISTS", "(SELECT") or name.startswith("pg_catalog."), name)

    def test_no_word_of_the_database_is_run(self):
        self.assertEqual(
            application_rights.grant('a"b', ["count()", "evil(); DROP TABLE x"]),
            'GRANT EXECUTE ON ROUTINE pg_catalog.count() TO "a""b"',
        )

    def test_a_database_that_is_not_there_is_nothing_to_tell(self):
        for code in ("3D000", "55000"):
            self.assertIsNone(self.ensure(ServerError({"C": code, "M": "no"}))[0])
        with self.assertRaises(ServerError):
            self.ensure(ServerError({"C": "53300", "M": "full"}))

    def test_a_database_that_hangs_holds_nothing_up(self):
        class Hangs(Session):
            async def query(self, sql):
                await asyncio.sleep(60)

        session = Hangs([])
        with mock.patch.object(application_rights, "LIMIT_S", 0.01), self.assertRaises(asyncio.TimeoutError):
            self.ensure(session)
        self.assertTrue(session.closed)

    def test_a_new_database_system_gets_the_same_and_the_question_calls_no_other(self):
        script = os.path.join(os.path.dirname(__file__), "..", "..", "postgres", "roles.sql")
        with open(script if os.path.exists(script) else ROLES, encoding="utf-8") as file:
            text = file.read()
        granted = ", ".join(application_rights.ROUTINES)
        self.assertIn(f'GRANT EXECUTE ON ROUTINE {granted} TO :"pg_user";', text)
        named = {routine.split("(")[0] for routine in application_rights.ROUTINES}
        called = set(re.findall(r"\b([a-z]\w+)\(", pgbouncer_files.NEVER_A_STANDBY)) - {"waited"}
        self.assertEqual(called - named, set())


class CareTest(unittest.IsolatedAsyncioTestCase):
    """A primary's agent, for as long as its server runs."""

    async def asyncSetUp(self):
        self.agent = SimpleNamespace(
            settings=PostgresSettings({"VELOZ_NODE": "a"}),
            files=SimpleNamespace(is_standby=False),
            server_state=lambda: "running",
        )
        self.server = self.agent.server = object()
        self.logged = []
        self.looks = 0
        for module, name, value in (
            (postgres_server, "log", lambda level, says: self.logged.append((level, says))),
            (application_rights, "EVERY_S", 0.001),
        ):
            patch = mock.patch.object(module, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    async def care(self, answer, looks=3):
        async def ensure(_settings):
            self.looks += 1
            if self.looks >= looks:
                self.agent.server = None
            if isinstance(answer, Exception):
                raise answer
            return answer

        with mock.patch.object(application_rights, "ensure", ensure):
            care = postgres_server.PostgresSupervisor._care_for_application_rights
            await asyncio.wait_for(care(self.agent, self.server), 5)

    async def test_a_failure_is_told_once_and_tried_again(self):
        await self.care(ServerError({"C": "53300", "M": "full"}))
        self.assertEqual(self.looks, 3)
        self.assertEqual(len(self.logged), 1)
        self.assertIn("full", self.logged[0][1])

    async def test_a_standby_grants_nothing(self):
        self.agent.files.is_standby = True
        asyncio.get_running_loop().call_later(0.02, lambda: setattr(self.agent, "server", None))
        await self.care("done")
        self.assertEqual((self.looks, self.logged), (0, []))


if __name__ == "__main__":
    unittest.main()

import asyncio
import os
import re
import unittest
from types import SimpleNamespace
from unittest import mock

import support  # noqa: F401

from veloz_agent import control_database, control_session, jobs
from veloz_agent.wire import ServerError


class ControlDatabaseTest(unittest.TestCase):
    def test_sessions_go_to_the_control_database_first_and_to_each_only_once(self):
        self.assertEqual(control_session.databases({}), ["veloz_ha", "postgres", "veloz"])
        names = {"VELOZ_PG_CONTROL_DATABASE": "mine", "VELOZ_PG_DATABASE": "postgres"}
        self.assertEqual(control_session.databases(names), ["mine", "postgres"])

    def test_names_of_roles_are_quoted_in_what_is_asked(self):
        asked = control_database.question(SimpleNamespace(ha_user="o'ha", repl_user="re'pl"))
        self.assertIn("'o''ha'", asked)
        self.assertIn("'re''pl'", asked)
        self.assertNotIn("'o'ha'", asked)
        self.assertIn("pg_reload_conf()", asked)

    def test_each_setting_that_the_script_gives_a_role_is_asked_for_with_its_value(self):
        asked = control_database.question(SimpleNamespace(ha_user="ha", repl_user="repl"))
        script = os.path.join(os.path.dirname(__file__), "..", "..", "postgres", "control.sql")
        # In the image it lies where the agent has it.
        with open(script if os.path.exists(script) else control_database.SCRIPT, encoding="utf-8") as file:
            written = re.findall(
                r'(?m)^ALTER ROLE :"(ha|repl)_user" IN DATABASE :"control" SET (\w+) (?:= \'?(\w+)\'?|FROM CURRENT);$', file.read()
            )
        self.assertIn(("ha", "track_activities", "on"), written)
        # The script takes the empty list from its session.
        entries = {(role, f"{name}={value}") for role, name, value in written}
        self.assertIn(("repl", "session_preload_libraries="), entries)
        wanted = {("ha", entry) for entry in (*control_database.HA_SETTINGS, control_database.NO_EVENT_TRIGGERS)}
        wanted |= {("repl", entry) for entry in (*control_database.REPL_SETTINGS, control_database.NO_EVENT_TRIGGERS)}
        self.assertEqual(entries, wanted)
        for role, entry in entries:
            self.assertIn(f"'the setting {entry} of' || ' ' || '{role}'", asked)
            self.assertIn(f"c.entry = '{entry}'", asked)
        # A server that does not know event triggers at a login has no such setting.
        self.assertEqual(asked.count("< 170000 OR EXISTS"), 2)

    def test_what_anybody_may_call_is_asked_for_by_name(self):
        asked = control_database.question(SimpleNamespace(ha_user="ha", repl_user="repl"))
        for name in ("pg_logical_emit_message", "pg_drop_replication_slot", "pg_stat_get_activity", "pg_stat_replication"):
            self.assertIn(f"'{name}'", asked)
        self.assertIn("rolname IN ('ha', 'repl')", asked)
        # The script gets the same lists, and has no other words for it.
        told = control_database.script_environment(SimpleNamespace(ha_user="ha", repl_user="repl", control_database="c"))
        self.assertIn("pg_logical_emit_message", told["VELOZ_PG_CALLED"].split(","))
        self.assertIn("pg_stat_replication", told["VELOZ_PG_READ"].split(","))
        script = os.path.join(os.path.dirname(__file__), "..", "..", "postgres", "control.sql")
        with open(script if os.path.exists(script) else control_database.SCRIPT, encoding="utf-8") as file:
            text = file.read()
        for name in told:
            if name.startswith("VELOZ_"):
                self.assertRegex(text, rf"(?m)^.getenv \w+ {name}$")

    def test_the_superuser_waits_for_no_standby_and_loads_nothing(self):
        for setting in ("session_preload_libraries=", "synchronous_commit=local", "search_path=pg_catalog,\\ pg_temp"):
            self.assertIn(f"-c {setting}", control_database.SUPERUSER_OPTIONS)

    def test_a_connection_string_takes_any_name(self):
        settings = SimpleNamespace(repl_user="a b'c\\d")
        told = jobs.conninfo(settings, {"host": "h", "port": 5432}, "my db")
        self.assertIn(r"user='a b\'c\\d' dbname='my db' ", told)


class OwnDoorTest(unittest.TestCase):
    SETTINGS = SimpleNamespace(socket_dir="/s", control_database="veloz_ha")

    def door(self, **refusals):
        """`refusals`: what each database raises. Returns the answer, and the databases that were tried."""
        tried = []

        async def open_session(_host, _port, _user, _password, database, _extra):
            tried.append(database)
            if database in refusals:
                raise refusals[database]
            return mock.Mock()

        with mock.patch.object(control_database.Connection, "open", open_session):
            answer, session = asyncio.run(control_database.own_door(self.SETTINGS))
            self.assertEqual(session is not None, answer["ok"] is True)
            return answer, tried

    def test_any_database_does(self):
        gone = ServerError({"C": "3D000", "M": "does not exist"})
        self.assertEqual(self.door(), ({"ok": True, "problem": None, "socketDir": "/s"}, ["veloz_ha"]))
        self.assertEqual(self.door(veloz_ha=gone, postgres=gone)[1], ["veloz_ha", "postgres", "template1"])

    def test_a_door_that_is_shut_is_told_in_the_servers_words(self):
        shut = ServerError({"C": "28000", "M": 'role "postgres" is not permitted to log in'})
        answer, _ = self.door(veloz_ha=shut, postgres=shut, template1=shut)
        self.assertEqual((answer["ok"], answer["problem"]), (False, 'role "postgres" is not permitted to log in (28000)'))
        self.assertIs(self.door(veloz_ha=FileNotFoundError("no socket"))[0]["ok"], False)

    def test_a_server_that_is_full_or_starting_has_shut_nobody_out(self):
        for code in ("53300", "57P03"):
            error = ServerError({"C": code, "M": "not now"})
            self.assertIsNone(self.door(veloz_ha=error, postgres=error, template1=error)[0]["ok"])

    def test_what_runs_at_each_login_does_not_run(self):
        self.assertIn("-c event_triggers=off", control_database.SUPERUSER_OPTIONS)


if __name__ == "__main__":
    unittest.main()

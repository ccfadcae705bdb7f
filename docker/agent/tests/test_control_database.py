import unittest
from types import SimpleNamespace

import support  # noqa: F401

from veloz_agent import control_database, control_session, jobs


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

    def test_the_superuser_waits_for_no_standby_and_loads_nothing(self):
        for setting in ("session_preload_libraries=", "synchronous_commit=local", "search_path=pg_catalog,\\ pg_temp"):
            self.assertIn(f"-c {setting}", control_database.SUPERUSER_OPTIONS)

    def test_a_connection_string_takes_any_name(self):
        settings = SimpleNamespace(repl_user="a b'c\\d")
        told = jobs.conninfo(settings, {"host": "h", "port": 5432}, "my db")
        self.assertIn(r"user='a b\'c\\d' dbname='my db' ", told)


if __name__ == "__main__":
    unittest.main()

import unittest

import support  # noqa: F401

from veloz_agent.config_files import ConfigFiles, Setting
from veloz_agent.session_defaults import of_server, plain, told


def row(name, value, vartype="string", unit=None, boot_val=None):
    return {"name": name, "value": value, "vartype": vartype, "unit": unit, "boot_val": boot_val}


class SessionDefaultsTest(unittest.TestCase):
    def test_the_same_value_is_the_same_text_in_whatever_unit_it_was_typed(self):
        self.assertEqual(plain("60s", "integer", "ms"), plain("1 min", "integer", "ms"))
        self.assertEqual(plain("60000", "integer", "ms"), "60000ms")
        self.assertEqual(plain("8MB", "integer", "8kB"), plain("1024", "integer", "8kB"))
        self.assertEqual(plain("64MB", "integer", "kB"), "65536kB")
        self.assertEqual((plain("YES", "bool", None), plain("Off", "enum", None)), ("on", "off"))
        self.assertEqual((plain("4.0", "real", None), plain("-1", "integer", "ms")), ("4", "-1"))
        # Whole ones of the server's own unit; of a fraction, whole ones of the next smaller unit before.
        self.assertEqual(plain("1500000kB", "integer", "MB"), plain("1465", "integer", "MB"))
        self.assertEqual(plain("30.1GB", "integer", "kB"), plain("30822MB", "integer", "kB"))
        self.assertEqual((plain("100.4", "integer", None), plain("1.5ms", "real", "ms")), ("100", "1.5ms"))
        self.assertEqual(plain("App, public", "string", None), "App, public")

    def test_what_is_the_default_is_not_told(self):
        rows = [
            row("statement_timeout", "0", "integer", "ms", "0"),
            row("random_page_cost", "4.0", "real", None, "4"),
            row("search_path", "app, public", "string", None, '"$user", public'),
        ]
        self.assertEqual(told(rows, b"key"), {"search_path": "app, public"})

    def test_what_an_application_keeps_there_is_compared_and_not_shown(self):
        (one,) = told([row("app.secret", "hunter2")], b"key").values()
        (other,) = told([row("app.secret", "hunter3")], b"key").values()
        self.assertTrue(one.startswith("digest ") and one != other and "hunter" not in one)
        # The nodes have the key in common; who reads a report has not.
        self.assertEqual(told([row("app.secret", "hunter2")], b"key"), {"app.secret": one})
        self.assertNotEqual(told([row("app.secret", "hunter2")], b"other"), {"app.secret": one})

    def test_what_a_server_runs_with_is_told_in_one_way_and_its_commands_as_digests(self):
        def found(**values):
            files = ConfigFiles()
            files.settings = {name: Setting(value, "x.conf", 1) for name, value in values.items()}
            return of_server(files, b"key")

        self.assertEqual(found(), {})
        self.assertEqual(found(archive_mode="no", autovacuum="ON", max_slot_wal_keep_size="-1", archive_command=""), {})
        self.assertEqual(found(archive_mode="yes"), {"archive_mode": "on"})
        self.assertEqual(found(archive_mode="ALWAYS"), {"archive_mode": "always"})
        self.assertEqual(found(max_slot_wal_keep_size="1GB"), found(max_slot_wal_keep_size="1024"))
        self.assertEqual(found(shared_preload_libraries="a,b "), {"shared_preload_libraries": "a, b"})
        self.assertEqual(found(autovacuum="off", max_logical_replication_workers="8", port="7").keys(), {"autovacuum", "max_logical_replication_workers"})
        one = found(archive_command="push --password=hunter2")["archive_command"]
        self.assertTrue(one.startswith("digest ") and one != found(archive_command="push")["archive_command"])


if __name__ == "__main__":
    unittest.main()

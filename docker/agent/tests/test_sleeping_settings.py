import asyncio
import unittest

import support  # noqa: F401

from veloz_agent import sleeping_settings
from veloz_agent.settings import PostgresSettings
from veloz_agent.sleeping_settings import sleeping

FILE = "/etc/veloz/postgresql.conf"


def row(name, now, comes, vartype="string", unit=None, boot_val=None, file=FILE):
    line = None if file is None else "7"
    return {
        "name": name, "vartype": vartype, "unit": unit, "now": now, "boot_val": boot_val, "next": comes, "file": file, "line": line
    }  # fmt: skip


class SleepingSettingsTest(unittest.TestCase):
    def told(self, *rows):
        return [(one["name"], one["now"], one["value"]) for one in sleeping(list(rows), b"key")]

    def test_what_a_reload_would_change_is_told_with_where_it_stands(self):
        found = sleeping([row("ssl", "on", "no", "bool"), row("wal_keep_size", "0", "1GB", "integer", "MB")], b"key")
        self.assertEqual(found[0], {"name": "ssl", "now": "on", "value": "off", "file": FILE, "line": 7})
        self.assertEqual(found[1]["value"], "1048576kB")

    def test_what_is_in_force_in_another_unit_or_word_is_not_told(self):
        self.assertEqual(
            self.told(
                row("checkpoint_timeout", "300", "5min", "integer", "s"),
                row("max_wal_size", "1024", "1GB", "integer", "MB"),
                row("fsync", "on", "TRUE", "bool"),
                row("recovery_prefetch", "off", "no", "enum"),
                row("checkpoint_completion_target", "0.9", "0.90", "real"),
            ),
            [],
        )

    def test_a_value_that_the_server_has_rounded_is_in_force(self):
        self.assertEqual(
            self.told(
                row("max_wal_size", "1465", "1500000kB", "integer", "MB"),
                row("checkpoint_flush_after", "31", "250kB", "integer", "8kB"),
                row("autovacuum_naptime", "90", "90500ms", "integer", "s"),
                row("autovacuum_vacuum_cost_delay", "0", "0.0005s", "real", "ms"),
                row("checkpoint_completion_target", "0.123457", "0.1234567", "real"),
            ),
            [],
        )
        self.assertEqual(
            self.told(row("max_wal_size", "1465", "1501000kB", "integer", "MB")), [("max_wal_size", "1500160kB", "1501184kB")]
        )

    def test_of_what_was_taken_out_of_the_files_the_default_comes(self):
        found = sleeping([row("ssl", "on", None, "bool", boot_val="off", file=None)], b"key")
        self.assertEqual(found, [{"name": "ssl", "now": "on", "value": "off", "file": "", "line": 0}])
        self.assertEqual(self.told(row("ssl", "off", None, "bool", boot_val="off", file=None)), [])

    def test_what_may_hold_a_password_is_told_and_not_shown(self):
        ((name, now, value),) = self.told(row("archive_command", "push --password=a", "push --password=b"))
        self.assertEqual(name, "archive_command")
        self.assertTrue(now.startswith("digest ") and value.startswith("digest ") and now != value)

    def test_without_an_answer_nothing_is_known(self):
        class Session:
            async def query(self, _text):
                raise OSError("gone")

        self.assertIsNone(asyncio.run(sleeping_settings.read(PostgresSettings({}), Session())))


if __name__ == "__main__":
    unittest.main()

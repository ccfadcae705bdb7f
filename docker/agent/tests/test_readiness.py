import asyncio
import os
import struct
import tempfile
import time
import unittest
from unittest import mock

import support  # noqa: F401

from veloz_agent import archiving, auto_conf, config_files, readiness, recovery_settings, start_trial
from veloz_agent.postgres_server import PostgresSupervisor
from veloz_agent.settings import PostgresSettings


class Directory(unittest.TestCase):
    def setUp(self):
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.data = held.name

    def write(self, name, text, at=None):
        path = os.path.join(self.data, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        if at is not None:
            os.utime(path, (at, at))
        return path


class ConfigFilesTest(Directory):
    def test_a_line_is_read_as_postgresql_reads_it(self):
        text = "a = 1 # b\nB 'it''s \\'so\\'' # c\n# c = 3\n\n  ext.Some = on\nd='x # y'\nbad line '\n"
        self.assertEqual(
            [(name, value) for name, value, _ in config_files.parse(text)],
            [("a", "1"), ("b", "it's 'so'"), ("ext.some", "on"), ("d", "x # y"), ("bad", "line")],
        )

    def test_the_last_word_wins_and_what_alter_system_wrote_is_the_last(self):
        self.write("conf.d/2.conf", "port = 3\nwork_mem = '2MB'\n")
        self.write("own.conf", "port = 2\n")
        main = self.write("main.conf", "port = 1\ninclude 'own.conf'\ninclude_dir = 'conf.d'\ninclude_if_exists 'no'\n")
        self.write("postgresql.auto.conf", "PORT = '4'\n")
        found = config_files.read(main, self.data)
        self.assertEqual((found.settings["port"].value, found.settings["work_mem"].value), ("4", "2MB"))
        self.assertEqual(os.path.basename(found.settings["work_mem"].file), "2.conf")

    def test_a_change_of_any_file_and_a_new_one_show(self):
        main = self.write("main.conf", "include_dir 'conf.d'\ninclude_if_exists 'late.conf'\n")
        self.write("conf.d/1.conf", "")
        before = config_files.read(main, self.data).fingerprint()
        self.assertEqual(config_files.read(main, self.data).fingerprint(), before)
        self.write("late.conf", "port = 7\n")
        self.assertNotEqual(config_files.read(main, self.data).fingerprint(), before)

    def test_a_file_that_includes_itself_has_an_end(self):
        main = self.write("main.conf", "include 'main.conf'\nport = 9\n")
        self.assertEqual(config_files.read(main, self.data).settings["port"].value, "9")


class RecoverySettingsTest(Directory):
    def test_every_server_is_started_with_a_word_of_its_own_on_each_of_them(self):
        words = recovery_settings.arguments(17, {}, self.data)
        self.assertIn("recovery_target_time=", words)
        self.assertIn("allow_alter_system=on", words)
        self.assertIn("hot_standby=on", words)
        self.assertIn("wal_retrieve_retry_interval=50ms", words)
        self.assertIn("wal_receiver_status_interval=1s", words)
        self.assertIn("wal_receiver_timeout=5s", words)
        self.assertIn("wal_sender_timeout=5s", words)
        self.assertIn("pre_auth_delay=0", words)
        self.assertIn("recovery_target_timeline=latest", words)
        self.assertEqual(words[::2], ["-c"] * (len(words) // 2))

    def test_a_server_is_not_started_with_a_setting_that_its_version_does_not_know(self):
        self.assertNotIn("allow_alter_system=on", recovery_settings.arguments(16, {}, self.data))
        settings = PostgresSettings({})
        self.assertEqual(settings.version, 17)
        settings.bin = "/usr/local/bin"
        self.assertEqual(settings.version, 0)

    def test_what_is_left_is_found_and_what_is_the_default_or_the_agents_own_is_not(self):
        auto = self.write(
            "postgresql.auto.conf",
            "recovery_target_name = 'x'\nrecovery_target_action = 'pause'\nrecovery_target_inclusive = 'true'\n"
            "recovery_target_timeline = 'latest'\nrestore_command = ''\nprimary_slot_name = 'mine'\n"
            "allow_alter_system = 'yes'\nhot_standby = 'true'\nwal_retrieve_retry_interval = '50 ms'\n"
            "wal_receiver_status_interval = 1\n",
        )
        self.write("standby.conf", "primary_conninfo = 'host=x'\n")
        main = self.write("main.conf", "include 'standby.conf'\n")
        left = recovery_settings.leftovers(17, config_files.read(main, self.data).settings, self.data)
        self.assertEqual([one["name"] for one in left], ["recovery_target_name", "primary_slot_name"])
        self.assertEqual({one["file"] for one in left}, {auto})

    def test_a_longer_sleep_of_a_promotion_than_the_agents_is_told(self):
        main = self.write("main.conf", "wal_retrieve_retry_interval = '5s'\n")
        left = recovery_settings.leftovers(17, config_files.read(main, self.data).settings, self.data)
        self.assertEqual([(one["name"], one["value"]) for one in left], [("wal_retrieve_retry_interval", "5s")])

    def test_a_standby_that_would_confirm_nothing_by_itself_is_told(self):
        main = self.write("main.conf", "wal_receiver_status_interval = '1s'\n")
        self.write("postgresql.auto.conf", "wal_receiver_status_interval = '0'\n")
        left = recovery_settings.leftovers(17, config_files.read(main, self.data).settings, self.data)
        self.assertEqual([(one["name"], one["value"]) for one in left], [("wal_receiver_status_interval", "0")])

    def test_a_server_starts_on_the_directory_that_its_agent_looks_after_whatever_a_file_names(self):
        main = self.write("main.conf", "data_directory = '/var/lib/postgresql/data.replaced-1'\n")
        settings = config_files.read(main, self.data).settings
        self.assertIn(f"data_directory={self.data}", recovery_settings.arguments(17, settings, self.data))
        left = recovery_settings.leftovers(17, settings, self.data)
        self.assertEqual(
            [(one["name"], one["value"]) for one in left], [("data_directory", "/var/lib/postgresql/data.replaced-1")]
        )
        main = self.write("main.conf", f"data_directory = '{self.data}/'\n")
        self.assertEqual(recovery_settings.leftovers(17, config_files.read(main, self.data).settings, self.data), [])

    def test_the_command_that_starts_a_server_names_the_directory(self):
        node = mock.Mock()
        node.settings = PostgresSettings({})
        node.settings.data, node.settings.config_file = self.data, self.write("main.conf", "data_directory = '/other'\n")
        command = PostgresSupervisor._command(node)
        self.assertIn(f"data_directory={self.data}", command)
        self.assertEqual(command[command.index(f"data_directory={self.data}") - 1], "-c")

    def test_a_node_that_would_end_its_standbys_sessions_or_keep_logins_waiting_as_the_primary_is_told(self):
        main = self.write("main.conf", "wal_sender_timeout = '5s'\npre_auth_delay = 0\n")
        self.assertEqual(recovery_settings.leftovers(17, config_files.read(main, self.data).settings, self.data), [])
        self.write("postgresql.auto.conf", "wal_sender_timeout = '2ms'\npre_auth_delay = '5'\n")
        left = recovery_settings.leftovers(17, config_files.read(main, self.data).settings, self.data)
        self.assertEqual(
            [(one["name"], one["value"]) for one in left], [("wal_sender_timeout", "2ms"), ("pre_auth_delay", "5")]
        )

    def places(self, text, version=17):
        settings = config_files.read(self.write("main.conf", text), self.data).settings
        words = [word for word in recovery_settings.arguments(version, settings, self.data) if "reserved_connections" in word]
        return words, [one["name"] for one in recovery_settings.leftovers(version, settings, self.data)]

    def test_places_that_clients_cannot_take_are_kept_for_the_control_role_and_the_agent(self):
        self.assertEqual(self.places(""), (["reserved_connections=5"], []))
        self.assertEqual(self.places("reserved_connections = 5\n"), ([], []))
        # Who set more keeps it.
        self.assertEqual(self.places("reserved_connections = 20\nsuperuser_reserved_connections = '7'\n"), ([], []))
        none = "reserved_connections = 0\nsuperuser_reserved_connections = 0\n"
        self.assertEqual(
            self.places(none),
            (
                ["reserved_connections=5", "superuser_reserved_connections=3"],
                ["reserved_connections", "superuser_reserved_connections"],
            ),
        )
        # Before version 16 no role but the superuser has any.
        self.assertEqual(self.places("superuser_reserved_connections = 0\n", 15)[0], ["superuser_reserved_connections=3"])

    def test_places_for_which_there_is_no_room_keep_no_server_from_starting(self):
        self.assertEqual(self.places("max_connections = 8\n"), ([], []))
        self.assertEqual(self.places("max_connections = 9\n")[0], ["reserved_connections=5"])
        self.assertEqual(self.places("reserved_connections = x\n"), ([], []))

    def test_before_a_start_what_the_command_line_cannot_override_is_taken_away(self):
        self.write("recovery.signal", "")
        path = self.write("postgresql.auto.conf", "# kept\nprimary_conninfo = 'host=old'\nwork_mem = '8MB'\n")
        self.assertEqual(
            recovery_settings.clear(self.data), ["recovery.signal", "primary_conninfo in postgresql.auto.conf"]
        )
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "# kept\nwork_mem = '8MB'\n")
        self.assertEqual(recovery_settings.clear(self.data), [])

    def test_a_rewind_or_a_copy_inherits_no_recovery_target(self):
        theirs = "max_connections = '200'\nrecovery_target_time = '2020-01-01'\nrestore_command = 'false'\n"
        self.assertEqual(auto_conf.merged(theirs, "port = 1\n"), "max_connections = '200'\nport = 1\n")


class TrialTest(Directory):
    def culprit(self, problem, auto):
        self.write("postgresql.auto.conf", auto)
        found = start_trial.culprit(problem, config_files.read(self.write("main.conf", "ssl = on\n"), self.data))
        return found and found["name"]

    def test_the_setting_that_is_probably_wrong(self):
        for problem, auto, name in (
            ('invalid value for parameter "work_mem": "x"', "work_mem = 'x'\n", "work_mem"),
            ('could not access file "x": No such file', "shared_preload_libraries = 'x'\n", "shared_preload_libraries"),
            ('could not load server certificate file "server.crt"', "", "ssl"),
            ("it would ask for 9 MB of shared memory, and can't get it", "shared_buffers = '9MB'\n", "shared_buffers"),
            ("something else", "work_mem = '4MB'\n", None),
        ):
            with self.subTest(problem):
                self.assertEqual(self.culprit(problem, auto), name)

    def test_memory_that_no_machine_has_is_refused_and_what_it_has_is_not_taken(self):
        self.assertIsNone(start_trial.memory_problem("a library says hello\n143", "try"))
        self.assertIn("can't get it", start_trial.memory_problem(str(1 << 30), "try") or "")
        meminfo = self.write("meminfo", "HugePages_Total:      10\nHugepagesize:       2048 kB\n")
        self.assertIsNone(start_trial.memory_problem("20", "on", meminfo))
        self.assertIn("the machine has 20 MB", start_trial.memory_problem("21", "on", meminfo) or "")

    def test_one_address_that_is_ours_is_enough(self):
        self.assertIsNone(asyncio.run(start_trial.address_problem("*")))
        self.assertIsNone(asyncio.run(start_trial.address_problem("192.0.2.1, 127.0.0.1")))
        self.assertIn("192.0.2.1", asyncio.run(start_trial.address_problem("192.0.2.1")) or "")

    def test_words_come_without_time_and_process(self):
        told = "2026-11-27 03:53:52.870 UTC [180] postmaster FATAL:  could not access file\n"
        self.assertEqual(start_trial._words(told), "could not access file")


    def test_a_log_collector_needs_a_directory_that_it_can_write_or_make(self):
        def problem(**values):
            return start_trial.log_problem(self.data, values)

        self.assertIsNone(problem(log_directory="/mnt/gone/log"))
        self.assertIsNone(problem(logging_collector="on"))
        self.assertIsNone(problem(logging_collector="yes", log_directory=os.path.join(self.data, "new/")))
        self.assertIn("/mnt/gone/log can't be made", problem(logging_collector="on", log_directory="/mnt/gone/log") or "")
        self.write("log", "a file")
        self.assertIn("can't be written", problem(logging_collector="on") or "")

    def slot(self, name, database=0, persistency=0):
        path = self.write(f"pg_replslot/{name}/state", "")
        head = struct.pack("=4I64s2I", 0x1051CA1, 0, 5, 184, name.encode(), database, persistency)
        with open(path, "wb") as file:
            file.write(head + bytes(112))

    def test_slots_need_room_and_logical_ones_their_level(self):
        def problem(**values):
            return start_trial.slot_problem(self.data, values)

        self.assertIsNone(problem(max_replication_slots="0", wal_level="minimal"))
        self.slot("phys")
        self.slot("temporary", 5, 2)
        self.slot("half.tmp")
        self.assertIsNone(problem(max_replication_slots="1"))
        self.assertIn("is 0, and there are 1 replication slots: phys", problem(max_replication_slots="0") or "")
        self.assertIn("minimal, and there are replication slots: phys", problem(wal_level="minimal") or "")
        self.slot("warehouse", 5)
        self.assertIn("is 1, and there are 2 replication slots: phys, warehouse", problem(max_replication_slots="1") or "")
        self.assertIn("wal_level is replica, and logical replication slots need logical: warehouse", problem() or "")
        self.assertIsNone(problem(wal_level="Logical"))

    def test_what_is_no_slot_is_found_where_a_start_would_end_at_it(self):
        self.assertEqual(start_trial.junk_problem(self.data), (None, None))
        self.slot("phys")
        self.write("pg_replslot/half.tmp/other", "")
        self.write("pg_replslot/a file", "")
        self.assertEqual(start_trial.junk_problem(self.data), (None, None))
        os.makedirs(os.path.join(self.data, "pg_replslot", "x"))
        path, problem = start_trial.junk_problem(self.data)
        self.assertEqual(path, "pg_replslot/x")
        self.assertIn("pg_replslot/x has no state of a replication slot that can be read: a start", problem)
        self.write("pg_replslot/other/state", "no slot")
        self.write("pg_replslot/long/state", "#" * 200)
        path, problem = start_trial.junk_problem(self.data)
        self.assertEqual(path, "pg_replslot/long")
        self.assertIn("and so 2 more", problem)

    def test_what_is_in_the_way_is_told_beside_the_problem_and_no_setting_for_it(self):
        os.makedirs(os.path.join(self.data, "pg_replslot", "x"))
        settings = PostgresSettings({})
        settings.data = self.data
        trial = start_trial.StartTrial(settings, None, {})

        async def well(_files):
            return None

        trial._problem = well
        answer = asyncio.run(trial._try(config_files.ConfigFiles()))
        self.assertEqual((answer["ok"], answer["setting"], answer["leftover"]), (False, None, "pg_replslot/x"))
        os.rmdir(os.path.join(self.data, "pg_replslot", "x"))
        self.assertEqual(asyncio.run(trial._try(config_files.ConfigFiles()))["leftover"], None)

    def test_a_group_of_which_the_server_is_no_member_leaves_it_without_a_socket(self):
        def problem(group):
            return start_trial.socket_problem({"unix_socket_group": group})

        with mock.patch.object(start_trial.os, "getegid", lambda: 70), mock.patch.object(
            start_trial.os, "getgroups", lambda: [71]
        ):
            for group in ("", "70", "71"):
                self.assertIsNone(problem(group))
            self.assertIn("unix_socket_group is 72, and the server's user is no member", problem("72") or "")
            self.assertIn("unix_socket_group is root, and", problem("root") or "")
            self.assertIn("unix_socket_group no-such-group does not exist", problem("no-such-group") or "")
            self.assertIsNone(start_trial.socket_problem({"unix_socket_group": "72", "unix_socket_directories": ""}))

    def test_permissions_that_shut_the_agent_out(self):
        for permissions, well in (("0777", True), ("0200", True), ("511", True), ("0", False), ("0077", False), ("?", True)):
            found = start_trial.socket_problem({"unix_socket_permissions": permissions})
            self.assertEqual(found is None, well, permissions)
        self.assertIn("unix_socket_permissions 0 would shut", start_trial.socket_problem({"unix_socket_permissions": "0"}) or "")

    def test_a_socket_path_that_is_too_long(self):
        def problem(*directories):
            return start_trial.socket_problem({"unix_socket_directories": ", ".join(directories)})

        fits = "/" + "x" * (107 - len("/.s.PGSQL.5432") - 1)
        self.assertIsNone(problem(fits))
        self.assertIn("(108 bytes)", problem(fits + "x") or "")
        # One is enough for a start.
        self.assertIsNone(problem(fits + "x", "/tmp"))

    def test_the_log_collector_has_to_write_its_first_file(self):
        def problem(**values):
            return start_trial.log_problem(self.data, {"logging_collector": "on", **values})

        self.assertIsNone(problem(log_filename="pg-%a.log"))
        self.assertIn(f"find no directory {self.data}/log/app: log_filename 'app/pg-%a.log'", problem(log_filename="app/pg-%a.log") or "")
        os.makedirs(os.path.join(self.data, "log", "app"))
        self.assertIsNone(problem(log_filename="app/pg-%a.log"))
        day = time.strftime("%d", time.gmtime())
        os.makedirs(os.path.join(self.data, "log", f"pg-{day}.log"))
        self.assertIn(f"write its first file {self.data}/log/pg-{day}.log: log_filename", problem(log_filename="pg-%d.log") or "")
        self.write("log/own.log", "")
        self.assertIsNone(problem(log_filename="own.log"))
        with mock.patch.object(start_trial.os, "access", lambda path, mode: not path.endswith("own.log")):
            self.assertIn("own.log: log_filename", problem(log_filename="own.log") or "")

    def test_settings_that_the_real_start_would_meet_are_named(self):
        auto = "max_replication_slots = 1\nlog_directory = '/mnt/gone'\nlogging_collector = on\nwal_level = replica\n"
        self.assertEqual(self.culprit("max_replication_slots is 1, and there are 2", auto), "max_replication_slots")
        self.assertEqual(self.culprit("wal_level is replica, and logical", auto), "wal_level")
        auto = "log_filename = 'app/x'\nlogging_collector = on\nunix_socket_directories = '/x'\nunix_socket_group = 'x'\n"
        self.assertEqual(self.culprit("no directory /a/log/app: log_filename 'app/x' leads there", auto), "log_filename")
        self.assertEqual(self.culprit("unix_socket_group x does not exist", auto), "unix_socket_group")


class TrialTimeTest(Directory):
    def test_the_shortest_of_the_trials_with_the_same_files_is_kept(self):
        trial = start_trial.StartTrial(PostgresSettings({}), None, {})
        times = iter([900.0, 30.0, 400.0, 700.0])

        async def tried(_files):
            return {"ok": True, "ms": next(times)}

        trial._try = tried
        files = type("Files", (), {"fingerprint": lambda self: self.stamp, "stamp": ("a",)})()

        async def run():
            found = [(await trial.answer(files, -1))["shortestMs"] for _ in range(3)]
            files.stamp = ("b",)
            return [*found, (await trial.answer(files, -1))["shortestMs"]]

        # One alone tells how long the machine took.
        self.assertEqual(asyncio.run(run()), [None, 30.0, 30.0, None])


    def test_a_start_that_failed_is_tried_again_soon_though_no_file_of_settings_changed(self):
        trial = start_trial.StartTrial(PostgresSettings({}), None, {})
        outcomes = iter([False, True, False])

        async def tried(_files):
            return {"ok": next(outcomes), "ms": 50.0}

        trial._try = tried
        files = type("Files", (), {"fingerprint": lambda self: ("a",)})()

        async def run():
            with mock.patch.object(start_trial.time, "monotonic") as now:
                found = []
                for at in (100.0, 100.9, 101.1, 130.0):
                    now.return_value = at
                    found.append((await trial.answer(files, 30))["ok"])
                return found

        self.assertEqual(asyncio.run(run()), [False, False, True, True])


class ArchiveTest(Directory):
    def status(self, name, at):
        return self.write(os.path.join("pg_wal", "archive_status", name), "", at)

    def test_nothing_waits(self):
        os.makedirs(os.path.join(self.data, "pg_wal", "archive_status"))
        self.assertEqual(readiness._archive(self.data), {"ready": 0, "fileMs": None, "presentMs": None})

    def test_a_file_takes_from_its_own_end_or_the_end_of_the_one_before_it_until_its_rename(self):
        now = os.stat(self.status("1.done", 0)).st_ctime
        self.status("1.done", now - 8)
        self.status("2.ready", now - 3)
        found = readiness._archive(self.data)
        self.assertEqual(found["ready"], 1)
        self.assertAlmostEqual(found["fileMs"], 8000, delta=500)
        # It could begin only when the one before it had ended: just now.
        self.assertLess(found["presentMs"], 1000)


    def test_one_slow_file_among_the_last_five_is_not_how_long_a_file_takes(self):
        now = os.stat(self.status("0.done", 0)).st_ctime
        for name, took in (("0", 30), ("1", 0.1), ("2", 0.1), ("3", 0.1), ("4", 0.1)):
            self.status(f"{name}.done", now - took)
        self.assertLess(readiness._archive(self.data)["fileMs"], 1000)


    def test_what_a_receiver_marked_was_never_archived_here(self):
        at = os.stat(self.status("1.done", 0)).st_ctime
        entry = type("Entry", (), {"st_ctime": at, "st_mtime": at, "st_ctime_ns": 7, "st_mtime_ns": 7})
        with mock.patch.object(readiness.os, "stat", lambda _path: entry):
            self.assertEqual(readiness._archive(self.data)["fileMs"], None)

    def test_what_was_archived_by_another_command_tells_nothing_of_this_one(self):
        now = os.stat(self.status("1.done", 0)).st_ctime
        self.assertEqual(readiness._archive(self.data, now + 1)["fileMs"], None)
        self.assertIsNotNone(readiness._archive(self.data, now - 1)["fileMs"])


class CommandTest(Directory):
    """Since when the archiver has had its command, by an agent's own record."""

    def setUp(self):
        super().setUp()
        self.settings = type("Settings", (), {"own": self.data, "data": self.data, "repl_password": "key"})

    def now(self, command, loaded, mode="on"):
        values = {"archive_mode": mode, "archive_command": command, "archive_library": ""}
        defaults = {"archive_mode": "off", "archive_command": "", "archive_library": ""}
        return archiving.InForce(values, defaults, loaded)

    def files(self, text, at=None):
        self.write("postgresql.auto.conf", text, at)
        return config_files.read(self.write("main.conf", ""), self.data)

    def test_a_command_counts_since_the_reload_that_took_it_over(self):
        nothing = self.files("")
        kept = archiving.Archiving(self.settings)
        self.assertEqual(kept.since(self.now("(disabled)", 100.0, "off"), nothing), 100.0)
        self.assertEqual(kept.since(self.now("sleep 8", 200.0), nothing), 200.0)
        self.assertEqual(kept.since(self.now("sleep 8", 300.0), nothing), 200.0)
        # Another reload, and another agent: the command is the same.
        self.assertEqual(archiving.Archiving(self.settings).since(self.now("sleep 8", 400.0), nothing), 200.0)
        self.assertEqual(kept.since(self.now("true", 500.0), nothing), 500.0)
        with open(os.path.join(self.data, "archiving.json"), encoding="utf-8") as file:
            self.assertNotIn("true", file.read())

    def test_an_agent_that_looks_for_the_first_time_takes_the_time_of_the_file(self):
        files = self.files("archive_command = 'true'\n", 150.0)
        self.assertEqual(archiving.Archiving(self.settings).since(self.now("true", 900.0), files), 150.0)

    def test_what_a_segment_took_is_known_when_its_status_is_gone(self):
        nothing = self.files("")
        kept = archiving.Archiving(self.settings)
        self.assertIsNone(kept.took(None))
        kept.since(self.now("true", 100.0), nothing)
        self.assertIsNone(kept.took(None))
        self.assertEqual((kept.took(40), kept.took(None)), (40, 40))
        again = archiving.Archiving(self.settings)
        again.since(self.now("true", 200.0), nothing)
        self.assertEqual(again.took(None), 40)
        again.since(self.now("false", 300.0), nothing)
        self.assertIsNone(again.took(None))

    def test_a_record_that_nobody_can_read_is_none(self):
        self.write("archiving.json", "{}")
        self.assertEqual(archiving.Archiving(self.settings).since(self.now("true", 100.0), self.files("")), 100.0)

    def test_a_command_sleeps_in_the_files_until_a_reload(self):
        files = self.files("archive_command = 'sleep 8'\n")
        self.assertTrue(archiving.sleeps(self.now("true", 1.0), files))
        self.assertFalse(archiving.sleeps(self.now("sleep 8", 1.0), files))
        self.assertFalse(archiving.sleeps(self.now("(disabled)", 1.0, "off"), files))
        self.assertTrue(archiving.sleeps(self.now("true", 1.0), self.files("")))

    def test_the_answer_has_both(self):
        node = type("Node", (), {"settings": self.settings})()
        files = self.files("archive_command = 'true'\n")
        answer = readiness._archive_known(node, self.now("true", time.time() - 5), files)
        self.assertAlmostEqual(answer["setAgeMs"], 5000, delta=1000)
        self.assertEqual((answer["sleeps"], answer["fileMs"]), (False, None))
        unknown = readiness._archive_known(node, None, files)
        self.assertEqual((unknown["setAgeMs"], unknown["sleeps"]), (None, None))


class KeptTest(Directory):
    WELL = ({"ok": True}, {"errors": [], "identErrors": [], "refused": [], "clients": None}, {}, None, None, [], 0)

    def asked(self, *results, kept_s=60, between=lambda: None):
        """How often the server was asked, by as many questions as there are results."""
        self.write("postgresql.conf", "")
        self.write("pg_hba.conf", "")
        settings = type("Settings", (), {"data": self.data})
        node = type("Node", (), {"settings": settings})()
        config = os.path.join(self.data, "postgresql.conf")
        asked = []

        async def by_socket(_settings, _pooler):
            asked.append(1)
            return results[len(asked) - 1]

        async def run():
            for _ in results:
                await readiness._own_words(node, config_files.read(config, self.data), None, kept_s)
                between()

        with mock.patch.object(readiness, "_by_socket", by_socket):
            asyncio.run(run())
        return len(asked)

    def test_what_was_well_is_kept_for_who_asks_all_the_time_alone(self):
        self.assertEqual(self.asked(self.WELL, self.WELL, self.WELL), 1)
        self.assertEqual(self.asked(self.WELL, self.WELL, self.WELL, kept_s=-1), 3)

    def test_what_was_not_well_is_asked_anew(self):
        own, access, defaults, archive, *others = self.WELL
        for wrong in (
            ({"ok": None}, None, None, None, None, None, None),
            (own, None, defaults, archive, *others),
            (own, access, None, archive, *others),
            (own, {**access, "refused": [1]}, defaults, archive, *others),
            (own, {**access, "clients": {"role": "app"}}, defaults, archive, *others),
            (own, access, defaults, archive, {"databases": [{"oid": "16400", "name": "cold"}], "more": 0}, [], 0),
            (own, access, defaults, archive, None, None, 0),
            (own, access, defaults, archive, None, [{"name": "ssl"}], 0),
        ):
            self.assertEqual(self.asked(wrong, wrong, self.WELL), 3)

    def test_a_file_that_has_changed_is_read_again(self):
        for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf", "postgresql.auto.conf"):
            sizes = iter(range(1, 9))
            change = lambda: self.write(name, "#" * next(sizes))  # noqa: E731, B023
            self.assertEqual(self.asked(self.WELL, self.WELL, between=change), 2, name)


class UnloggedTest(Directory):
    def test_init_forks_of_every_tablespace_are_counted(self):
        self.assertEqual(readiness._unlogged(self.data), 0)
        for name in ("5/16400_init", "5/16400", "6/17000_init", "5/16400_init.x"):
            self.write(f"base/{name}", "")
        self.write("global/1_init", "")
        self.write("space/PG_17_202406281/5/16500_init", "")
        self.write("space/other/5/16500_init", "")
        os.makedirs(os.path.join(self.data, "pg_tblspc"))
        os.symlink(os.path.join(self.data, "space"), os.path.join(self.data, "pg_tblspc", "16390"))
        self.assertEqual(readiness._unlogged(self.data), 3)

    def test_who_asks_all_the_time_gets_what_was_counted_within_a_minute(self):
        node = type("Node", (), {"settings": type("Settings", (), {"data": self.data})})()
        counts = iter([0, 1, 2])

        async def run():
            with mock.patch.object(readiness, "_unlogged", lambda _data: next(counts)):
                return [await readiness._count_unlogged(node, kept_s) for kept_s in (20, 20, 0, 20, 0)]

        self.assertEqual(asyncio.run(run()), [0, 0, 1, 1, 2])


class AnswerTest(Directory):
    def test_a_start_is_tried_unless_it_is_not_wanted(self):
        tried = []

        class Trial:
            async def answer(self, _files, _age):
                tried.append(1)
                return {"ok": True}

        class Node:
            settings = type(
                "Settings", (), {"config_file": self.write("postgresql.conf", ""), "data": self.data, "peers": [], "version": 17, "repl_password": "x"}
            )
            desired = "up"
            jobs = type("Jobs", (), {"running": None})
            trial = Trial()

            def server_state(self):
                return "starting"

        self.write("base/5/16400_init", "")
        answer = asyncio.run(readiness.readiness(Node(), start=False))
        self.assertEqual((answer["start"], answer["unlogged"], tried), (None, 1, []))
        self.assertEqual((answer["access"], answer["serverSettings"]), (None, {}))
        self.assertEqual(answer["next"], {"hba_file": os.path.join(self.data, "pg_hba.conf")})
        self.write("postgresql.conf", "hba_file = '/etc/x/../hba'\nrecovery_min_apply_delay = '1h'\nwork_mem = '8MB'\n")
        answer = asyncio.run(readiness.readiness(Node(), start=False))
        self.assertEqual(answer["next"], {"hba_file": "/etc/hba", "recovery_min_apply_delay": "1h"})

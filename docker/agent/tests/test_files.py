import errno
import os
import tempfile
import unittest
import unittest.mock

import support  # noqa: F401

from veloz_agent import arguments, config_files, pgbouncer_files, process_one, settings, statefile
from veloz_agent.errors import CommandError
from veloz_agent.node_files import NodeFiles


class StateFileTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.path = os.path.join(self.directory.name, "agent.json")

    def test_what_was_saved_is_loaded_and_nothing_else_is_left(self):
        self.assertEqual(statefile.load_state(self.path), {})
        statefile.save_state(self.path, {"desired": "held"})
        statefile.save_state(self.path, {"desired": "fenced"}, sync=False)
        self.assertEqual(statefile.load_state(self.path), {"desired": "fenced"})
        statefile.make_durable(self.path)
        self.assertEqual(os.listdir(self.directory.name), ["agent.json"])

    def test_a_power_cut_before_the_data_came_to_the_disk_leaves_what_was_durable(self):
        statefile.save_state(self.path, {"desired": "held"})
        for desired in ("up", "fenced"):
            statefile.save_state(self.path, {"desired": desired}, sync=False)
        for left in ("", "\0" * 40):
            # The name came, and the data did not.
            with open(self.path, "w", encoding="ascii") as file:
                file.write(left)
            self.assertEqual(statefile.load_state(self.path), {"desired": "held"})

    def test_what_is_durable_needs_nothing_beside_it_and_is_fallen_back_to_later(self):
        statefile.save_state(self.path, {"desired": "held"})
        statefile.save_state(self.path, {"desired": "up"}, sync=False)
        statefile.make_durable(self.path)
        self.assertEqual(os.listdir(os.path.dirname(self.path)), [os.path.basename(self.path)])
        statefile.save_state(self.path, {"desired": "fenced"}, sync=False)
        os.truncate(self.path, 0)
        self.assertEqual(statefile.load_state(self.path), {"desired": "up"})

    def test_what_was_written_while_an_earlier_content_became_durable_is_not_durable_with_it(self):
        statefile.save_state(self.path, {"desired": "held"})
        statefile.save_state(self.path, {"desired": "up"}, sync=False)
        with unittest.mock.patch.object(statefile, "sync_directory") as sync:
            sync.side_effect = lambda _path: statefile.save_state(self.path, {"desired": "fenced"}, sync=False)
            statefile.make_durable(self.path)
        os.truncate(self.path, 0)
        self.assertEqual(statefile.load_state(self.path), {"desired": "held"})

    def test_on_a_full_disk_the_reserve_is_used(self):
        reserve = os.path.join(self.directory.name, "reserve")
        write = os.write
        with (
            unittest.mock.patch.object(statefile, "_reserves", set()),
            unittest.mock.patch.object(statefile, "RESERVE_FROM_BYTES", 0),
        ):
            statefile.keep_reserve(reserve)
            self.assertEqual(os.stat(reserve).st_size, statefile.RESERVE_BYTES)

            def write_while_there_is_room(fd, data):
                if os.path.exists(reserve):
                    # A part is taken before the error comes.
                    if len(data) > 4:
                        return write(fd, data[:4])
                    raise OSError(errno.ENOSPC, "No space left on device")
                return write(fd, data)

            with unittest.mock.patch("os.write", write_while_there_is_room):
                statefile.save_state(self.path, {"desired": "fenced"})
            self.assertEqual(statefile.load_state(self.path), {"desired": "fenced"})
            full = OSError(errno.ENOSPC, "No space left on device")
            with unittest.mock.patch("os.write", side_effect=full), self.assertRaises(OSError):
                statefile.save_state(self.path, {"desired": "up"})
        self.assertEqual(statefile.load_state(self.path), {"desired": "fenced"})

    def test_a_file_that_is_there_already_needs_no_room(self):
        process_one.put(self.path, "a\n")
        with unittest.mock.patch("os.write", side_effect=OSError(errno.ENOSPC, "No space left on device")):
            process_one.put(self.path, "a\n")
            with unittest.mock.patch.object(statefile, "_reserves", set()):
                self.assertRaises(OSError, process_one.put, self.path, "b\n")

    def test_a_damaged_state_is_told_apart_from_none(self):
        statefile.replace(self.path, "{")
        self.assertRaises(ValueError, statefile.load_state, self.path)


class NodeFilesTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        name = self.directory.name
        self.files = NodeFiles(name, name, "replicator", "/run/veloz/pgpass", "veloz_standby", "veloz_postgres_primary")

    def test_an_upstream_is_written_read_back_and_holds_no_password(self):
        self.files.ensure_conf()
        self.assertIsNone(self.files.upstream())
        upstream = {"host": "veloz-postgres-standby", "port": 5432}
        self.files.write_upstream(upstream)
        self.assertEqual(self.files.upstream(), upstream)
        self.assertTrue(self.files.follows(upstream))
        self.assertFalse(self.files.follows({"host": "veloz-postgres-standby-2", "port": 5432}))
        content = statefile.read(self.files.conf_path)
        self.assertIn("primary_slot_name = 'veloz_postgres_primary'", content)
        self.assertIn("application_name=veloz_standby", content)
        self.assertNotIn("password", content)

    def test_a_database_is_named_and_a_file_of_before_without_one_still_follows(self):
        name, upstream = self.directory.name, {"host": "b", "port": 5432}
        self.files.write_upstream(upstream)
        args = (name, name, "replicator", "/run/veloz/pgpass", "veloz_standby", "veloz_postgres_primary")
        named = NodeFiles(*args, "veloz_ha")
        self.assertTrue(named.follows(upstream))
        self.assertFalse(named.follows({"host": "c", "port": 5432}))
        named.write_upstream(upstream)
        self.assertIn(" dbname=veloz_ha'\n", statefile.read(named.conf_path))
        self.assertTrue(named.follows(upstream))
        self.assertEqual(named.upstream(), upstream)
        # It would need quotes within quotes.
        self.assertNotIn("dbname", NodeFiles(*args, "it's").render(upstream))

    def test_the_signal_comes_and_goes(self):
        self.assertFalse(self.files.is_standby)
        self.files.write_signal()
        self.assertTrue(self.files.is_standby)
        self.files.remove_signal()
        self.files.remove_signal()
        self.assertFalse(self.files.is_standby)


class SettingsTest(unittest.TestCase):
    def test_a_slot_is_named_as_the_workers_name_it(self):
        for node, slot in (("veloz-a", "veloz_a"), ("pg1.Example.com", "pg1_example_com"), ("PG_1", "pg_1")):
            self.assertEqual(settings.PostgresSettings({"VELOZ_NODE": node}).slot, slot)

    def test_defaults_and_own_node_is_no_peer(self):
        found = settings.PostgresSettings({"VELOZ_NODE": "veloz-a", "VELOZ_PG_PEERS": "veloz-a:5432, veloz-b"})
        self.assertEqual(found.peers, [{"host": "veloz-b", "port": 5432}])
        self.assertEqual(found.slot, "veloz_a")
        self.assertEqual((found.user, found.password, found.repl_user), ("veloz", "veloz", "replicator"))
        self.assertEqual(found.synchronous_standby_names, "veloz_standby")

    def test_a_secret_file_wins_over_the_variable(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("s3cret\n")
            file.flush()
            env = {"VELOZ_PG_PASSWORD": "other", "VELOZ_PG_PASSWORD_FILE": file.name}
            self.assertEqual(settings.secret(env, "VELOZ_PG_PASSWORD", "veloz"), "s3cret")

    def test_an_unknown_role_is_refused(self):
        self.assertRaises(ValueError, settings.PostgresSettings, {"VELOZ_PG_ROLE": "boss"})

    def test_configuration_values_are_quoted(self):
        self.assertEqual(process_one.quoted("ANY 1 (\"a\", 'b')"), "'ANY 1 (\"a\", ''b'')'")
        self.assertEqual(pgbouncer_files.quoted('a"b'), '"a""b"')
        self.assertRaises(ValueError, pgbouncer_files.quoted, "a\nb")


class RouteTest(unittest.TestCase):
    def test_a_route_is_written_and_read_back(self):
        with tempfile.TemporaryDirectory() as directory:
            found = settings.PgBouncerSettings({"VELOZ_NODE": "veloz-pgbouncer"})
            found.route_dir = directory
            self.assertEqual(found.first_route, {"host": "veloz-postgres-primary", "port": 5432})
            self.assertIsNone(pgbouncer_files.read_route(found))
            pgbouncer_files.write_route(found, {"host": "b", "port": 5433})
            self.assertEqual(pgbouncer_files.read_route(found), {"host": "b", "port": 5433})
            routes = statefile.read(pgbouncer_files.route_path(found))
            self.assertIn("veloz = host=b port=5433 dbname=veloz", routes)
            # One line, and no quote within the quotes: PgBouncer's rules.
            self.assertIn(f"connect_query='{pgbouncer_files.NEVER_A_STANDBY}'\n", routes)
            self.assertNotIn("'", pgbouncer_files.NEVER_A_STANDBY)
            self.assertNotIn("\n", pgbouncer_files.NEVER_A_STANDBY)
            pgbouncer_files.write_route(found, {"host": "b", "port": 5433}, "10.0.0.3")
            self.assertEqual(pgbouncer_files.read_route(found), {"host": "b", "port": 5433})
            self.assertIn("veloz = host=10.0.0.3 port=5433 ", statefile.read(pgbouncer_files.route_path(found)))
            # As written by an earlier version.
            statefile.replace(pgbouncer_files.route_path(found), "[databases]\nveloz = host=c port=1 dbname=veloz\n")
            self.assertEqual(pgbouncer_files.read_route(found), {"host": "c", "port": 1})

    def test_the_question_that_keeps_clients_from_a_standby_ends_the_connection_there_whatever_the_role_has_set(self):
        said = pgbouncer_files.NEVER_A_STANDBY
        # Before the first statement that reads: nothing reads under `serializable` on a standby.
        ahead, asks = said.split("SELECT set_config", 1)
        for setting in ("TRANSACTION ISOLATION LEVEL READ COMMITTED", "LOCAL search_path=pg_catalog", "LOCAL statement_timeout=0"):
            self.assertIn(f"SET {setting}; ", ahead)
        self.assertTrue(asks.startswith("($$exit_on_error$$,current_setting($$in_hot_standby$$),true); "))

    def test_pgbouncer_can_send_it(self):
        self.assertLessEqual(len(pgbouncer_files.NEVER_A_STANDBY.encode()), pgbouncer_files.LONGEST_QUERY)


class ArgumentsTest(unittest.TestCase):
    def refused(self, function, *args):
        with self.assertRaises(CommandError) as caught:
            function(*args)
        self.assertEqual(caught.exception.type, "BadRequest")

    def test_what_could_break_a_configuration_file_is_refused(self):
        for host in ("a b", "a'", "a\nb", "", None, "a;b", "a=b"):
            self.refused(arguments.address, {"host": host, "port": 5432}, "upstream")
        for port in (0, 65536, "5432", True, None):
            self.refused(arguments.address, {"host": "a", "port": port}, "upstream")

    def test_limits_are_bounded(self):
        self.assertEqual(arguments.milliseconds({"limitMs": 5000}, "limitMs"), 5000)
        for value in (0, -1, None, "5", True, 600_001, float("inf"), float("nan")):
            self.refused(arguments.milliseconds, {"limitMs": value}, "limitMs")

    def test_a_token_needs_a_run_and_an_attempt(self):
        self.assertEqual(arguments.token({"token": {"run": "a", "attempt": 1}}), {"run": "a", "attempt": 1})
        for value in (None, {}, {"run": "", "attempt": 1}, {"run": "a"}, {"run": "a", "attempt": -1}, "a"):
            self.refused(arguments.token, {"token": value})


class RewindConfigTest(unittest.TestCase):
    def test_the_server_that_pg_rewind_starts_is_on_the_nodes_own_directory(self):
        with tempfile.TemporaryDirectory() as folder:
            own = settings.PostgresSettings({})
            for name in ("volume", "own", "run", "socket_dir"):
                setattr(own, name, folder)
            own.data = os.path.join(folder, "da'ta")
            own.pass_file = os.path.join(folder, "pgpass")
            own.config_file = os.path.join(folder, "main.conf")
            own.rewind_config_file = os.path.join(folder, "rewind.conf")
            with open(own.config_file, "w", encoding="utf-8") as file:
                file.write("data_directory = '/other'\nport = 5433\n")
            with unittest.mock.patch.object(process_one, "become"), unittest.mock.patch.object(statefile, "know_reserve"):
                process_one._postgres(own)
            read = config_files.read(own.rewind_config_file, own.data).settings
            self.assertEqual((read["data_directory"].value, read["port"].value), (own.data, "5433"))


if __name__ == "__main__":
    unittest.main()

import os
import tempfile
import unittest
import unittest.mock

import support  # noqa: F401

from veloz_agent import base_backup, readiness, statefile, tablespaces
from veloz_agent.node_files import NodeFiles
from veloz_agent.settings import PostgresSettings

UPSTREAM = {"host": "b", "port": 5432}
VERSION = "PG_17_202406281"


class Volume(unittest.TestCase):
    """A node's volume with data directories on it, and a place beside it that is another mount."""

    def setUp(self):
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.root = os.path.realpath(held.name)
        self.settings = s = PostgresSettings({"VELOZ_NODE": "a"})
        s.volume = self.at("volume")
        s.data = self.at("volume", "data")
        s.own = self.at("volume", "veloz")
        for folder in (s.own, s.data, self.at("elsewhere")):
            os.makedirs(folder)
        self.files = NodeFiles(s.data, s.own, "replicator", "/pass", "veloz_standby", "a")
        self.mounts = ["/", "/proc"]
        patch = unittest.mock.patch.object(tablespaces, "mount_points", lambda: self.mounts)
        patch.start()
        self.addCleanup(patch.stop)

    def at(self, *names):
        return os.path.join(self.root, *names)

    def space(self, *names, holds=None):
        """A directory of a tablespace; `holds`: what is written in its one file."""
        path = self.at(*names)
        os.makedirs(path, exist_ok=True)
        if holds is not None:
            self.fill(path, holds)
        return path

    def fill(self, path, holds):
        os.makedirs(os.path.join(path, VERSION, "5"), exist_ok=True)
        statefile.replace(os.path.join(path, VERSION, "5", "PG_VERSION"), holds)

    def held(self, *names):
        return statefile.read(os.path.join(*names, VERSION, "5", "PG_VERSION"))

    def link(self, data, oid, path):
        os.makedirs(os.path.join(data, "pg_tblspc"), exist_ok=True)
        os.symlink(path, os.path.join(data, "pg_tblspc", oid))

    def places(self, wanted, datas=None):
        return tablespaces.places(self.settings, wanted, [self.settings.data] if datas is None else datas)

    def problem(self, path, datas=None):
        (one,) = self.places({"16400": path}, datas).problems
        return one["problem"]

    def copied(self, beside, holds="new"):
        """What pg_basebackup has made: the data directory and its tablespaces, beside."""
        side = base_backup.side_directory(self.settings)
        os.makedirs(os.path.join(side, "pg_tblspc"))
        statefile.replace(os.path.join(side, "PG_VERSION"), "17\n")
        for oid in beside:
            staged = os.path.join(base_backup.side_tablespaces(self.settings), oid)
            self.fill(staged, holds)
            self.link(side, oid, staged)


class PlacesTest(Volume):
    def test_what_is_missing_can_be_made_and_what_is_the_nodes_own_is_copied_beside(self):
        path = self.space("volume", "ts1", holds="old")
        self.link(self.settings.data, "16400", path)
        wanted = {"16400": path, "16401": self.at("volume", "ts2")}
        found = self.places(wanted)
        self.assertEqual((found.beside, found.problems, found.sentence()), (wanted, [], None))
        self.assertFalse(os.path.exists(self.at("volume", "ts2")))

    def test_one_within_the_data_directory_too(self):
        path = self.space("volume", "data", "ts1", holds="old")
        self.link(self.settings.data, "16400", path)
        self.assertEqual(self.places({"16400": path}).beside, {"16400": path})

    def test_an_empty_directory_elsewhere_is_left_to_pg_basebackup(self):
        found = self.places({"16400": self.at("elsewhere")})
        self.assertEqual((found.beside, found.problems), ({}, []))

    def test_what_lies_elsewhere_may_be_another_nodes_whatever_names_it(self):
        path = self.space("elsewhere", "ts1", holds="whose?")
        self.link(self.settings.data, "16400", path)
        self.assertIn("outside of the node's own volume", self.problem(path))

    def test_so_may_what_lies_in_a_mount_within_the_volume(self):
        path = self.space("volume", "shared", "ts1", holds="whose?")
        self.link(self.settings.data, "16400", path)
        self.mounts.append(self.at("volume", "shared"))
        self.assertIn("outside of the node's own volume", self.problem(path))
        # By a link as well.
        os.symlink(self.at("volume", "shared"), self.at("volume", "way"))
        self.assertIn("outside of the node's own volume", self.problem(self.at("volume", "way", "ts1")))
        self.mounts[-1] = os.path.join(path, VERSION)
        self.assertIn("is another mount", self.problem(path))

    def test_nothing_is_known_to_be_the_nodes_own_where_the_mounts_can_not_be_read(self):
        path = self.space("volume", "ts1", holds="whose?")
        self.link(self.settings.data, "16400", path)
        with unittest.mock.patch.object(tablespaces, "mount_points", side_effect=OSError):
            self.assertIn("outside", self.problem(path))

    def test_data_that_no_data_directory_of_the_node_names_is_not_touched(self):
        path = self.space("volume", "ts1", holds="whose?")
        self.assertIn(f"it holds {VERSION}, and no data directory of this node names it", self.problem(path))
        # What a copy replaced names it.
        replaced = self.settings.data + ".replaced-1"
        self.link(replaced, "16399", path)
        self.assertEqual(self.places({"16400": path}, [self.settings.data, replaced]).beside, {"16400": path})

    def test_other_files_beside_it_are_in_nobodys_way(self):
        path = self.space("volume", "ts1")
        statefile.replace(os.path.join(path, "notes"), "")
        os.mkdir(os.path.join(path, "PG_16_202307071"))
        self.assertEqual(self.places({"16400": path}).beside, {"16400": path})

    def test_what_can_not_be_made_is_told(self):
        statefile.replace(self.at("volume", "file"), "")
        self.assertEqual(self.problem(self.at("volume", "file")), "it is no directory")
        self.assertIn("may not make it", self.problem(self.at("volume", "file", "ts1")))
        found = self.places({"16400": self.at("volume", "file")})
        self.assertEqual(found.sentence(), f"tablespace 16400 at {self.at('volume', 'file')}: it is no directory")

    def test_directories_that_are_missing_are_made_and_others_told(self):
        statefile.replace(self.at("file"), "")
        there, new, never = self.space("volume", "ts1"), self.at("volume", "a", "ts2"), self.at("file", "ts3")
        made, failed = tablespaces.make([there, new, never])
        self.assertEqual((made, failed), ([new], [f"{never}: Not a directory"]))
        self.assertEqual(os.stat(new).st_mode & 0o777, 0o700)

    def test_readiness_tells_of_each_whether_it_is_there_and_on_the_nodes_own_volume(self):
        self.link(self.settings.data, "1", self.space("volume", "ts1"))
        self.link(self.settings.data, "2", self.at("elsewhere", "ts2"))
        told = [(one["oid"], one["there"], one["own"]) for one in readiness._tablespaces(self.settings)]
        self.assertEqual(told, [("1", True, True), ("2", False, False)])

    def test_the_mounts_of_this_process_are_read(self):
        unittest.mock.patch.stopall()
        self.assertIn("/", tablespaces.__dict__["mount_points"]())


class PutInPlaceTest(Volume):
    """A copy with tablespaces takes the place of data that has some, too."""

    def setUp(self):
        super().setUp()
        s = self.settings
        statefile.replace(os.path.join(s.data, "PG_VERSION"), "17\n")
        statefile.replace(os.path.join(s.data, "old"), "")
        # One that is on both, one that the upstream has dropped, one that is new, one within the data directory, one in another mount.
        self.both = self.space("volume", "ts1", holds="old")
        self.dropped = self.space("volume", "ts2", holds="dropped")
        self.new = self.at("volume", "ts3")
        self.within = self.space("volume", "data", "ts4", holds="old")
        self.far = self.space("elsewhere", "ts5", holds="theirs")
        for oid, path in (("1", self.both), ("2", self.dropped), ("4", self.within), ("5", self.far)):
            self.link(s.data, oid, path)
        statefile.replace(os.path.join(self.both, "notes"), "mine")
        self.beside = {"11": self.both, "13": self.new, "14": self.within}
        self.copied(self.beside)
        # pg_basebackup makes an empty directory of it.
        os.mkdir(os.path.join(base_backup.side_directory(s), "ts4"))

    def put(self):
        base_backup.put_in_place(self.settings, self.files, UPSTREAM, self.beside)

    def check(self):
        data = self.settings.data
        self.assertFalse(os.path.exists(os.path.join(data, "old")))
        self.assertTrue(self.files.is_standby)
        self.assertEqual(tablespaces.links(data), {"11": self.both, "13": self.new, "14": self.within})
        for oid in ("11", "13", "14"):
            self.assertEqual(self.held(data, "pg_tblspc", oid), "new")
        (replaced,) = base_backup.replaced(self.settings)
        # The old data is whole, and goes with its directory.
        self.assertEqual(self.held(replaced, "pg_tblspc", "1"), "old")
        self.assertEqual(self.held(replaced, "pg_tblspc", "2"), "dropped")
        # Nothing of it leads into the data of now.
        self.assertEqual(self.held(replaced, "pg_tblspc", "4"), "old")
        self.assertEqual(tablespaces.links(replaced), {"5": self.far})
        # Others' is left.
        self.assertEqual(self.held(self.far), "theirs")
        self.assertEqual(statefile.read(os.path.join(self.both, "notes")), "mine")
        self.assertEqual(os.listdir(self.dropped), [])
        self.assertEqual(sorted(os.listdir(self.settings.volume))[:2], ["data", os.path.basename(replaced)])
        self.assertFalse(os.path.exists(base_backup.side_tablespaces(self.settings)))
        self.assertFalse(base_backup.finish(self.settings, self.files))

    def test_it_does_and_the_old_goes_into_the_directory_that_is_removed(self):
        self.put()
        self.check()

    def test_wherever_a_container_ends_meanwhile_its_next_start_finishes_it(self):
        rename, ended = os.rename, 0
        # Whatever is done with a name is done once more after the end.
        for stop_at in range(1, 20):
            count = 0

            def breaks(*names):
                nonlocal count
                count += 1
                if count == stop_at:
                    raise KeyboardInterrupt
                rename(*names)

            with self.subTest(stop_at=stop_at), unittest.mock.patch.object(os, "rename", breaks):
                try:
                    self.put()
                except KeyboardInterrupt:
                    ended += 1
                else:
                    break
            if base_backup.finish(self.settings, self.files):
                self.check()
            else:
                # Not begun: the old data is as it was.
                self.assertEqual((self.held(self.both), self.held(self.within)), ("old", "old"))
                self.assertTrue(os.path.exists(os.path.join(self.settings.data, "old")))
            self.doCleanups()
            self.setUp()
        self.assertGreater(ended, 7)

    def test_a_copy_that_could_not_take_its_place_does_not_take_it_later(self):
        rename = os.rename

        def fails(source, target):
            if source == self.settings.data:
                raise OSError(5, "Input/output error")
            rename(source, target)

        with unittest.mock.patch.object(os, "rename", fails), self.assertRaises(OSError):
            self.put()
        self.assertFalse(base_backup.finish(self.settings, self.files))
        self.assertTrue(os.path.exists(os.path.join(self.settings.data, "old")))

    def test_one_that_was_cut_short_before_the_old_data_went_is_given_up_by_a_rewind(self):
        with unittest.mock.patch.object(base_backup, "_take_place", side_effect=KeyboardInterrupt):
            self.assertRaises(KeyboardInterrupt, self.put)
        base_backup.give_up(self.settings)
        self.assertFalse(base_backup.finish(self.settings, self.files))
        self.assertTrue(os.path.exists(os.path.join(self.settings.data, "old")))

    def test_a_rewind_that_did_not_end_is_no_database_because_a_copy_was_set_aside(self):
        with unittest.mock.patch.object(base_backup, "_take_place", side_effect=KeyboardInterrupt):
            self.assertRaises(KeyboardInterrupt, self.put)
        base_backup.set_aside(self.settings)
        self.files.mark_rewind()
        base_backup.finish(self.settings, self.files)
        self.assertTrue(self.files.rewind_begun)

    def test_what_the_copy_before_left_is_not_taken_for_the_data_of_now(self):
        self.put()
        for path in base_backup.replaced(self.settings):
            # It still names the directory that the new data has by now.
            self.link(path, "9", self.both)
        self.beside = {"21": self.both}
        self.copied(self.beside, "newer")
        time = unittest.mock.Mock(**{"strftime.return_value": "99990101T000000Z", "time_ns.return_value": 1})
        with unittest.mock.patch.object(base_backup, "time", time):
            self.put()
        older, newer = base_backup.replaced(self.settings)
        self.assertEqual(self.held(newer, "pg_tblspc", "11"), "new")
        self.assertEqual(self.held(self.settings.data, "pg_tblspc", "21"), "newer")
        self.assertTrue(os.path.islink(os.path.join(older, "pg_tblspc", "9")))

    def test_an_attempt_that_failed_is_set_aside_with_its_tablespaces(self):
        base_backup.set_aside(self.settings)
        self.assertEqual(len(base_backup.discarded(self.settings)), 2)
        base_backup.remove_discarded(self.settings)
        self.assertEqual(sorted(os.listdir(self.settings.volume)), ["data", "ts1", "ts2", "veloz"])
        self.assertEqual((self.held(self.both), self.held(self.dropped)), ("old", "dropped"))


class CommandTest(Volume):
    def test_each_tablespace_of_the_nodes_own_is_copied_beside(self):
        self.settings.data = "/v/data"
        command = base_backup.command(self.settings, UPSTREAM, {"16400": "/v/a=b"})
        self.assertEqual(command[-1], "--tablespace-mapping=/v/a\\=b=/v/data.incomplete-tablespaces/16400")
        self.assertEqual(base_backup.command(self.settings, UPSTREAM), command[:-1])

    def test_what_was_passed_over_is_found_in_what_it_printed(self):
        told = (
            'WARNING:  skipping special file "./base/16385"\n 79417/569136 kB (13%), 0/1 tablespace\n'
            'WARNING:  skipping special file "./log"\nWARNING:  skipping special file "./.s.PGSQL.5432"\n'
            'WARNING:  skipping special file "./base/16385"\nWARNING:  skipping special file "./pg_xact"\n'
            'WARNING:  skipping special file "/ts/PG_17_1/5"\nWARNING:  skipping special file "./server.crt"\n'
            'WARNING:  skipping special file "./pg_hba.conf"\nWARNING:  skipping special file "./pg_log"\n'
        )
        self.assertEqual(base_backup.left_out(told), ["./base/16385", "./pg_xact", "/ts/PG_17_1/5"])
        self.assertEqual(base_backup.left_out(None), [])


if __name__ == "__main__":
    unittest.main()

import asyncio
import contextlib
import os
import pwd
import tempfile
import time
import unittest
from unittest import mock

import support  # noqa: F401

from veloz_agent import kept, uncopied
from veloz_agent.settings import PostgresSettings

# Nobody in particular: what root may read tells nothing of what a server may.
SOMEBODY = 65534


@contextlib.contextmanager
def as_somebody():
    """As a server's user, who is not root; whoever runs the tests is that already, or can become it for a while."""
    if os.geteuid() != 0:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    os.setgroups([])
    os.setegid(SOMEBODY)
    os.seteuid(SOMEBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


class UncopiedTest(unittest.TestCase):
    def setUp(self):
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.data = os.path.join(held.name, "data")
        os.mkdir(self.data)
        for folder in (held.name, self.data):
            os.chmod(folder, 0o755)
        self.settings = PostgresSettings({"VELOZ_NODE": "a"})
        self.settings.data = self.data
        self.settings.config_file = os.path.join(held.name, "postgresql.conf")
        self.owner = pwd.getpwuid(os.geteuid()).pw_name

    def write(self, name, mode):
        path = os.path.join(self.data, name)
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            os.makedirs(folder)
            os.chmod(folder, 0o755)
        with open(path, "w", encoding="utf-8"):
            pass
        # Of one's own file nobody but root is kept from reading by less than that.
        os.chmod(path, mode if os.geteuid() == 0 or mode & 0o004 else 0)
        return path

    def answer(self):
        with as_somebody():
            return asyncio.run(uncopied.Uncopied(self.settings).answer())

    def found(self):
        with as_somebody():
            return [(os.path.relpath(one["path"], self.data), one.get("owner")) for one in uncopied.walk(self.data)]

    def test_a_file_that_root_left_is_told_with_its_mode_and_its_owner(self):
        path = self.write("notes.txt", 0o600)
        self.write("PG_VERSION", 0o644)
        self.write("base/5/1249", 0o644)
        with as_somebody():
            answer = self.answer()["unreadable"]
            me = pwd.getpwuid(os.geteuid()).pw_name
        mode = f"{os.stat(path).st_mode & 0o7777:04o}"
        expected = {"user": me, "files": [{"path": path, "mode": mode, "owner": self.owner}], "more": 0}
        self.assertEqual(answer, expected)

    def test_one_deep_in_the_databases_is_found_and_a_directory_that_can_not_be_entered(self):
        self.write("base/5/1249", 0o600)
        self.write("closed/inside", 0o644)
        os.chmod(os.path.join(self.data, "closed"), 0o700 if os.geteuid() == 0 else 0)
        self.addCleanup(os.chmod, os.path.join(self.data, "closed"), 0o755)
        self.assertEqual(self.found(), [("base/5/1249", self.owner), ("closed", self.owner)])

    def test_what_no_copy_reads_is_passed_over(self):
        for name in (
            "pg_wal/000000010000000000000001",
            "pg_stat_tmp/x",
            "pg_replslot/a/state",
            "base/pgsql_tmp/pgsql_tmp7.0",
            "global/pg_internal.init.7",
            "postmaster.pid",
        ):
            self.write(name, 0o600)
        os.mkfifo(os.path.join(self.data, "pipe"), 0o600)
        self.assertEqual(self.found(), [])
        # Only at the top are these directories PostgreSQL's own.
        self.write("mine/pg_wal/x", 0o600)
        self.assertEqual(self.found(), [("mine/pg_wal/x", self.owner)])

    def test_many_are_counted(self):
        for number in range(uncopied.TOLD + 3):
            self.write(f"{number:03}", 0o600)
        with as_somebody():
            answer = self.answer()["unreadable"]
        self.assertEqual((len(answer["files"]), answer["more"]), (uncopied.TOLD, 3))

    def test_what_was_found_is_kept_for_a_while_and_what_is_wrong_is_looked_at_again(self):
        looks = uncopied.Uncopied(self.settings)

        async def paths():
            with as_somebody():
                return [one["path"] for one in (await looks.answer())["unreadable"]["files"]]

        async def run():
            with mock.patch.object(kept.time, "monotonic") as now:
                now.return_value = 100.0
                self.assertEqual(await paths(), [])
                path = self.write("x", 0o600)
                now.return_value = 100.0 + uncopied.KEPT_S - 1
                self.assertEqual(await paths(), [])
                now.return_value = 100.0 + uncopied.KEPT_S + 1
                self.assertEqual(await paths(), [path])
                os.unlink(path)
                now.return_value += 0.01
                self.assertEqual(await paths(), [])

        asyncio.run(run())

    def test_a_directory_that_is_not_there_is_nothing_to_tell_of(self):
        self.settings.data = os.path.join(self.data, "no")
        self.assertEqual(self.answer()["unreadable"]["files"], [])
        self.assertEqual(self.answer()["leftOut"], {"links": [], "more": 0})

    def test_a_link_that_the_server_follows_and_no_copy_does_is_told(self):
        elsewhere = os.path.join(os.path.dirname(self.data), "cold")
        self.write("base/5/1249", 0o644)
        os.mkdir(elsewhere)
        link = os.path.join(self.data, "base", "16400")
        os.symlink(elsewhere, link)
        self.assertEqual(self.answer()["leftOut"], {"links": [{"path": link, "target": elsewhere}], "more": 0})

    def test_links_without_which_a_copy_is_whole_are_not(self):
        for name in ("pg_wal", "pg_replslot", "log", "logs"):
            os.symlink("/elsewhere", os.path.join(self.data, name))
        with open(os.path.join(self.data, "postgresql.auto.conf"), "w", encoding="utf-8") as file:
            file.write("log_directory = 'logs'\n")
        self.assertEqual(self.answer()["leftOut"]["links"], [])

    def test_a_link_that_is_no_part_of_the_database_is_none_of_these_nor_is_what_lies_beside_it(self):
        self.write("PG_VERSION", 0o644)
        for name in ("server.crt", "dump.sql", "base.tar", "pg_hba.conf", "pg_log", "mine/16400", "mine/pg_xact"):
            os.makedirs(os.path.join(self.data, "mine"), exist_ok=True)
            os.symlink("/elsewhere", os.path.join(self.data, name))
        with open(self.settings.config_file, "w", encoding="utf-8") as file:
            file.write("hba_file = '/etc/pg_hba.conf'\nssl_cert_file = 'server.crt'\n")
        os.chmod(self.settings.config_file, 0o644)
        self.assertEqual(self.answer()["leftOut"], {"links": [], "more": 0})
        # The other way round: all of the server's own.
        for name in ("pg_logical", "pg_multixact", "global", "postgresql.auto.conf"):
            os.symlink("/elsewhere", os.path.join(self.data, name))
        told = [os.path.basename(link["path"]) for link in self.answer()["leftOut"]["links"]]
        self.assertEqual(told, ["global", "pg_logical", "pg_multixact", "postgresql.auto.conf"])

    def test_a_link_to_what_the_settings_name_is_told_with_them_for_as_long_as_they_do(self):
        secrets = os.path.join(os.path.realpath(os.path.dirname(self.data)), "secrets")
        os.mkdir(secrets)
        os.symlink("../secrets", os.path.join(self.data, "tls"))
        os.symlink("/etc/rules", os.path.join(self.data, "pg_hba.conf"))
        os.symlink("/etc/more.conf", os.path.join(self.data, "more.conf"))
        looks = uncopied.Uncopied(self.settings)

        def links(*lines):
            with open(self.settings.config_file, "w", encoding="utf-8") as file:
                file.write("\n".join(lines))
            os.chmod(self.settings.config_file, 0o644)
            with as_somebody():
                found = asyncio.run(looks.answer())["leftOut"]["links"]
            return [(os.path.basename(link["path"]), link["target"], link["setting"], link["leadsTo"]) for link in found]

        tls = ["ssl_cert_file = 'tls/crt'", "ssl_key_file = 'tls/key'"]
        mine = ["hba_file = '/etc/pg_hba.conf'"]
        self.assertEqual(links(*mine, *tls), [])
        self.assertEqual(
            links(*mine, *tls, "ssl = on"),
            [("tls", "../secrets", name, f"{secrets}/{file}") for name, file in (("ssl_cert_file", "crt"), ("ssl_key_file", "key"))],
        )
        self.assertEqual(
            links(f"include '{self.data}/more.conf'"),
            [("more.conf", "/etc/more.conf", "include", "/etc/more.conf"), ("pg_hba.conf", "/etc/rules", "hba_file", "/etc/rules")],
        )
        self.assertEqual(links(*mine, "ssl = on", "ssl_cert_file = '/run/secrets/crt'"), [])

    def test_tablespaces_are_looked_into_and_a_link_to_one_is_none_of_these(self):
        space = os.path.join(os.path.dirname(self.data), "space")
        inside = os.path.join(space, "PG_17_202406281")
        os.makedirs(inside)
        for folder in (space, inside):
            os.chmod(folder, 0o755)
        os.mkdir(os.path.join(self.data, "pg_tblspc"))
        os.chmod(os.path.join(self.data, "pg_tblspc"), 0o755)
        os.symlink(space, os.path.join(self.data, "pg_tblspc", "16399"))
        os.symlink("/gone", os.path.join(self.data, "pg_tblspc", "16398"))
        os.symlink("/cold", os.path.join(inside, "16400"))
        # No part of the tablespace.
        os.symlink("/elsewhere", os.path.join(space, "mine"))
        (link,) = self.answer()["leftOut"]["links"]
        self.assertEqual(link["target"], "/cold")

    def test_who_is_about_to_copy_is_told_what_is_now_or_what_was_last_known(self):
        looks = uncopied.Uncopied(self.settings)
        link = os.path.join(self.data, "pg_xact")

        async def links(asked):
            return [one["path"] for one in (await asked)["leftOut"]["links"]]

        async def run():
            self.assertEqual(await links(looks.answer()), [])
            os.symlink("/cold", link)
            self.assertEqual(await links(looks.answer()), [])
            self.assertEqual(await links(looks.anew(10)), [link])
            with mock.patch.object(uncopied, "walk", lambda *_args, **_more: time.sleep(0.2) or []):
                self.assertEqual(await links(looks.anew(0.01)), [link])

        asyncio.run(run())

    def test_a_look_that_takes_longer_than_who_asks_waits_is_not_begun_beside_itself(self):
        looks, begun = uncopied.Uncopied(self.settings), []

        def walk(*_args, **_more):
            begun.append(1)
            time.sleep(0.3)
            return []

        async def run():
            for _ in range(4):
                await looks.anew(0.02)
            self.assertEqual(len(begun), 1)
            await looks.anew(5)
            await asyncio.sleep(0)
            await looks.anew(5)
            self.assertEqual(len(begun), 2)

        with mock.patch.object(uncopied, "walk", walk):
            asyncio.run(run())

    def test_a_link_that_was_replaced_is_told_no_more_though_all_names_are_not_looked_through_again(self):
        looks = uncopied.Uncopied(self.settings)
        link = os.path.join(self.data, "pg_xact")
        os.symlink("/cold", link)

        async def run():
            found = [(await looks.answer())["leftOut"]["links"]]
            os.unlink(link)
            os.mkdir(link)
            with mock.patch.object(uncopied, "walk", side_effect=AssertionError):
                return [*found, (await looks.answer())["leftOut"]["links"]]

        with as_somebody():
            before = asyncio.run(looks.answer())["leftOut"]["links"]
        self.assertEqual(before, [{"path": link, "target": "/cold"}])
        self.assertEqual(asyncio.run(run()), [before, []])

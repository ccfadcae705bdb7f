import asyncio
import json
import unittest
from types import SimpleNamespace
from unittest import mock

import support  # noqa: F401

from veloz_agent import access_rules, client_rules

SETTINGS = SimpleNamespace(ha_user="veloz_ha", control_database="veloz_ha", repl_user="replicator", peers=[{"host": "b"}])


def rule(**rest):
    return {
        "line_number": 1, "type": "host", "database": ["all"], "user_name": ["all"], "address": "samenet", "netmask": None,
        "auth_method": "scram-sha-256", "error": None, **rest,
    }  # fmt: skip


REPLICATION = rule(line_number=2, database=["replication"])


class RefusalTest(unittest.TestCase):
    def refused(self, *rules):
        found = access_rules.refusals(list(rules), SETTINGS, ["10.0.0.7"])
        return [(each["role"], each["why"]) for each in found]

    def test_the_shipped_rules_let_both_roles_in(self):
        local = rule(type="local", address=None, auth_method="trust")
        superuser = rule(user_name=["postgres"], address="all", auth_method="reject")
        self.assertEqual(self.refused(local, superuser, rule(), REPLICATION), [])

    def test_the_first_rule_that_fits_decides(self):
        reject = rule(line_number=9, address="10.0.0.0", netmask="255.255.255.0", auth_method="reject")
        self.assertEqual(self.refused(reject, rule(), REPLICATION), [("veloz_ha", "line 9 says reject")])
        self.assertEqual(self.refused(rule(), REPLICATION, reject), [])
        elsewhere = {**reject, "address": "10.0.1.0"}
        self.assertEqual(self.refused(elsewhere, rule(), REPLICATION), [])

    def test_all_databases_are_not_those_of_replication(self):
        self.assertEqual(self.refused(rule()), [("replicator", "no line lets it in")])

    def test_tls_and_ways_to_prove_oneself_that_nobody_here_has(self):
        tls = rule(type="hostssl")
        self.assertEqual(self.refused(tls, REPLICATION), [("veloz_ha", "no line lets it in")])
        self.assertEqual(self.refused(rule(auth_method="cert"), REPLICATION), [("veloz_ha", "line 1 says cert")])

    def test_replication_only_over_tls_may_well_be_let_in_and_what_depends_on_tls_is_not_told(self):
        control = rule(database=["veloz_ha"])
        self.assertEqual(self.refused(control, {**REPLICATION, "type": "hostssl"}), [])
        no_plain = {**REPLICATION, "type": "hostnossl", "auth_method": "reject"}
        self.assertEqual(self.refused(control, no_plain, {**REPLICATION, "type": "hostssl"}), [])
        elsewhere = {**REPLICATION, "type": "hostssl", "address": "10.9.0.0", "netmask": "255.255.0.0"}
        self.assertEqual(self.refused(control, elsewhere), [("replicator", "no line lets it in")])
        plain = {**REPLICATION, "auth_method": "reject"}
        self.assertEqual(self.refused(control, plain), [("replicator", "line 2 says reject")])

    def test_the_control_role_needs_a_line_without_tls_for_the_workers(self):
        no_plain = rule(line_number=4, type="hostnossl", user_name=["veloz_ha"], auth_method="reject")
        self.assertEqual(self.refused(no_plain, rule(), REPLICATION), [("veloz_ha", "line 4 says reject")])

    def test_names_and_patterns_of_roles(self):
        self.assertEqual(self.refused(rule(user_name=["/^veloz"], auth_method="reject"), REPLICATION)[0][0], "veloz_ha")
        self.assertEqual(self.refused(rule(user_name=["veloz"]), REPLICATION), [("veloz_ha", "no line lets it in")])

    def test_what_is_not_clear_is_not_told(self):
        for unclear in ({"user_name": ["+ops"]}, {"database": ["samerole"]}, {"address": "node-b.example"}):
            self.assertEqual(self.refused(rule(**unclear, auth_method="reject"), REPLICATION), [])


class ClientsTest(unittest.TestCase):
    def refusal(self, *rules):
        return client_rules.refusal(list(rules), "veloz", "veloz", "10.0.0.7")

    def test_a_line_that_rejects_clients_is_told_and_the_first_that_fits_decides(self):
        reject = rule(line_number=3, user_name=["veloz"], auth_method="reject")
        self.assertEqual(self.refusal(reject, rule()), "line 3 says reject")
        self.assertIsNone(self.refusal(rule(), reject))
        self.assertEqual(self.refusal(rule(user_name=["veloz_ha"])), "no line lets it in")

    def test_what_depends_on_tls_or_on_secrets_is_not_told(self):
        reject = rule(auth_method="reject")
        for unclear in (rule(type="hostssl"), rule(type="hostnossl", auth_method="reject"), rule(user_name=["+app"])):
            self.assertIsNone(self.refusal(unclear, reject))
        self.assertIsNone(self.refusal(rule(auth_method="ldap"), reject))
        self.assertEqual(self.refusal(rule(type="local"), rule(type="hostssl", user_name=["b"]), reject), "line 1 says reject")


class ReadTest(unittest.TestCase):
    def read(self, hba, ident=()):
        class Session:
            async def query(self, _sql):
                return [{"hba": json.dumps(list(hba)), "ident": json.dumps(list(ident))}]

        async def look_up(_host):
            return "10.0.0.7"

        with mock.patch.object(access_rules, "look_up", look_up):
            return asyncio.run(access_rules.read(SETTINGS, Session()))

    def test_a_mistake_is_told_with_its_line_and_hides_what_the_other_lines_would_do(self):
        wrong = {"line_number": 4, "file_name": "/etc/veloz/pg_hba.conf", "error": "invalid CIDR mask"}
        found = self.read([wrong], [{"line_number": 1, "map_name": None, "error": "missing entry at end of line"}])
        self.assertEqual(found["errors"], [{"file": "/etc/veloz/pg_hba.conf", "line": 4, "error": "invalid CIDR mask"}])
        self.assertEqual(found["identErrors"][0]["error"], "missing entry at end of line")
        self.assertEqual(found["refused"], [])

    def test_who_would_be_refused_is_told(self):
        found = self.read([rule(auth_method="reject"), REPLICATION])
        self.assertEqual([each["role"] for each in found["refused"]], ["veloz_ha"])

    def test_a_server_that_does_not_say_is_no_news(self):
        class Session:
            async def query(self, _sql):
                raise OSError("gone")

        self.assertIsNone(asyncio.run(access_rules.read(SETTINGS, Session())))


if __name__ == "__main__":
    unittest.main()

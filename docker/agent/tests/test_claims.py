import unittest

import support  # noqa: F401

from veloz_agent.claims import REMEMBERED, Claims
from veloz_agent.errors import CommandError


def token(run, attempt=1):
    return {"run": run, "attempt": attempt}


class ClaimsTest(unittest.TestCase):
    def refused(self, type_, function, *args):
        with self.assertRaises(CommandError) as caught:
            function(*args)
        self.assertEqual(caught.exception.type, type_)
        return caught.exception

    def test_a_free_node_is_taken_and_only_its_own_token_passes(self):
        claims = Claims()
        self.refused("Superseded", claims.check, token("a"))
        self.assertTrue(claims.claim(token("a"), armed=False))
        claims.check(token("a"))
        self.refused("Superseded", claims.check, token("b"))
        self.refused("Superseded", claims.check, token("a", 2))

    def test_claiming_again_changes_nothing(self):
        claims = Claims()
        claims.claim(token("a"), armed=False)
        self.assertFalse(claims.claim(token("a"), armed=True))

    def test_a_later_attempt_takes_over_even_while_armed_and_the_earlier_one_is_refused(self):
        claims = Claims()
        claims.claim(token("a", 1), armed=False)
        self.assertTrue(claims.claim(token("a", 2), armed=True))
        self.refused("Superseded", claims.check, token("a", 1))
        error = self.refused("Superseded", claims.claim, token("a", 1), False)
        self.assertEqual(error.details["owner"], token("a", 2))

    def test_another_run_waits_while_the_switch_is_armed(self):
        claims = Claims()
        claims.claim(token("a"), armed=False)
        self.refused("Busy", claims.claim, token("b"), True)
        claims.check(token("a"))

    def test_another_run_replaces_one_that_holds_nothing_and_that_one_never_comes_back(self):
        claims = Claims()
        claims.claim(token("a"), armed=False)
        claims.claim(token("b"), armed=False)
        self.refused("Superseded", claims.claim, token("a", 99), False)
        claims.forget(token("b"), armed=False)
        self.refused("Superseded", claims.claim, token("a", 99), False)

    def test_a_forgotten_run_may_claim_again_but_not_by_an_older_attempt(self):
        claims = Claims()
        claims.claim(token("a", 2), armed=False)
        self.assertTrue(claims.forget(token("a", 2), armed=False))
        self.refused("Superseded", claims.claim, token("a", 1), False)
        claims.claim(token("a", 2), armed=False)

    def test_forgetting_is_idempotent_for_the_owner_only_and_refused_while_armed(self):
        claims = Claims()
        self.assertFalse(claims.forget(token("a"), armed=False))
        claims.claim(token("a"), armed=False)
        self.refused("Superseded", claims.forget, token("b"), False)
        self.refused("Busy", claims.forget, token("a"), True)
        self.assertTrue(claims.forget(token("a"), armed=False))
        self.refused("Superseded", claims.check, token("a"))

    def test_the_state_survives_a_restart(self):
        claims = Claims()
        claims.claim(token("a"), armed=False)
        claims.claim(token("b", 3), armed=False)
        again = Claims(claims.as_state())
        again.check(token("b", 3))
        self.refused("Superseded", again.claim, token("a"), False)

    def test_the_memory_of_runs_that_are_over_is_bounded(self):
        claims = Claims()
        for number in range(REMEMBERED * 2):
            claims.claim(token(f"run-{number}"), armed=False)
        self.assertEqual(len(claims.as_state()["over"]), REMEMBERED)
        self.refused("Superseded", claims.claim, token(f"run-{REMEMBERED * 2 - 2}"), False)

    def test_a_revoked_run_stays_revoked_for_all_its_attempts_and_after_a_restart(self):
        claims = Claims()
        claims.claim(token("a"), armed=False)
        claims.check_not_revoked(token("a"))
        claims.revoke("a")
        claims.claim(token("a", 2), armed=False)
        for each in (claims, Claims(claims.as_state())):
            self.refused("Revoked", each.check_not_revoked, token("a", 2))
            self.refused("Revoked", each.check_not_revoked, token("a", 99))
        claims.forget(token("a", 2), armed=False)
        claims.claim(token("a", 3), armed=False)
        self.refused("Revoked", claims.check_not_revoked, token("a", 3))

    def test_another_run_ends_the_record_and_the_revoked_run_never_comes_back(self):
        for gave_back in (False, True):
            claims = Claims()
            claims.claim(token("a"), armed=False)
            claims.revoke("a")
            if gave_back:
                claims.forget(token("a"), armed=False)
            claims.claim(token("b"), armed=False)
            claims.check_not_revoked(token("b"))
            claims.forget(token("b"), armed=False)
            self.refused("Superseded", claims.claim, token("a", 99), False)

    def test_only_a_run_that_this_node_knows_and_nobody_replaced_can_be_revoked(self):
        claims = Claims()
        self.refused("NotRevocable", claims.revoke, "a")
        claims.claim(token("a"), armed=False)
        claims.claim(token("b"), armed=False)
        self.refused("NotRevocable", claims.revoke, "a")
        claims.forget(token("b"), armed=False)
        claims.revoke("a")
        claims.revoke("a")


if __name__ == "__main__":
    unittest.main()

import unittest

import support  # noqa: F401

from veloz_agent.saslprep import saslprep


class SaslprepTest(unittest.TestCase):
    def test_examples_of_the_profile(self):
        for given, wanted in (
            ("user", "user"),
            ("I\u00adX", "IX"),
            ("\u00aa", "a"),
            ("\u2168", "IX"),
            ("\ufb01sch", "fisch"),
            ("a\u00a0b", "a b"),
        ):
            self.assertEqual(saslprep(given), wanted)

    def test_what_it_forbids_is_used_as_it_is(self):
        for password in ("\u0627\u0031", "\u00e9\u0007", "\u00ad", "a\u0221"):
            self.assertEqual(saslprep(password), password)


if __name__ == "__main__":
    unittest.main()

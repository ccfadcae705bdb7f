import os
import signal
import tempfile
import unittest
import unittest.mock

import support  # noqa: F401

from veloz_agent import server_processes, statefile
from veloz_agent.crashes import Crashes


class CrashesTest(unittest.TestCase):
    def test_the_first_start_comes_at_once_and_later_ones_after_growing_pauses(self):
        crashes = Crashes()
        pauses = [crashes.add(1, 100, 0) for _ in range(9)]
        self.assertEqual(pauses, [0, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5])
        self.assertEqual(crashes.as_answer(), {"count": 9, "lastAtMs": 0, "lastExitCode": 1})

    def test_a_server_that_ran_for_a_minute_had_recovered(self):
        crashes = Crashes()
        for _ in range(5):
            crashes.add(1, 100, 0)
        self.assertEqual(crashes.add(-9, 60_000, 7), 0)
        self.assertEqual(crashes.as_answer(), {"count": 6, "lastAtMs": 7, "lastExitCode": -9})


class ServerProcessesTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.proc = directory.name
        for pid, stat in {
            1: "1 (veloz-agent) S 0",
            7: "7 (postgres) S 1",
            8: "8 (postgres) T 7",
            9: "9 (postgres) Z 7",
            10: "10 (psql) R 0",
            11: "11 (a) (postgres) S) S 0",
        }.items():
            os.mkdir(os.path.join(self.proc, str(pid)))
            statefile.replace(os.path.join(self.proc, str(pid), "stat"), stat + " 0 0\n")
        os.mkdir(os.path.join(self.proc, "12"))
        os.mkdir(os.path.join(self.proc, "self"))

    def test_postmasters_and_backends_count_also_when_stopped_but_not_when_ended(self):
        self.assertEqual(sorted(server_processes.server_pids(self.proc)), [7, 8])

    def test_nothing_is_killed_by_anything_but_process_1(self):
        with unittest.mock.patch("os.kill") as kill:
            with unittest.mock.patch("os.getpid", return_value=42):
                self.assertEqual(server_processes.kill_servers(self.proc), [])
            kill.assert_not_called()
            with unittest.mock.patch("os.getpid", return_value=1):
                self.assertEqual(sorted(server_processes.kill_servers(self.proc)), [7, 8])
            self.assertEqual(kill.call_count, 2)

    def test_what_was_stopped_is_woken_and_nothing_else_is_sent_a_signal(self):
        with unittest.mock.patch("os.kill") as kill:
            with unittest.mock.patch("os.getpid", return_value=42):
                self.assertEqual(server_processes.wake_stopped(proc=self.proc), [])
            with unittest.mock.patch("os.getpid", return_value=1):
                self.assertEqual(server_processes.wake_stopped(7, self.proc), [])
                kill.assert_not_called()
                self.assertEqual(server_processes.wake_stopped(8, self.proc), [8])
                self.assertEqual(server_processes.wake_stopped(proc=self.proc), [8])
                # It ended meanwhile.
                kill.side_effect = ProcessLookupError
                self.assertEqual(server_processes.wake_stopped(proc=self.proc), [])
            self.assertEqual(kill.call_args_list, [unittest.mock.call(8, signal.SIGCONT)] * 3)


if __name__ == "__main__":
    unittest.main()

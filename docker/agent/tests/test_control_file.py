import os
import struct
import subprocess
import tempfile
import unittest
import unittest.mock

import support  # noqa: F401

from veloz_agent import control_file

TEXT = """pg_control version number:            1700
Database system identifier:           7711205990298988567
Database cluster state:               shut down in recovery
Latest checkpoint location:           1/2000080
Latest checkpoint's REDO location:    1/2000048
Latest checkpoint's TimeLineID:       3
Minimum recovery ending location:     1/2000120
Min recovery ending loc's timeline:   4
Data page checksum version:           1
"""


def binary(state=1, version=1700):
    data = bytearray(control_file.PG17_CRC_OFFSET)
    struct.pack_into("=QI", data, 0, 7711205990298988567, version)
    struct.pack_into("=i", data, 16, state)
    struct.pack_into("=QQ", data, 32, (1 << 32) + 0x2000080, (1 << 32) + 0x2000048)
    struct.pack_into("=I", data, 48, 3)
    struct.pack_into("=QI", data, 136, (1 << 32) + 0x2000120, 4)
    struct.pack_into("=I", data, control_file.PG17_CHECKSUM_VERSION_OFFSET, 1)
    return bytes(data) + struct.pack("=I", control_file.crc32c(bytes(data)))


class ControlFileTest(unittest.TestCase):
    def test_the_checksum_is_crc_32c(self):
        self.assertEqual(control_file.crc32c(b"123456789"), 0xE3069283)

    def test_the_file_and_the_output_of_pg_controldata_say_the_same(self):
        self.assertEqual(control_file.parse_binary(binary(state=2)), control_file.parse_text(TEXT))

    def test_a_clean_shutdown_is_recognised(self):
        self.assertEqual(control_file.parse_binary(binary(state=1))["state"], "shut down")

    def test_a_torn_read_another_version_and_a_short_file_are_refused(self):
        torn = bytearray(binary())
        torn[40] ^= 1
        for data in (bytes(torn), binary(version=1800), b""):
            self.assertRaises(ValueError, control_file.parse_binary, data)

    def test_a_file_whose_checksum_is_wrong_is_unreadable(self):
        warning = "pg_controldata: warning: calculated CRC checksum does not match value stored in control file\n"
        with tempfile.TemporaryDirectory() as directory:
            os.mkdir(os.path.join(directory, "global"))
            damaged = bytearray(binary())
            damaged[40] ^= 1
            with open(os.path.join(directory, "global", "pg_control"), "wb") as file:
                file.write(damaged)
            for told in (warning, ""):
                done = subprocess.CompletedProcess([], 0, TEXT, told)
                with unittest.mock.patch("subprocess.run", return_value=done):
                    if told:
                        self.assertRaises(OSError, control_file.read_control, directory, "/bin")
                    else:
                        # It was torn when it was first read.
                        self.assertEqual(control_file.read_control(directory, "/bin")["timeline"], 4)

    def test_the_newest_history_file_tells_the_timeline(self):
        with tempfile.TemporaryDirectory() as directory:
            self.assertEqual(control_file.newest_history(directory), 1)
            for name in ("00000002.history", "0000000A.history", "junk.history", "0000000A0000000000000001"):
                open(os.path.join(directory, name), "w").close()
            self.assertEqual(control_file.newest_history(directory), 10)
        self.assertEqual(control_file.newest_history("/nowhere"), 1)

    def test_a_history_that_a_primary_never_had_is_strange_and_that_of_a_standby_may_be_its_upstreams(self):
        with tempfile.TemporaryDirectory() as directory:
            for folder in ("global", "pg_wal"):
                os.mkdir(os.path.join(directory, folder))
            for name in ("00000003.history", "00000004.history", "00000005.history", "0000000A.history", "junk.history"):
                open(os.path.join(directory, "pg_wal", name), "w").close()

            def found(state):
                with open(os.path.join(directory, "global", "pg_control"), "wb") as file:
                    file.write(binary(state=state))
                return control_file.strange_histories(directory, "/bin")

            # It was promoted to 4, and its first checkpoint there is still to come.
            self.assertEqual(found(6), ["00000005.history", "0000000A.history"])
            self.assertEqual(found(5), [])


if __name__ == "__main__":
    unittest.main()

"""What PostgreSQL's control file says, without a server.

The file is read directly (microseconds, which counts while clients are held) when it has the layout of PostgreSQL 17
and its checksum is right; anything else is left to pg_controldata. What that warns of is unreadable: it prints the
fields of a damaged file all the same.
"""

from __future__ import annotations

import errno
import os
import struct
import subprocess

PG17_CONTROL_VERSION = 1700
# Offset of the CRC-32C in PostgreSQL 17's ControlFileData, which covers everything before it (catalog/pg_control.h).
PG17_CRC_OFFSET = 288
PG17_CHECKSUM_VERSION_OFFSET = 252

STATES = (
    "starting up",
    "shut down",
    "shut down in recovery",
    "shutting down",
    "in crash recovery",
    "in archive recovery",
    "in production",
)


def _crc_table() -> list:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ 0x82F63B78 if value & 1 else value >> 1
        table.append(value)
    return table


_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def lsn(value: int) -> str:
    return f"{value >> 32:X}/{value & 0xFFFFFFFF:X}"


def parse_binary(data: bytes) -> dict:
    """The fields of a PostgreSQL 17 pg_control. Raises ValueError for any other layout or a torn read."""
    if len(data) < PG17_CRC_OFFSET + 4:
        raise ValueError(f"pg_control has {len(data)} bytes")
    (version,) = struct.unpack_from("=I", data, 8)
    if version != PG17_CONTROL_VERSION:
        raise ValueError(f"pg_control has version {version}")
    (crc,) = struct.unpack_from("=I", data, PG17_CRC_OFFSET)
    if crc != crc32c(data[:PG17_CRC_OFFSET]):
        raise ValueError("pg_control's checksum does not match")
    (system_identifier,) = struct.unpack_from("=Q", data, 0)
    (state,) = struct.unpack_from("=i", data, 16)
    (checkpoint, redo) = struct.unpack_from("=QQ", data, 32)
    (timeline,) = struct.unpack_from("=I", data, 48)
    (min_recovery, min_recovery_timeline) = struct.unpack_from("=QI", data, 136)
    (checksums,) = struct.unpack_from("=I", data, PG17_CHECKSUM_VERSION_OFFSET)
    return {
        "state": STATES[state] if 0 <= state < len(STATES) else f"unknown ({state})",
        "timeline": max(timeline, min_recovery_timeline),
        "checkpointLsn": lsn(checkpoint),
        "redoLsn": lsn(redo),
        "checkpointTimeline": timeline,
        "minRecoveryLsn": lsn(min_recovery) if min_recovery else None,
        "systemIdentifier": str(system_identifier),
        "checksums": checksums != 0,
    }


def parse_text(text: str) -> dict:
    """The same from the output of `LC_ALL=C pg_controldata`."""
    fields = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields[key.strip()] = value.strip()
    timeline = int(fields["Latest checkpoint's TimeLineID"])
    minimum = fields.get("Minimum recovery ending location", "0/0")
    return {
        "state": fields["Database cluster state"],
        "timeline": max(timeline, int(fields.get("Min recovery ending loc's timeline", "0"))),
        "checkpointLsn": fields["Latest checkpoint location"],
        "redoLsn": fields["Latest checkpoint's REDO location"],
        "checkpointTimeline": timeline,
        "minRecoveryLsn": None if minimum == "0/0" else minimum,
        "systemIdentifier": fields["Database system identifier"],
        "checksums": fields.get("Data page checksum version", "0") != "0",
    }


def newest_history(pg_wal: str) -> int:
    """The newest timeline whose history this node has; 1 without any."""
    return max(_histories(pg_wal).values(), default=1)


def _histories(pg_wal: str) -> dict:
    """Each history file's timeline, by its name."""
    found = {}
    try:
        for name in os.listdir(pg_wal):
            if name.endswith(".history"):
                try:
                    found[name] = int(name[:-8], 16)
                except ValueError:
                    pass
    except OSError:
        pass
    return found


def read_control(data_directory: str, bin_directory: str) -> dict:
    """`timeline` is the newest one this node took part in: a primary's own history counts before its checkpoint.

    OSError when the checksum is wrong, as for a file that can't be read.
    """
    control = _read(data_directory, bin_directory)
    control["timeline"] = max(control["timeline"], newest_history(os.path.join(data_directory, "pg_wal")))
    return control


def strange_histories(data_directory: str, bin_directory: str) -> list:
    """Histories of timelines that a primary never had, as a restore leaves them: as a standby it would look for the newest, and not start.

    A standby fetches those of its upstream before it has got there, so that of one nothing can be told. OSError, CalledProcessError or
    TimeoutExpired where the control file can't be read.
    """
    # First what may only grow: a promotion writes its history, then the control file, and then lets writes in.
    names = _histories(os.path.join(data_directory, "pg_wal"))
    control = _read(data_directory, bin_directory)
    if control["state"] != "in production":
        return []
    return sorted(name for name, timeline in names.items() if timeline > control["timeline"])


def _read(data_directory: str, bin_directory: str) -> dict:
    try:
        with open(os.path.join(data_directory, "global", "pg_control"), "rb") as file:
            control = parse_binary(file.read(PG17_CRC_OFFSET + 4))
    except ValueError:
        done = subprocess.run(  # noqa: S603
            [os.path.join(bin_directory, "pg_controldata"), "-D", data_directory],
            env={"LC_ALL": "C", "PATH": os.defpath},
            capture_output=True,
            text=True,
            timeout=2,
            check=True,
        )
        if "CRC checksum does not match" in done.stderr + done.stdout:
            raise OSError(errno.EIO, f"pg_control is damaged: {done.stderr.strip()}") from None
        control = parse_text(done.stdout)
    return control

"""What a restore or a hand leaves behind and what must not decide how a node of a cluster starts, or what it can do.

A recovery target that was forgotten in the settings sleeps for as long as the node is a primary: it is read when the
node starts as a standby, ends its recovery somewhere in the past, and makes a second primary of it. So the agent gives
every server that it starts its own word on all of it, on the command line, which wins over every file.
"""

from __future__ import annotations

import os
import re
from typing import Optional

from . import config_files, statefile

# What a node of a cluster has instead of each: the newest timeline, and WAL from its upstream's slot.
OVERRIDDEN = {
    "recovery_target": "",
    "recovery_target_name": "",
    "recovery_target_time": "",
    "recovery_target_xid": "",
    "recovery_target_lsn": "",
    "recovery_target_action": "pause",
    "recovery_target_inclusive": "on",
    "recovery_target_timeline": "latest",
    # A command that hangs would keep a promotion from ending.
    "restore_command": "",
    "recovery_end_command": "",
    "archive_cleanup_command": "",
    # With it off nobody could set synchronous_standby_names: neither before a promotion nor after a fence.
    "allow_alter_system": "on",
    # Without it a standby lets nobody in: its replay can be neither watched nor proven.
    "hot_standby": "on",
    # A standby that did not find its upstream tries again after this time, and commits wait for it; a promotion may sleep for
    # what is left of it. The default is 5 s.
    "wal_retrieve_retry_interval": "50ms",
    # With 0 a standby confirms nothing unless it is asked to, at half of wal_sender_timeout: each commit waits for so long, or for
    # ever. A primary feels nothing of it until it is a standby.
    "wal_receiver_status_interval": "1s",
    # With a few milliseconds a standby ends its session in each quiet moment, and is synchronous in turns; with 0 it never notices that
    # its upstream is gone. What the shipped file says.
    "wal_receiver_timeout": "5s",
    # The mirror of it on whoever is the primary: a few milliseconds end the session of each standby that writes for longer than that. A
    # standby feels nothing of it until it is promoted. What the shipped file says.
    "wal_sender_timeout": "5s",
    # For debuggers: each new connection sleeps for so long before it may log in, longer than any session of a run waits for. In a file it
    # sleeps itself until somebody reloads, and a run does.
    "pre_auth_delay": "0",
}
# What these settings are at least: places that clients can't take. Without the first, sessions of the control role are refused when all
# others are taken, and without the second those of the agent. More is whoever set it's own choice.
PLACES = {"reserved_connections": 5, "superuser_reserved_connections": 3}
# A server of an earlier version does not start with a setting that it does not know.
_SINCE = {"allow_alter_system": 17, "reserved_connections": 16}
_PLACES_DEFAULT = {"reserved_connections": "0", "superuser_reserved_connections": "3", "max_connections": "100"}
# The agent's own file says these; ALTER SYSTEM would win over it.
OWN_FILE = ("primary_conninfo", "primary_slot_name")
# Files in the data directory, each of which changes what the next start does.
SIGNALS = ("recovery.signal", "backup_label", "tablespace_map")
_DEFAULTS = {
    "recovery_target_action": ("pause",),
    "recovery_target_timeline": ("latest",),
    # What the shipped file says; without a unit it is milliseconds.
    "wal_retrieve_retry_interval": ("50ms", "50"),
    # Without a unit it is seconds.
    "wal_receiver_status_interval": ("1s", "1", "1000ms"),
    # Without a unit it is milliseconds.
    "wal_receiver_timeout": ("5s", "5000", "5000ms"),
    "wal_sender_timeout": ("5s", "5000", "5000ms"),
    # Without a unit it is seconds.
    "pre_auth_delay": ("0", "0s", "0ms"),
}
_SWITCHES = ("recovery_target_inclusive", "allow_alter_system", "hot_standby")
_TRUE = re.compile(r"^(on|true|yes|1|t|y|tr|tru|ye)$", re.IGNORECASE)


def arguments(version: int, settings: dict, data: str) -> list:
    """For the command line of every server that the agent starts.

    `version`: PostgreSQL's major version. `settings`: what the files say, by name. `data`: the directory that it starts on; `-D` alone
    would only say where it begins to look, and a file could lead it to another database, which the agent takes for this one.
    """
    ours = {"data_directory": data, **OVERRIDDEN, **_raised(version, settings)}
    known = {name: value for name, value in ours.items() if version >= _SINCE.get(name, 0)}
    return [word for name, value in known.items() for word in ("-c", f"{name}={value}")]


def _raised(version: int, settings: dict) -> dict:
    """Kept places of which the files say fewer; none where `max_connections` has no room for them, with which no server would start."""

    def value(name: str) -> int:
        setting: Optional[config_files.Setting] = settings.get(name)
        return int(setting.value if setting else _PLACES_DEFAULT[name])

    try:
        wanted = {name: max(value(name), least) for name, least in PLACES.items() if version >= _SINCE.get(name, 0)}
        if sum(wanted.values()) >= value("max_connections"):
            return {}
        return {name: str(places) for name, places in wanted.items() if places > value(name)}
    except ValueError:
        # In words that PostgreSQL has to judge.
        return {}


def leftovers(version: int, settings: dict, data: str) -> list:
    """What the files say of all this and is not the default: `{name, value, file, line}`. `data`: the node's own data directory."""
    found = [{"name": name, **settings[name].as_answer()} for name in _raised(version, settings) if name in settings]
    directory: Optional[config_files.Setting] = settings.get("data_directory")
    if directory is not None and os.path.normpath(directory.value) != os.path.normpath(data):
        found.append({"name": "data_directory", **directory.as_answer()})
    for name in (*OVERRIDDEN, *OWN_FILE):
        setting: Optional[config_files.Setting] = settings.get(name)
        if setting is None or _is_default(name, setting.value):
            continue
        if name in OWN_FILE and os.path.basename(setting.file) == "standby.conf":
            continue
        found.append({"name": name, **setting.as_answer()})
    return found


def is_on(value: str) -> bool:
    """Does a file say yes by this value?"""
    return bool(_TRUE.match(value))


def _is_default(name: str, value: str) -> bool:
    if name in _SWITCHES:
        return is_on(value)
    return value.lower().replace(" ", "") in _DEFAULTS.get(name, ("",))


def left_signals(data: str, running: bool) -> list:
    """Signal files that nothing asked for. `backup_label` is a copy's own until its first start."""
    names = SIGNALS if running else ("recovery.signal",)
    return [name for name in names if os.path.exists(os.path.join(data, name))]


def clear(data: str) -> list:
    """Before a start: takes away what the command line can't override. Returns what it took away, in words."""
    taken = []
    signal = os.path.join(data, "recovery.signal")
    try:
        os.unlink(signal)
        statefile.sync_directory(data)
        taken.append("recovery.signal")
    except FileNotFoundError:
        pass
    path = os.path.join(data, config_files.AUTO_CONF)
    text = statefile.read(path) or ""
    lines = text.splitlines()
    kept = [line for line in lines if config_files.name_of(line) not in OWN_FILE]
    if len(kept) != len(lines):
        taken += [f"{config_files.name_of(line)} in {config_files.AUTO_CONF}" for line in lines if line not in kept]
        statefile.replace(path, "\n".join(kept) + "\n")
    return taken

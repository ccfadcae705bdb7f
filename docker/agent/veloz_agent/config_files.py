"""PostgreSQL's settings as its files say them now: what a server that starts next would read. Nothing is started.

A running server tells what it runs with; what somebody left in the files since then shows only at the next start, which
may be the middle of a switchover.
"""

from __future__ import annotations

import glob
import os
import re
from typing import Iterator, NamedTuple, Optional

AUTO_CONF = "postgresql.auto.conf"
_NAME = re.compile(r"\s*([A-Za-z_][\w$]*(?:\.[A-Za-z_][\w$]*)?)\s*=?\s*")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.|'')*)'")
_BARE = re.compile(r"[^\s#']+")
_ESCAPE = re.compile(r"\\([0-7]{1,3}|.)|''")
_SIMPLE = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
# As deep as PostgreSQL itself follows includes.
MAX_DEPTH = 10


class Setting(NamedTuple):
    """A value, and where it stands."""

    value: str
    file: str
    line: int

    def as_answer(self) -> dict:
        return {"value": self.value, "file": self.file, "line": self.line}


class ConfigFiles:
    """`settings`: the last word on each name, lower case. `files`: what was read, or was not there."""

    def __init__(self) -> None:
        self.settings: dict = {}
        self.files: list = []

    def fingerprint(self) -> tuple:
        """Changes when one of the files does."""
        return stamps(self.files)


def stamps(paths: list) -> tuple:
    """Changes when one of these files does."""
    return tuple((path, _stamp(path)) for path in paths)


def _stamp(path: str) -> Optional[tuple]:
    try:
        entry = os.stat(path)
    except OSError:
        return None
    return (entry.st_mtime_ns, entry.st_size, entry.st_ino)


def read(config_file: str, data: str) -> ConfigFiles:
    """The main file with its includes, and then what ALTER SYSTEM wrote, which wins."""
    found = ConfigFiles()
    _read_file(found, config_file, 0)
    _read_file(found, os.path.join(data, AUTO_CONF), 0)
    return found


def hba_file(settings: dict, data: str) -> str:
    """The absolute path of the rules of access at the next start. A relative one begins where the server is started."""
    return _named(settings, "hba_file", os.path.join(data, "pg_hba.conf"))


def ident_file(settings: dict, data: str) -> str:
    """The same of the maps of user names."""
    return _named(settings, "ident_file", os.path.join(data, "pg_ident.conf"))


def _named(settings: dict, name: str, default: str) -> str:
    setting = settings.get(name)
    return os.path.abspath(setting.value) if setting and setting.value else default


def _read_file(found: ConfigFiles, path: str, depth: int) -> None:
    found.files.append(path)
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    except OSError:
        # Whether a start would mind is for PostgreSQL to say.
        return
    for name, value, line in parse(text):
        if name in ("include", "include_if_exists", "include_dir"):
            if depth < MAX_DEPTH:
                for included in _included(name, os.path.join(os.path.dirname(path), value)):
                    _read_file(found, included, depth + 1)
        else:
            found.settings[name] = Setting(value, path, line)


def _included(name: str, path: str) -> list:
    if name != "include_dir":
        return [path]
    # The directory itself counts as a file that may change.
    return [path, *sorted(found for found in glob.glob(os.path.join(glob.escape(path), "*.conf")))]


def parse(text: str) -> Iterator:
    """(name, value, line) of each setting. A line that PostgreSQL would not understand is left to PostgreSQL."""
    for number, line in enumerate(text.splitlines(), 1):
        name = _NAME.match(line)
        if name is None:
            continue
        rest = line[name.end() :]
        quoted = _QUOTED.match(rest)
        if quoted:
            yield name[1].lower(), _unescape(quoted[1]), number
            continue
        bare = _BARE.match(rest)
        if bare:
            yield name[1].lower(), bare[0], number


def name_of(line: str) -> Optional[str]:
    """The setting that a line of a file speaks of, None for a comment or an empty one."""
    found = _NAME.match(line)
    return found[1].lower() if found else None


def _unescape(text: str) -> str:
    def one(found: re.Match) -> str:
        escaped = found[1]
        if escaped is None:
            return "'"
        if escaped[0] in "01234567":
            return chr(int(escaped, 8) & 0xFF)
        return _SIMPLE.get(escaped, escaped)

    return _ESCAPE.sub(one, text)

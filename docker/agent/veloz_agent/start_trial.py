"""A start that is tried without being made: would PostgreSQL start again with what its files say now?

`postgres -C` on a directory of links to the data directory goes through all that comes before shared memory: it
reads the files, loads the libraries, opens certificates, and compares settings with each other; then it prints the size
of the shared memory and ends. What comes after that is tried here: memory, addresses, directories, sockets, the log collector's
first file, the replication slots, and the progress of replication origins. The server that runs is not touched, and nothing is written.
"""

from __future__ import annotations

import asyncio
import collections
import datetime
import grp
import mmap
import os
import re
import shutil
import socket
import stat
import time
import zoneinfo
from typing import Optional

from . import origin_files, slot_files
from .config_files import AUTO_CONF, ConfigFiles, hba_file
from .processes import Processes
from .recovery_settings import arguments, is_on
from .settings import PostgresSettings

# Two sizes of the whole stack's usual start; a library that waits for something is no library to start with.
LIMIT_S = 10
NAME_LIMIT_S = 2
# What a running server keeps for itself, and what its start would remove.
_NOT_LINKED = ("postmaster.pid", "postmaster.opts")
TOLD = 400
# So many trials with the same files are kept.
KEPT = 5
# sockaddr_un has 108 bytes, the last of which ends the path.
SOCKET_PATH_BYTES = 107
# What a start failed at need not be a file of settings: whoever mended it asks again at once. A trial takes some 50 ms.
FAILED_AGE_S = 1


class StartTrial:
    """One at a time; the last answer stands until a file changed or it is old."""

    def __init__(self, settings: PostgresSettings, processes: Processes, env: dict) -> None:
        self._settings = settings
        self._processes = processes
        self._env = env
        self._lock = asyncio.Lock()
        self._seen: Optional[tuple] = None
        self._answer: dict = {}
        # A busy machine stretches a trial; the shortest of those with the same files tells what the start itself takes.
        self._took: collections.deque = collections.deque(maxlen=KEPT)

    async def answer(self, files: ConfigFiles, max_age_s: float) -> dict:
        """`{ok, problem, setting, leftover, ms, shortestMs, ageMs}`: `setting` is the likely culprit, `leftover` what in the data directory
        is; `ok` is null when it was not tried."""
        async with self._lock:
            now = time.monotonic()
            fingerprint = files.fingerprint()
            age_s = max_age_s if self._answer.get("ok") else min(max_age_s, FAILED_AGE_S)
            if self._seen is None or self._seen[0] != fingerprint or now - self._seen[1] > age_s:
                if self._seen is None or self._seen[0] != fingerprint:
                    self._took.clear()
                self._answer = await self._try(files)
                if self._answer["ok"]:
                    self._took.append(self._answer["ms"])
                self._seen = (fingerprint, now)
            # One alone tells how long the machine took, and not how long the start takes.
            shortest = min(self._took) if len(self._took) > 1 else None
            return {**self._answer, "shortestMs": shortest, "ageMs": round((time.monotonic() - self._seen[1]) * 1000)}

    async def _try(self, files: ConfigFiles) -> dict:
        began = time.monotonic()
        leftover = None
        try:
            problem = await asyncio.wait_for(self._problem(files), LIMIT_S)
            if problem is None:
                leftover, problem = await asyncio.to_thread(junk_problem, self._settings.data)
            ok: Optional[bool] = problem is None
        except asyncio.TimeoutError:
            ok, problem = False, f"the start did not come to its end within {LIMIT_S} s"
        except OSError as error:
            ok, problem = None, f"it could not be tried: {error}"
        return {
            "ok": ok,
            "problem": problem,
            "setting": culprit(problem, files) if problem and ok is False and leftover is None else None,
            "leftover": leftover,
            "ms": round((time.monotonic() - began) * 1000, 1),
        }

    async def _problem(self, files: ConfigFiles) -> Optional[str]:
        code, told = await self._run(files)
        if code < 0:
            # Whoever ends every server of this container ends this one as well.
            raise OSError(f"the trial was ended by signal {-code}")
        if code != 0:
            return _words(told) or f"it ends with exit code {code}"
        settings = {name: setting.value for name, setting in files.settings.items()}
        return (
            memory_problem(told, settings.get("huge_pages", "try"))
            or await address_problem(settings.get("listen_addresses", "localhost"))
            or file_problem(hba_file(files.settings, self._settings.data), settings)
            or socket_problem(settings)
            or log_problem(self._settings.data, settings)
            or await asyncio.to_thread(slot_problem, self._settings.data, settings)
            or await asyncio.to_thread(origin_files.problem, self._settings.data, settings, self._settings.version)
        )

    async def _run(self, files: ConfigFiles) -> tuple:
        s = self._settings
        scratch = os.path.join(s.run, "start-trial")
        await asyncio.to_thread(_link, s.data, scratch)
        parts: list = []
        try:
            code = await self._processes.read(
                [
                    f"{s.bin}/postgres", "-D", scratch, "-c", f"config_file={s.config_file}",
                    *arguments(s.version, files.settings, scratch), "-C", "shared_memory_size",
                ],
                {**self._env, "LC_ALL": "C"},
                parts.append,
            )  # fmt: skip
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, True)
        return code, b"".join(parts).decode("utf-8", "replace").strip()


def _link(data: str, scratch: str) -> None:
    shutil.rmtree(scratch, ignore_errors=True)
    os.makedirs(scratch, mode=0o700)
    for name in os.listdir(data):
        if name not in _NOT_LINKED:
            os.symlink(os.path.join(data, name), os.path.join(scratch, name))


def _words(told: str) -> str:
    """What PostgreSQL said, without time and process."""
    lines = []
    for line in told.splitlines():
        for mark in ("FATAL:  ", "ERROR:  ", "LOG:  ", "DETAIL:  ", "postgres: "):
            if mark in line:
                lines.append(line.split(mark, 1)[1])
                break
    return "; ".join(lines or told.splitlines())[:TOLD]


# What PostgreSQL says where it names no setting.
_MEANS = (
    ("could not access file", ("shared_preload_libraries", "session_preload_libraries", "archive_library")),
    ("could not load library", ("shared_preload_libraries", "session_preload_libraries", "archive_library")),
    ("certificate", ("ssl_cert_file", "ssl_ca_file", "ssl")),
    ("private key", ("ssl_key_file", "ssl")),
    ("shared memory", ("shared_buffers", "max_connections", "huge_pages")),
    ("addresses", ("listen_addresses",)),
)


def culprit(problem: str, files: ConfigFiles) -> Optional[dict]:
    """The setting that a failed start speaks of, as it stands in the files."""
    named = [name for name in files.settings if re.search(rf"\b{re.escape(name)}\b", problem)]
    meant = [name for words, names in _MEANS if words in problem for name in names if name in files.settings]
    for name in [*sorted(named, key=lambda name: not _by_hand(files, name)), *meant]:
        return {"name": name, **files.settings[name].as_answer()}
    return None


def _by_hand(files: ConfigFiles, name: str) -> bool:
    return os.path.basename(files.settings[name].file) == AUTO_CONF


def memory_problem(told: str, huge_pages: str, meminfo: str = "/proc/meminfo") -> Optional[str]:
    """`told` ends with the megabytes of shared memory that the start would ask for."""
    try:
        wanted = int(told.split()[-1]) << 20
    except (IndexError, ValueError):
        return None
    if huge_pages.lower() == "on":
        pages = _meminfo(meminfo)
        room = pages.get("HugePages_Total", 0) * pages.get("Hugepagesize", 0) * 1024
        if room < wanted:
            return f"huge_pages is on, and it would ask for {wanted >> 20} MB of them; the machine has {room >> 20} MB"
        return None
    if _strict_overcommit():
        # What the running server has is counted already; only a size that never fits is certain.
        room = _meminfo(meminfo).get("CommitLimit", 0) * 1024
        if wanted <= room:
            return None
        return f"it would ask for {wanted >> 20} MB of shared memory, and the machine commits {room >> 20} MB"
    try:
        # Reserved and given back at once: no page of it is touched.
        mmap.mmap(-1, wanted).close()
    except (OSError, ValueError, OverflowError) as error:
        return f"it would ask for {wanted >> 20} MB of shared memory, and can't get it: {error}"
    return None


def _strict_overcommit() -> bool:
    try:
        with open("/proc/sys/vm/overcommit_memory", encoding="ascii") as file:
            return file.read().strip() == "2"
    except OSError:
        return False


def _meminfo(path: str) -> dict:
    found = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            name, _, rest = line.partition(":")
            found[name] = int(rest.split()[0])
    return found


async def address_problem(listen: str) -> Optional[str]:
    """PostgreSQL starts when it can listen on one of its addresses; which of them others use is another question."""
    hosts = [host.strip() for host in listen.split(",") if host.strip()]
    if not hosts or "*" in hosts:
        return None
    failures = []
    for host in hosts:
        try:
            loop = asyncio.get_running_loop()
            found = await asyncio.wait_for(
                loop.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE), NAME_LIMIT_S
            )
            family, kind, _, _, address = found[0]
            with socket.socket(family, kind) as sock:
                sock.bind(address)
            return None
        except (OSError, asyncio.TimeoutError) as error:
            failures.append(f"{host}: {error}")
    return f"it can't listen on any of its addresses: {'; '.join(failures)}"


def file_problem(hba: str, values: dict) -> Optional[str]:
    """The files and directories that come after the shared memory."""
    # A missing map of names is only told by PostgreSQL; without the rules of access it does not start.
    if not os.access(hba, os.R_OK):
        return f"hba_file {hba} can't be read"
    sockets = [path.strip() for path in values.get("unix_socket_directories", "/tmp").split(",") if path.strip()]
    if sockets and not any(os.access(path, os.W_OK | os.X_OK) for path in sockets):
        return f"no directory of unix_socket_directories can be written: {', '.join(sockets)}"
    return None


def socket_problem(values: dict) -> Optional[str]:
    """The sockets themselves: a start ends where none of them can be made, and one that its own agent may not open is as good as none."""
    sockets = [path.strip() for path in values.get("unix_socket_directories", "/tmp").split(",") if path.strip()]
    if not sockets:
        return None
    port = values.get("port", "5432")
    paths = [f"{path}/.s.PGSQL.{port}" for path in sockets]
    if all(len(os.fsencode(path)) > SOCKET_PATH_BYTES for path in paths):
        return (
            f"each path in unix_socket_directories is too long for a socket, of which {SOCKET_PATH_BYTES} bytes are the most: "
            + ", ".join(f"{path} ({len(os.fsencode(path))} bytes)" for path in paths)
        )
    # A name that begins so lies in no directory, and has no owner and no rights.
    if all(path.startswith("@") for path in sockets):
        return None
    return _group_problem(values.get("unix_socket_group", "")) or _permissions_problem(
        values.get("unix_socket_permissions", "0777")
    )


def _group_problem(group: str) -> Optional[str]:
    """The server gives each socket to this group, which only a member may do. It takes a number for the number of a group."""
    if group == "":
        return None
    if re.fullmatch(r"\s*[+-]?\d+", group):
        number = int(group)
    else:
        try:
            number = grp.getgrnam(group).gr_gid
        except (KeyError, ValueError):
            return f"unix_socket_group {group} does not exist in this container"
    if number in (os.getegid(), *os.getgroups()):
        return None
    return f"unix_socket_group is {group}, and the server's user is no member of it: it could make no socket"


def _permissions_problem(permissions: str) -> Optional[str]:
    """To connect takes the right to write; the agent is the owner, being the server's user."""
    try:
        # As in C: a number that begins with 0 is octal.
        mode = int(permissions, 8 if re.match(r"0[0-7]", permissions) else 0)
    except ValueError:
        return None
    if mode & stat.S_IWUSR:
        return None
    return f"unix_socket_permissions {permissions} would shut the node's own agent out of its server's socket"


def log_problem(data: str, values: dict) -> Optional[str]:
    """The collector makes its directory, but not what that lies in, and a start ends where it can't write its first file."""
    if not is_on(values.get("logging_collector", "off")):
        return None
    path = os.path.join(data, values.get("log_directory") or "log")
    there = os.path.lexists(path)
    # Without it, what it would be made in.
    held = path if there else os.path.dirname(os.path.normpath(path))
    if os.path.isdir(held) and os.access(held, os.W_OK | os.X_OK):
        return _log_file_problem(path, values)
    return f"logging_collector is on, and log_directory {path} can't be {'written' if there else 'made'}"


def _log_file_problem(directory: str, values: dict) -> Optional[str]:
    """Its name is a pattern, which may lead to another directory than the collector makes."""
    pattern = values.get("log_filename") or "postgresql-%Y-%m-%d_%H%M%S.log"
    try:
        zone: Optional[datetime.tzinfo] = zoneinfo.ZoneInfo(values.get("log_timezone") or "GMT")
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        # A word that only PostgreSQL knows: the container's own time comes closest.
        zone = None
    try:
        file = f"{directory.rstrip('/')}/{datetime.datetime.now(zone).strftime(pattern)}"
    except ValueError:
        return None
    folder = os.path.dirname(file)
    cause = f"log_filename '{pattern}' leads there" if "log_filename" in values else "logging_collector is on"
    if not os.path.isdir(folder) and os.path.normpath(folder) != os.path.normpath(directory):
        return f"the log collector would find no directory {folder}: {cause}"
    # What is there is written on; a directory of that name, or of somebody else's file, ends the start.
    there = os.path.lexists(file)
    if there and (os.path.isdir(file) or not os.access(file, os.W_OK)) or (
        not there and os.path.isdir(folder) and not os.access(folder, os.W_OK | os.X_OK)
    ):
        return f"the log collector could not write its first file {file}: {cause}"
    return None


def junk_problem(data: str) -> tuple:
    """(what is in the way, the problem), or twice None. What lies there comes from no setting."""
    found = slot_files.junk(data)
    if not found:
        return None, None
    path = f"{slot_files.DIRECTORY}/{found[0]}"
    more = f", and so {len(found) - 1} more" if len(found) > 1 else ""
    return path, f"{path} has no state of a replication slot that can be read{more}: a start would end there"


def slot_problem(data: str, values: dict) -> Optional[str]:
    """A server with more slots than it may have, or with a slot that needs more WAL than it would write, does not start."""
    try:
        room = int(values.get("max_replication_slots", "10"))
    except ValueError:
        return None
    return slot_files.problem(slot_files.read(data), room, values.get("wal_level", "replica"))

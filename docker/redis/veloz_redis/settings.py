"""What a container is told by its environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional

VOLUME = "/var/lib/redis"
RUN = "/run/veloz"
PASSWORD_FILE = f"{RUN}/redis-password"
# Why a Sentinel names no master yet; absent while it does.
WAITS = f"{RUN}/waits"

Address = tuple[str, int]


class SettingsError(Exception):
    """A setting that nothing can be started with."""


@dataclass(frozen=True)
class Settings:
    kind: str
    """`node` or `sentinel`."""
    node: str
    """The name of the container: what others reach it by, whatever its address is today."""
    password: str
    master: str
    """The Sentinels' name of the group."""
    sentinels: tuple[Address, ...]
    nodes: tuple[Address, ...]
    """All Redis nodes. The first one is the master of a stack that starts for the first time."""
    quorum: int
    down_after_ms: int
    failover_timeout_ms: int
    fsync: str

    @property
    def port(self) -> int:
        return 26379 if self.kind == "sentinel" else 6379

    @property
    def majority(self) -> int:
        return len(self.sentinels) // 2 + 1


def secret(environment: Mapping[str, str], name: str) -> str:
    """The file named by `<name>_FILE`, else the variable."""
    path = environment.get(f"{name}_FILE", "")
    if path:
        try:
            with open(path, encoding="utf-8") as file:
                value = file.read().rstrip("\r\n")
        except OSError as error:
            raise SettingsError(f"{name}_FILE names {path}: {error.strerror}") from None
    else:
        value = environment.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set: a Redis without a password is not started")
    # A line end would add a line of our own to Redis's configuration.
    if any(ord(letter) < 32 for letter in value):
        raise SettingsError(f"{name} has a control character in it")
    return value


def addresses(text: str, name: str) -> tuple[Address, ...]:
    found = []
    for part in text.split(","):
        host, _, port = part.strip().rpartition(":")
        if not host or not port.isdigit():
            raise SettingsError(f"{name} has {part.strip()!r}: expected host:port")
        found.append((host, int(port)))
    return tuple(found)


def _number(environment: Mapping[str, str], name: str, preset: int) -> int:
    text = environment.get(name) or str(preset)
    if not text.isdigit() or int(text) == 0:
        raise SettingsError(f"{name} is {text!r}: expected a number above 0")
    return int(text)


def impatience(settings: Settings) -> list[str]:
    """What of a Sentinel's times is so far from the usual that `veloz-ha redis status` tells it for as long, in words."""
    times = (
        ("VELOZ_REDIS_DOWN_AFTER_MS", settings.down_after_ms, 5000),
        ("VELOZ_REDIS_FAILOVER_TIMEOUT_MS", settings.failover_timeout_ms, 60000),
    )
    return [
        f"{name} is {value} ms (limit: {usual // 2} to {usual * 2}): a failover comes late, or where nothing is wrong"
        for name, value, usual in times
        if not usual // 2 <= value <= usual * 2
    ]


def read(environment: Mapping[str, str], password: Optional[str] = None) -> Settings:
    kind = environment.get("VELOZ_REDIS_KIND", "node")
    if kind not in ("node", "sentinel"):
        raise SettingsError(f"VELOZ_REDIS_KIND is {kind!r}: expected node or sentinel")
    fsync = environment.get("VELOZ_REDIS_APPENDFSYNC") or "everysec"
    if fsync not in ("always", "everysec", "no"):
        raise SettingsError(f"VELOZ_REDIS_APPENDFSYNC is {fsync!r}: expected always, everysec or no")
    node = environment.get("VELOZ_NODE", "")
    if not node:
        raise SettingsError("VELOZ_NODE is not set: expected the name of the container")
    sentinels = addresses(environment.get("VELOZ_REDIS_SENTINELS", ""), "VELOZ_REDIS_SENTINELS")
    return Settings(
        kind=kind,
        node=node,
        password=secret(environment, "VELOZ_REDIS_PASSWORD") if password is None else password,
        master=environment.get("VELOZ_REDIS_MASTER") or "veloz-master",
        sentinels=sentinels,
        nodes=addresses(environment.get("VELOZ_REDIS_NODES", ""), "VELOZ_REDIS_NODES"),
        quorum=_number(environment, "VELOZ_REDIS_QUORUM", len(sentinels) // 2 + 1),
        down_after_ms=_number(environment, "VELOZ_REDIS_DOWN_AFTER_MS", 5000),
        failover_timeout_ms=_number(environment, "VELOZ_REDIS_FAILOVER_TIMEOUT_MS", 60000),
        fsync=fsync,
    )

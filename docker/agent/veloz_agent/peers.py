"""Asking other PostgreSQL nodes what they are, each with its own short limit."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Coroutine, Optional

from . import arguments, wal, wire
from .control_session import open_control
from .wire import LoginError, ServerError

# A killed container's address swallows connects without an answer; a living neighbour answers within milliseconds.
PROBE_LIMIT_MS = 300
MAX_ASK_LIMIT_MS = 10_000

_QUESTION = (
    "SELECT pg_is_in_recovery() AS recovering, s.system_identifier AS system, CASE WHEN pg_is_in_recovery() THEN NULL "
    "ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END AS timeline, "
    "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END AS replayed, "
    "pg_size_bytes(current_setting('wal_segment_size')) AS segment FROM pg_control_system() s"
)


@dataclass
class Answer:
    """`speaks`: a PostgreSQL server answered at all, if only to say that it is starting up or full, or to ask for another proof.

    `replayed`: of a standby, the end of the last record that it has replayed, and the timeline of that.
    """

    host: str
    port: int
    writable: bool = False
    standby: bool = False
    speaks: bool = False
    timeline: Optional[int] = None
    system_identifier: Optional[str] = None
    problem: Optional[str] = None
    ms: float = 0.0
    replayed: Optional[str] = None
    replayed_timeline: Optional[int] = None

    def as_answer(self) -> dict:
        return {
            "host": self.host,
            "port": self.port,
            "writable": self.writable,
            "standby": self.standby,
            "speaks": self.speaks,
            "timeline": self.timeline,
            "systemIdentifier": self.system_identifier,
            "problem": self.problem,
            "ms": self.ms,
        }

    @property
    def unclear(self) -> bool:
        return self.speaks and not self.writable and not self.standby


async def ask(
    peer: dict, user: str, password: str, limit_ms: int = PROBE_LIMIT_MS, replay: bool = False
) -> Answer:
    """What one node says about itself; never raises, never takes longer than the limit.

    `replay`: of a standby also the timeline of what it has replayed last.
    """
    answer = Answer(peer["host"], peer["port"])

    async def conversation() -> None:
        connection = await open_control(peer["host"], peer["port"], user, password)
        try:
            answer.speaks = True
            (row,) = await connection.query(_QUESTION)
            # What it is stays known, whatever becomes of the second question.
            answer.standby = row["recovering"] == "t"
            answer.writable = not answer.standby
            answer.system_identifier = row["system"]
            answer.timeline = int(row["timeline"], 16) if row["timeline"] else None
            if replay and row["replayed"]:
                answer.replayed_timeline = await _timeline_of(connection, row["replayed"], int(row["segment"]))
                answer.replayed = row["replayed"]
        finally:
            connection.close()

    return await _answered(answer, conversation(), limit_ms)


async def _timeline_of(connection, replayed: str, segment_size: int) -> Optional[int]:
    """The timeline of the WAL that a standby has replayed last: its control file names an older one until its next restartpoint."""
    name = wal.segment_name(0, (wal.parse_lsn(replayed) - 1) // segment_size, segment_size)[8:]
    (row,) = await connection.query(
        f"SELECT max(substr(w.name, 1, 8)) AS timeline FROM pg_ls_waldir() w WHERE substr(w.name, 9) = '{name}'"
    )
    return int(row["timeline"], 16) if row["timeline"] else None


async def ask_briefly(peer: dict, limit_ms: int = PROBE_LIMIT_MS) -> Answer:
    """As `ask`, without a login, which costs the asked server several times as much: only `speaks` and `problem` are known then."""
    answer = Answer(peer["host"], peer["port"])

    async def conversation() -> None:
        await wire.greet(peer["host"], peer["port"])
        answer.speaks = True

    return await _answered(answer, conversation(), limit_ms)


async def _answered(answer: Answer, conversation: Coroutine, limit_ms: int) -> Answer:
    """The answer, filled by the conversation, or by what became of it within the limit."""
    began = time.monotonic()
    try:
        await asyncio.wait_for(conversation, limit_ms / 1000)
    except (ServerError, LoginError) as error:
        answer.speaks = True
        answer.problem = str(error)
    except asyncio.TimeoutError:
        answer.problem = f"no answer within {limit_ms} ms"
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a peer must not become ours
        answer.problem = str(error) or type(error).__name__
    answer.ms = round((time.monotonic() - began) * 1000, 1)
    return answer


async def ask_all(
    peers: list, user: str, password: str, limit_ms: int = PROBE_LIMIT_MS, replay: bool = False
) -> list:
    """Asks all at the same time."""
    return list(await asyncio.gather(*(ask(peer, user, password, limit_ms, replay) for peer in peers)))


async def answer_ask(message: dict, user: str, password: str) -> dict:
    """The command `ask`: what the named nodes look like from this container's own place in the network.

    `briefly`: only whether a PostgreSQL server speaks there at all.
    """
    limit_ms = min(arguments.milliseconds(message, "limitMs"), MAX_ASK_LIMIT_MS)
    addresses = arguments.addresses(message.get("addresses"), "addresses")
    if message.get("briefly") is True:
        answers = list(await asyncio.gather(*(ask_briefly(address, limit_ms) for address in addresses)))
    else:
        answers = await ask_all(addresses, user, password, limit_ms)
    return {"answers": [answer.as_answer() for answer in answers]}


def describe(answers: list) -> str:
    """One sentence part for logs and reasons."""

    def one(answer: Answer) -> str:
        where = f"{answer.host}:{answer.port}"
        if answer.writable:
            return f"{where} is a writable primary on timeline {answer.timeline}"
        if answer.standby:
            return f"{where} is a standby"
        return f"{where}: {answer.problem}"

    return "; ".join(map(one, answers)) or "there are no peers to ask"

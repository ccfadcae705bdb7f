"""The life of a node's server, from its start to its end."""

from __future__ import annotations

import asyncio
import os
import signal

from . import damaged, node
from .log import log
from .settings import VOLUME, Settings

# What ended a server from outside says nothing about its files: a stop, a kill, the end of memory.
FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT)
# One end may have another reason than the files: a start is tried once more before they are put away.
STARTS = 2
AGAIN_AFTER_S = 1.0


async def run_node(settings: Settings) -> int:
    """
    Runs the server until it ends. One that can't read its files is started without them where another one has the data.
    """
    starts = 0
    while True:
        starts += 1
        life = Life(settings)
        code = await life.live()
        if not life.died_at_start(code):
            return exit_code(code)
        log(f"{settings.node}: the server ended with {code} before it had read its files (start {starts})")
        if starts < STARTS:
            if await life.told_to_end_within(AGAIN_AFTER_S):
                return 0
            continue
        # Once for each start of the container: what fails without its old files fails for another reason.
        if starts > STARTS or not await put_away(settings):
            return 0 if life.told_to_end else exit_code(code)
        if life.told_to_end:
            return 0


def exit_code(code: int) -> int:
    return code if code >= 0 else 128 - code


class Life:
    """One run of the server."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.keeper = node.Keeper(settings)
        self._end = asyncio.Event()

    @property
    def told_to_end(self) -> bool:
        return self._end.is_set()

    async def live(self) -> int:
        server = await asyncio.create_subprocess_exec("redis-server", node.CONFIG)
        loop = asyncio.get_running_loop()

        def end() -> None:
            self._end.set()
            if server.returncode is None:
                # Redis waits for its replicas, then writes what it has and ends.
                server.send_signal(signal.SIGTERM)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        keeper = asyncio.create_task(self.keeper.run())
        try:
            return await server.wait()
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            self.keeper.close()

    def died_at_start(self, code: int) -> bool:
        """It ended by itself before it had read its files, which may be what it ended for."""
        return code != 0 and code not in FROM_OUTSIDE and not self.told_to_end and not self.keeper.loaded

    async def told_to_end_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._end.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        return True


async def put_away(settings: Settings) -> bool:
    """
    Puts the node's own files away where another node surely has the data: it would follow that one with them, too. Else
    nothing is changed, and the log says why.
    """
    name = settings.node
    if not os.path.isdir(os.path.join(VOLUME, damaged.FILES)):
        log(f"{name} has no {damaged.FILES}: the server ends for another reason. Next: docker logs --tail 50 {name}")
        return False
    keeper = node.Keeper(settings)
    try:
        holder, why = await keeper.copy_from()
    finally:
        keeper.close()
    if holder is None:
        log(
            f"{name} can't read its {damaged.FILES}, and keeps it as it is: {why} "
            "(limit: another node that a majority of the Sentinels names and that is the only master, with keys). "
            "Next: veloz-ha redis status"
        )
        return False
    try:
        kept = damaged.put_away(VOLUME)
    except (damaged.Refused, OSError) as error:
        log(
            f"{name} can't read its {damaged.FILES}, and it could not be put away: {error}. "
            f"What is needed no more of {damaged.FILES}.damaged-* can be removed. Next: docker logs --tail 50 {name}"
        )
        return False
    log(
        f"{name} can't read its {damaged.FILES}: it is kept as {kept}, and {holder.node} is copied, "
        f"which the Sentinels name and which has {holder.keys} keys"
    )
    return True

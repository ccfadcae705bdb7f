"""The health check: 0 healthy, 1 not, with a sentence for `docker inspect`."""

from __future__ import annotations

import asyncio
import contextlib
import os

from .resp import Client
from .settings import PASSWORD_FILE, RUN, WAITS

SEEN = f"{RUN}/healthy"
LINGER_S = 20
EVERY_S = 1.0


async def state(client: Client, kind: str, master: str) -> tuple[bool, str]:
    if kind == "sentinel":
        reply = await client.ask("SENTINEL", "MASTER", master)
        if not reply:
            with contextlib.suppress(FileNotFoundError):
                with open(WAITS, encoding="utf-8") as file:
                    # It does what it has to; a restart, which the guard gives what hangs, would help nobody.
                    return True, f"waits, and names no master: {file.read()}"
            return False, f"the Sentinel does not watch {master}"
        fields = dict(zip(reply[::2], reply[1::2]))
        return True, f"watches {fields.get('ip')}:{fields.get('port')} ({fields.get('flags')})"
    role = await client.ask("ROLE")
    if not role:
        return False, "Redis does not answer"
    if role[0] == "master":
        return True, f"master with {len(role[2])} replicas"
    if not os.path.exists(f"{RUN}/placed"):
        return False, "read-only: the Sentinels have not said who is master"
    return role[3] == "connected", f"replica of {role[1]}: {role[3]}"


async def check() -> int:
    """Answers at once while the node is not known to be healthy; else stays until that changes."""
    kind = os.environ.get("VELOZ_REDIS_KIND", "node")
    master = os.environ.get("VELOZ_REDIS_MASTER") or "veloz-master"
    try:
        with open(PASSWORD_FILE, encoding="utf-8") as file:
            password = file.read()
    except OSError:
        print("not started yet")
        return 1
    client = Client(("127.0.0.1", 26379 if kind == "sentinel" else 6379), password, limit_s=2)
    rounds = int(LINGER_S / EVERY_S) if os.path.exists(SEEN) else 1
    for left in range(rounds, 0, -1):
        healthy, says = await state(client, kind, master)
        if not healthy:
            print(says)
            if os.path.exists(SEEN):
                os.remove(SEEN)
            return 1
        if left > 1:
            await asyncio.sleep(EVERY_S)
    print(says)
    with open(SEEN, "w", encoding="utf-8"):
        pass
    return 0


def main() -> int:
    return asyncio.run(check())

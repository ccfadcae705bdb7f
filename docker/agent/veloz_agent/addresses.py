"""Names into addresses, for PgBouncer.

PgBouncer looks names up through c-ares, which from 1.31 on keeps an answer for as long as its server allows: Docker's
says ten minutes. Two nodes that were down together come back with each other's address, and PgBouncer would send
writers to a standby for that long. So the routing file holds an address, and the agent looks whether it is still right.
Nor is the bare name safe where it has no address just now: the answer that c-ares keeps may be another node's by now.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Optional

# The name of a living container is answered within a few milliseconds; that of a dead one may never be.
LOOK_UP_LIMIT_S = 0.5


async def look_up(host: str, known: Optional[str] = None, limit_s: float = LOOK_UP_LIMIT_S) -> Optional[str]:
    """The address of a host: `known` as long as it is one of them, None when nobody says within the limit."""
    loop = asyncio.get_running_loop()
    try:
        found = await asyncio.wait_for(loop.getaddrinfo(host, None, type=socket.SOCK_STREAM), limit_s)
    except (OSError, UnicodeError, asyncio.TimeoutError):
        return None
    addresses = [str(each[4][0]) for each in found]
    return known if known in addresses else next(iter(addresses), None)


def nowhere(host: str) -> str:
    """What PgBouncer is given for a host that has no address: a name that never gets one (RFC 2606), so that clients wait."""
    return f"{host}.invalid"


async def is_anothers(address: str, others: list) -> bool:
    """Whether one of the other hosts has the address now. One that does not say within the limit counts as no."""
    return address in await asyncio.gather(*(look_up(each, address) for each in others))

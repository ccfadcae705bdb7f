"""The upstream and the slot of a standby that runs, where a hand set another one over the agent's own word.

`ALTER SYSTEM` wins over `standby.conf`. A standby that streams without its slot, or under another name, goes on streaming, confirms
nothing that counts, and may lack WAL after its next break. Before a start the agent takes these lines out of the file itself, see
`recovery_settings`. While a server runs the file is the server's: it is asked, and so no change of somebody else's is lost.
"""

from __future__ import annotations

import os

from . import config_files, control_database, statefile
from .recovery_settings import OWN_FILE
from .settings import PostgresSettings

EVERY_S = 10
LIMIT_S = 5


def by_hand(data: str) -> list:
    """Which of the two `ALTER SYSTEM` has set."""
    text = statefile.read(os.path.join(data, config_files.AUTO_CONF)) or ""
    named = {config_files.name_of(line) for line in text.splitlines()}
    return [name for name in OWN_FILE if name in named]


async def take_back(settings: PostgresSettings, names: list) -> None:
    """Counts from the next reload on."""
    session = await control_database.superuser(settings)
    try:
        for name in names:
            # One at a time: the statement runs in no transaction.
            await session.query(f"ALTER SYSTEM RESET {name}")
    finally:
        session.close()

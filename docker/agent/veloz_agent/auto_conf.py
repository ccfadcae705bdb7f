"""`postgresql.auto.conf` of a node whose data came from another one: what is the node's own stays its own. Pure."""

from __future__ import annotations

import re
from typing import Optional

from .recovery_settings import OVERRIDDEN

# Everything else that ALTER SYSTEM set is the cluster's, and the primary's word on it is the newest: a standby with a
# lower max_connections than its primary would not even start.
OWN = (
    "synchronous_standby_names",
    "cluster_name",
    "primary_conninfo",
    "primary_slot_name",
    "recovery_min_apply_delay",
    "listen_addresses",
    "port",
)
_SETTING = re.compile(r"^\s*([A-Za-z_.][\w.]*)\s*=?\s*")


def name_of(line: str) -> Optional[str]:
    found = _SETTING.match(line)
    return found[1].lower() if found else None


def merged(theirs: str, ours: str) -> str:
    """Their file, with our own values of what is a node's own; what we had not set is not set.

    What a restore left there once is nobody's, and is not inherited.
    """
    kept = [line for line in theirs.splitlines() if name_of(line) not in OWN and name_of(line) not in OVERRIDDEN]
    own = [line for line in ours.splitlines() if name_of(line) in OWN]
    return "\n".join([*kept, *own]) + "\n"

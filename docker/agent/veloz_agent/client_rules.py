"""Whether the rules of access, as their file says now, would let clients in whom the pooler sends."""

from __future__ import annotations

from typing import Optional

from . import access_rules
from .addresses import look_up
from .settings import PostgresSettings

# With TLS or Kerberos, if the pooler and the server agree on it: from here that is not known.
_PERHAPS = ("hostssl", "hostnossl", "hostgssenc", "hostnogssenc")


async def refused(rules: list, settings: PostgresSettings, pooler: str) -> Optional[dict]:
    """`{role, database, from, why}` where clients would be shut out; None where they would not, or where that is not clear."""
    address = await look_up(pooler)
    if address is None:
        return None
    why = refusal(rules, settings.user, settings.database, address)
    return None if why is None else {"role": settings.user, "database": settings.database, "from": address, "why": why}


def refusal(rules: list, role: str, database: str, address: str) -> Optional[str]:
    """As `access_rules.refusal`, for somebody whose secrets and whose TLS are not known: only a plain rejection counts."""
    for rule in rules:
        perhaps = rule.get("type") in _PERHAPS
        fits = access_rules._fits({**rule, "type": "host"} if perhaps else rule, role, database, address)
        if fits is False:
            continue
        if fits is None or perhaps:
            return None
        return f"line {rule.get('line_number')} says reject" if rule.get("auth_method") == "reject" else None
    return "no line lets it in"

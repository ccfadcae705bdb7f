"""Whom the server would let in after its next start or reload: what its access files say now, and not what it has loaded.

With a mistake in `pg_hba.conf` a server that runs keeps the rules that it has, and one that starts ends at once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import socket
from typing import Optional

from . import client_rules
from .addresses import look_up
from .settings import PostgresSettings
from .wire import Connection

LIMIT_S = 3
TOLD = 12

_QUESTION = (
    "SELECT (SELECT coalesce(json_agg(to_json(r)), '[]') FROM pg_hba_file_rules r)::text AS hba, "
    "(SELECT coalesce(json_agg(to_json(m)), '[]') FROM pg_ident_file_mappings m)::text AS ident"
)

# Ways to prove who one is that a worker and an agent have: a password.
_PASSWORD = ("trust", "password", "md5", "scram-sha-256")
# Without TLS and without Kerberos, as a worker comes. Agents come as libpq does, over TLS where there is some.
_TYPES = ("host", "hostnossl", "hostnogssenc")
# With TLS, if the server has it: from here that is not known.
_PERHAPS = ("hostssl", "hostnossl")


async def read(settings: PostgresSettings, session: Connection, pooler: Optional[str] = None) -> Optional[dict]:
    """`{errors, identErrors, refused, clients}`; None where it is not known. `session`: the superuser's; a standby answers too."""
    try:
        return await asyncio.wait_for(_read(settings, session, pooler), LIMIT_S)
    except Exception:  # noqa: BLE001 - a question beside others: without an answer nothing is told
        return None


async def _read(settings: PostgresSettings, session: Connection, pooler: Optional[str]) -> dict:
    (row,) = await session.query(_QUESTION)
    rules, mappings = json.loads(row["hba"]), json.loads(row["ident"])
    errors = mistakes(rules)
    # With a mistake the server does not start: whom its other lines let in does not matter.
    refused = [] if errors else refusals(rules, settings, await _peer_addresses(settings))
    clients = None if errors or pooler is None else await client_rules.refused(rules, settings, pooler)
    return {"errors": errors, "identErrors": mistakes(mappings), "refused": refused, "clients": clients}


def mistakes(lines: list) -> list:
    """`[{file, line, error}]` of what could not be read."""
    found = [line for line in lines if line.get("error")]
    return [
        {"file": line.get("file_name") or "", "line": line.get("line_number") or 0, "error": line["error"]}
        for line in found[:TOLD]
    ]


async def _peer_addresses(settings: PostgresSettings) -> list:
    found = await asyncio.gather(*(look_up(peer["host"]) for peer in settings.peers))
    return [address for address in found if address]


def refusals(rules: list, settings: PostgresSettings, addresses: list) -> list:
    """`[{role, database, from, why}]`: what the other nodes ask of this one, and would be refused. What is not clear is not told."""
    wanted = ((settings.ha_user, settings.control_database, False), (settings.repl_user, "replication", True))
    found = []
    for role, database, tls in wanted:
        for address in addresses:
            why = refusal(rules, role, database, address, tls)
            if why:
                found.append({"role": role, "database": database, "from": address, "why": why})
                # One is enough: the others meet the same rule, as a rule.
                break
    return found


def refusal(rules: list, role: str, database: str, address: str, tls: bool = False) -> Optional[str]:
    """Why a connection would be refused, None where it would not, or where that is not clear: the first rule that fits decides.

    `tls`: whoever connects tries TLS first, and then without. A worker never does, so the control role needs a rule without.
    """
    for rule in rules:
        perhaps = tls and rule.get("type") in _PERHAPS
        fits = _fits({**rule, "type": "host"} if perhaps else rule, role, database, address)
        if fits is None or (fits and perhaps):
            return None
        if fits:
            method = rule.get("auth_method")
            return None if method in _PASSWORD else f"line {rule.get('line_number')} says {method}"
    return "no line lets it in"


def _fits(rule: dict, role: str, database: str, address: str) -> Optional[bool]:
    """None: it can't be told from here."""
    if rule.get("type") not in _TYPES:
        return False
    each = (
        _any_database(rule.get("database") or [], database),
        _any_user(rule.get("user_name") or [], role),
        _from(rule.get("address"), rule.get("netmask"), address),
    )
    return False if False in each else None if None in each else True


def _any(entries: list, known) -> Optional[bool]:
    results = [known(entry) for entry in entries]
    return True if True in results else None if None in results else False


def _any_database(entries: list, database: str) -> Optional[bool]:
    def known(entry: str) -> Optional[bool]:
        if entry == "replication" or database == "replication":
            return entry == database
        if entry in ("sameuser", "samerole", "samegroup"):
            return None
        return entry == "all" or _is(entry, database)

    return _any(entries, known)


def _any_user(entries: list, role: str) -> Optional[bool]:
    def known(entry: str) -> Optional[bool]:
        return None if entry.startswith("+") else entry == "all" or _is(entry, role)

    return _any(entries, known)


def _is(entry: str, name: str) -> Optional[bool]:
    if not entry.startswith("/"):
        return entry == name
    # PostgreSQL's regular expressions are its own; the plain ones are everybody's.
    if not re.fullmatch(r"[\w^$.*+-]+", entry[1:]):
        return None
    return re.search(entry[1:], name) is not None


def _from(rule: Optional[str], netmask: Optional[str], address: str) -> Optional[bool]:
    if rule == "all":
        return True
    if rule == "samehost":
        return address in _own()
    if rule == "samenet":
        # Which networks are this node's own is not known here; another node of the stack is on one of them.
        return True
    try:
        network = ipaddress.ip_network(f"{rule}/{netmask}", strict=False)
        return ipaddress.ip_address(address) in network
    except ValueError:
        # A name, which the server looks up both ways.
        return None


def _own() -> list:
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(socket.gethostname(), None)]
    except OSError:
        return []

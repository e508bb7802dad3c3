"""From settings to the nodes that are asked: their addresses, credentials and limits."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from app.clock import Clock
from app.errors import Fatal
from app.settings import Settings
from connectors.soroban.allowance import Purpose, budget_of, rate_of
from connectors.soroban.nodes import Node, Nodes, NodeWatch
from connectors.soroban.rpc import Limits, Observe, Rpc, place_of

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HINT: Final = "such as https://one.example/key,https://two.example"


def open_nodes(
    settings: Settings,
    clock: Clock,
    purpose: Purpose,
    observe: Observe | None = None,
    watch: NodeWatch | None = None,
) -> Nodes:
    """The nodes of `SOROBAN_RPC_URL`, in its order. Nothing is connected yet. Raises `Fatal` for addresses
    and headers that are none, without showing them."""
    nodes = [
        Node(rpc.subject, rpc, rate_of(settings.rpc_rate, clock))
        for rpc in nodes_in(settings, clock, observe)
    ]
    budget = budget_of(settings.rpc_daily_calls, purpose, clock)
    return Nodes(nodes, settings.network_passphrase, clock, budget, watch)


def nodes_in(settings: Settings, clock: Clock, observe: Observe | None = None) -> list[Rpc]:
    """Each node by itself, under a name that holds no credential and no other has."""
    headers = headers_of(settings.rpc_headers)
    found: list[Rpc] = []
    for url in addresses_of(settings.rpc_url):
        place = place_of(url.get_secret_value())
        same = sum(other.subject.partition(" ")[0] == place for other in found)
        rpc = Rpc(url, clock, Limits(), observe, headers)
        rpc.subject = f"{place} ({same + 1})" if same else place
        found.append(rpc)
    return found


def addresses_of(listed: SecretStr) -> list[SecretStr]:
    """One or more addresses, separated by commas."""
    found = [part.strip() for part in listed.get_secret_value().split(",") if part.strip()]
    if not found:
        raise Fatal("reading", "SOROBAN_RPC_URL", "it names no node", _HINT)
    for number, each in enumerate(found, 1):
        try:
            parts = urlsplit(each)
            is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_address = False
        if not is_address:
            raise Fatal("reading", "SOROBAN_RPC_URL", f"address {number} is no http address", _HINT)
    return [SecretStr(each) for each in found]


def headers_of(listed: SecretStr) -> dict[str, SecretStr]:
    """`Name: value; Name: value`."""
    found: dict[str, SecretStr] = {}
    for number, part in enumerate(listed.get_secret_value().split(";"), 1):
        name, colon, value = (each.strip() for each in part.partition(":"))
        if not (name or colon):
            continue
        if not colon or _HEADER_NAME.fullmatch(name) is None or not value.isprintable():
            hint = "such as Authorization: Bearer …; X-Api-Key: …"
            raise Fatal("reading", "DRIFTWATCH_RPC_HEADERS", f"part {number} is no header", hint)
        found[name] = SecretStr(value)
    return found

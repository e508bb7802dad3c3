"""A simulated RPC node in a test: ledgers in a line, calls without HTTP, a clock that stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from stellar_sdk import StrKey, scval, xdr

from app.demo.rpc.config import NodeConfig
from app.demo.rpc.control import hash_of
from app.demo.rpc.cursors import position_of
from app.demo.rpc.ledgers import Change, Event, Ledger
from app.demo.rpc.messages import answer_body
from app.demo.rpc.node import Node
from connectors.soroban import keys

A, B, C = (StrKey.encode_contract(bytes(31) + bytes([number])) for number in (1, 2, 3))
CLOSED_S = 1_795_000_000
SECOND_US = 1_000_000


class StandingClock:
    """Stands at `at_s`; a sleep is over at once and told to `on_sleep`."""

    def __init__(self, at_s: int = CLOSED_S) -> None:
        self.at_s = at_s
        self.slept: list[float] = []
        self.on_sleep = lambda: None

    def now_us(self) -> int:
        return self.at_s * SECOND_US

    def monotonic_s(self) -> float:
        return float(self.at_s)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.on_sleep()


def node(**config: Any) -> Node:
    """A node that holds nothing."""
    return Node(NodeConfig(**config), StandingClock())


def symbol(name: str) -> str:
    """A topic, as base64."""
    return scval.to_symbol(name).to_xdr()


def event(ledger: int, number: int, *topics: str, contract: str = A, kind: str = "contract") -> Event:
    """The only event of transaction `number`."""
    return Event(
        position_of(ledger, number),
        kind,
        contract,
        tuple(symbol(topic) for topic in topics),
        scval.to_uint32(number).to_xdr(),
        hash_of(f"{ledger} {number}"),
    )


def close(held: Node, ledger: int, *events: Event, changes: Sequence[Change] = ()) -> None:
    """Close a ledger; five seconds between two."""
    closed_s = CLOSED_S + 5 * ledger
    held.ledgers.append(Ledger(ledger, closed_s, hash_of(f"ledger {ledger}"), events, changes))


def close_empty(held: Node, first: int, last: int) -> None:
    """Close ledgers in which nothing happened, both ends included."""
    for ledger in range(first, last + 1):
        close(held, ledger)


def entry(
    name: str,
    number: int,
    live_until: int | None = 10_000,
    *,
    durability: xdr.ContractDataDurability = xdr.ContractDataDurability.PERSISTENT,
    archived: bool = False,
) -> Change:
    """Contract data of A under a symbol, with a u32 in it."""
    contract, key = keys.address_value(A).address, scval.to_symbol(name)
    assert contract is not None
    under = xdr.LedgerKeyContractData(contract, key, durability)
    data = xdr.ContractDataEntry(xdr.ExtensionPoint(0), contract, key, durability, scval.to_uint32(number))
    kind = xdr.LedgerEntryType.CONTRACT_DATA
    return Change(
        xdr.LedgerKey(kind, contract_data=under).to_xdr(),
        xdr.LedgerEntryData(kind, contract_data=data).to_xdr(),
        live_until,
        archived,
    )


async def say(held: Node, body: str | bytes | dict[str, Any] | list[Any]) -> Any:
    """The answer to a body, read; None where there is none."""
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else orjson.dumps(body)
    answer = await answer_body(held, raw)
    return None if answer is None else orjson.loads(answer)


async def ask(held: Node, method: str, **params: Any) -> Any:
    """The result of a call, or its error."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = await say(held, request)
    return answer["result"] if "result" in answer else answer["error"]


async def page(held: Node, cursor: str | None = None, limit: int = 100, **params: Any) -> Any:
    """A page of getEvents, after a cursor or from `startLedger`."""
    place = {} if cursor is None else {"cursor": cursor}
    return await ask(held, "getEvents", pagination={"limit": limit, **place}, **params)


def topics_of(found: Any) -> list[Any]:
    """The first topic of each event of a page, None for an event without topics."""
    return [scval.to_native(event["topic"][0]) if "topic" in event else None for event in found["events"]]

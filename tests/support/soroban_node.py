"""A small RPC node on loopback over ledgers that a test closes one by one; faults are scripted per call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from stellar_sdk import Keypair, StrKey, scval, xdr

from connectors.soroban import keys
from connectors.soroban.times import text_of

PASSPHRASE = "a network of the tests ; 2026"
CONTRACT = StrKey.encode_contract(bytes(31) + b"\x07")
FIRST_CLOSE_S = 1_795_000_000
_RANGE = "startLedger must be within the ledger range: {} - {}"

Scripted = Callable[[web.Request], Any]
"""Answers one request instead of the node: a response, or a coroutine of one."""


def borrower(number: int) -> str:
    """The account of borrower `number`."""
    return Keypair.from_raw_ed25519_seed(number.to_bytes(32, "big")).public_key


def line_xdr(account: str, limit: int = 1000, used: int = 0, status: int = 0) -> str:
    """A credit line as the base64 of its ledger entry."""
    fields = {
        "borrower": scval.to_address(account),
        "credit_limit": scval.to_int128(limit),
        "interest_rate_bps": scval.to_uint32(500),
        "risk_score": scval.to_uint32(70),
        "status": scval.to_uint32(status),
        "utilized_amount": scval.to_int128(used),
    }
    return entry_xdr(keys.address_value(account), scval.to_struct(fields))


def entry_xdr(key: xdr.SCVal, value: xdr.SCVal, contract: str = CONTRACT) -> str:
    """Persistent contract data as the base64 of its ledger entry."""
    entry = xdr.ContractDataEntry(
        ext=xdr.ExtensionPoint(0),
        contract=keys.address_value(contract).address,
        key=key,
        durability=xdr.ContractDataDurability.PERSISTENT,
        val=value,
    )
    return xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=entry).to_xdr()


@dataclass
class Event:
    """A contract event as a test writes it."""

    topics: list[xdr.SCVal]
    data: xdr.SCVal
    contract: str = CONTRACT


def drawn(account: str) -> Event:
    """`(credit, drawn)` of a borrower."""
    topics = [scval.to_symbol("credit"), scval.to_symbol("drawn")]
    return Event(topics, scval.to_struct({"borrower": scval.to_address(account)}))


@dataclass
class Node:
    """The ledgers, the state, and what stands in the way. `scan` is the window of one getEvents call."""

    latest: int = 0
    oldest: int = 1
    scan: int = 10_000
    state_lag: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    state: dict[str, tuple[str, int]] = field(default_factory=dict)
    scripted: list[Scripted] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def close(self, *happened: Event, lines: dict[str, str] | None = None) -> int:
        """Close the next ledger with these events (one transaction each) and these entries (by borrower)."""
        self.latest += 1
        for number, event in enumerate(happened, 1):
            toid = self.latest << 32 | number << 12
            served = {
                "type": "contract",
                "ledger": self.latest,
                "ledgerClosedAt": self.closed_at(self.latest),
                "contractId": event.contract,
                "id": f"{toid:019d}-{0:010d}",
                "operationIndex": 0,
                "transactionIndex": number,
                "txHash": f"{toid:064x}",
                "topic": [topic.to_xdr() for topic in event.topics],
                "value": event.data.to_xdr(),
            }
            self.events.append(served)
        for account, line in (lines or {}).items():
            self.state[keys.persistent_key(CONTRACT, keys.address_value(account))] = (line, self.latest)
        return self.latest

    def closed_at(self, ledger: int) -> str:
        return text_of((FIRST_CLOSE_S + 5 * ledger) * 1_000_000)

    def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        bounds = {
            "latestLedger": self.latest,
            "oldestLedger": self.oldest,
            "latestLedgerCloseTime": str(FIRST_CLOSE_S + 5 * self.latest),
            "oldestLedgerCloseTime": str(FIRST_CLOSE_S + 5 * self.oldest),
        }
        if method == "getNetwork":
            return {"result": {"passphrase": PASSPHRASE, "protocolVersion": 28}}
        if method == "getHealth":
            return {"result": {"status": "healthy", "ledgerRetentionWindow": 50, **bounds}}
        if method == "getLedgerEntries":
            return {"result": self._entries(params["keys"])}
        return self._page(params, bounds)

    def _entries(self, asked: list[str]) -> dict[str, Any]:
        found = [
            {"key": key, "xdr": self.state[key][0], "lastModifiedLedgerSeq": self.state[key][1]}
            for key in asked
            if key in self.state
        ]
        return {"entries": found, "latestLedger": self.latest - self.state_lag}

    def _page(self, params: dict[str, Any], bounds: dict[str, Any]) -> dict[str, Any]:
        after = params["pagination"].get("cursor", "")
        start = int(after.split("-")[0]) >> 32 if after else params["startLedger"]
        if not self.oldest <= start <= self.latest:
            return {"error": {"code": -32600, "message": _RANGE.format(self.oldest, self.latest)}}
        end = min(start + self.scan - 1, self.latest)
        limit = params["pagination"]["limit"]
        ids = {one for row in params["filters"] for one in row["contractIds"]}
        found = [
            event
            for event in self.events
            if start <= event["ledger"] <= end and event["id"] > after and event["contractId"] in ids
        ][:limit]
        cursor = found[-1]["id"] if len(found) == limit else f"{end << 32 | 0xFFFFFFFF:019d}-4294967295"
        return {"result": {"events": found, "cursor": cursor, **bounds}}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        asked = orjson.loads(await request.read())
        self.requests.append(asked)
        if self.scripted:
            answer = self.scripted.pop(0)(request)
            return await answer if asyncio.iscoroutine(answer) else answer
        body = {
            "jsonrpc": "2.0",
            "id": asked["id"],
            **self.answer(asked["method"], asked.get("params") or {}),
        }
        return web.json_response(body)


@asynccontextmanager
async def running_node() -> AsyncIterator[Node]:
    """A node on a free port of loopback."""
    node = Node()
    served = web.Application()
    served.router.add_post("/", node.serve)
    runner = web.AppRunner(served, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    node.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield node
    finally:
        await runner.cleanup()

"""A node: its ledgers, its limits, and the methods that it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from app.clock import Clock
from app.demo.rpc.config import NodeConfig, duration_text
from app.demo.rpc.decoding import Place, read_fields
from app.demo.rpc.entries import CORE, checked_keys, entries_of, read_entries_request
from app.demo.rpc.events import page_of, read_events_request, window_of
from app.demo.rpc.faults import INTERNAL_ERROR, METHOD_NOT_FOUND, OVER_TIME, QUEUE_FULL, Fault, Undecodable
from app.demo.rpc.headers import as_base64, close_meta_xdr, header_xdr
from app.demo.rpc.json_text import Json
from app.demo.rpc.ledgers import Ledgers, Range, View
from app.demo.rpc.pages import ledgers_of, read_ledgers_request
from app.demo.rpc.scripted import OF_CALL, OF_VIEW, Kind, Script

_CORE_TIMED_OUT: Final = (
    'http request errored: Post "http://localhost:11626/getledgerentry": '
    "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
)


@dataclass(frozen=True, slots=True)
class Replica:
    """One of several nodes behind an address: so many ledgers behind, holding so many (None: all)."""

    behind: int = 0
    kept: int | None = None


@dataclass(slots=True)
class Trouble:
    """What is wrong with a node, set from outside; zero is nothing. `replicas` answer in turn, a call
    each."""

    event_sleep_ms: int = 0
    core_status: int = 0
    core_sleep_ms: int = 0
    replicas: tuple[Replica, ...] = ()


class Node:
    """Answers one call at a time or many; raises `Fault` for every error that a client is told."""

    def __init__(self, config: NodeConfig, clock: Clock) -> None:
        self.config, self.clock = config, clock
        self.ledgers = Ledgers(config.retention)
        self.trouble = Trouble()
        self.script = Script()
        self._events_under_way = self._calls = 0
        self._methods: dict[str, Callable[[Json, View], Awaitable[dict[str, Any]]]] = {
            "getHealth": self._get_health,
            "getNetwork": self._get_network,
            "getLatestLedger": self._get_latest_ledger,
            "getEvents": self._get_events_in_time,
            "getLedgers": self._get_ledgers,
            "getLedgerEntries": self._get_ledger_entries,
        }

    def reset(self) -> None:
        """Forget all ledgers and all state: the network begins anew under its old passphrase."""
        self.ledgers = Ledgers(self.config.retention)

    async def call(self, method: str, params: Json) -> dict[str, Any]:
        """The result of a method."""
        found = self._methods.get(method)
        if found is None:
            raise Fault(METHOD_NOT_FOUND, "method not found", method)
        struck = self.script.take(OF_CALL, (method,))
        if struck is not None:
            raise self._queue_full(method) if struck.kind is Kind.QUEUE_FULL else _over_time()
        try:
            return await found(params, self._view(method))
        except Undecodable as error:
            raise error.as_fault() from error

    def _view(self, method: str) -> View:
        kinds = OF_VIEW if method == "getLedgerEntries" else OF_VIEW - {Kind.STALE_ENTRIES}
        struck = self.script.take(kinds, (method,))
        if struck is not None:
            return self.ledgers.view(struck.ledgers)
        replicas = self.trouble.replicas or (Replica(),)
        self._calls += 1
        replica = replicas[self._calls % len(replicas)]
        return self.ledgers.view(replica.behind, replica.kept)

    async def _get_health(self, params: Json, view: View) -> dict[str, Any]:
        read_fields(params, Place("GetHealthRequest"), {})
        held = view.range
        if held is None:
            raise Fault(INTERNAL_ERROR, "[-32603] data stores are not initialized: DB is empty")
        latency_s = self.clock.now_us() / 1e6 - held.latest.close_time_s
        if latency_s > self.config.max_latency_s:
            told, allowed = duration_text(round(latency_s)), duration_text(round(self.config.max_latency_s))
            raise Fault(
                INTERNAL_ERROR,
                f"[-32603] latency ({told}) since last known ledger closed is too high (>{allowed})",
            )
        return {"status": "healthy", **_bounds(held), "ledgerRetentionWindow": self.config.retention}

    async def _get_network(self, params: Json, view: View) -> dict[str, Any]:
        read_fields(params, Place("GetNetworkRequest"), {})
        if view.range is None:
            raise Fault(INTERNAL_ERROR, "DB is empty")
        named = {"friendbotUrl": self.config.friendbot} if self.config.friendbot else {}
        return {**named, "passphrase": self.config.passphrase, "protocolVersion": self.config.protocol}

    async def _get_latest_ledger(self, params: Json, view: View) -> dict[str, Any]:
        read_fields(params, Place("GetLatestLedgerRequest"), {})
        if view.range is None:
            raise Fault(INTERNAL_ERROR, "could not get latest ledger sequence")
        latest, protocol = view.range.latest, self.config.protocol
        return {
            "id": latest.hash,
            "protocolVersion": protocol,
            "sequence": latest.sequence,
            "closeTime": str(latest.close_time_s),
            "headerXdr": as_base64(header_xdr(latest, protocol)),
            "metadataXdr": as_base64(close_meta_xdr(latest, protocol)),
        }

    async def _get_events_in_time(self, params: Json, view: View) -> dict[str, Any]:
        if self._events_under_way >= self.config.events_queue:
            raise self._queue_full("getEvents")
        self._events_under_way += 1
        try:
            return await asyncio.wait_for(self._get_events(params, view), self.config.max_events_time_s)
        except TimeoutError as error:
            raise _over_time() from error
        finally:
            self._events_under_way -= 1

    async def _get_events(self, params: Json, view: View) -> dict[str, Any]:
        request = read_events_request(params)
        request.check(self.config.max_events)
        window = window_of(request, view.range, self.config)
        if self.trouble.event_sleep_ms:
            await self.clock.sleep(self.trouble.event_sleep_ms / 1000)
        return page_of(request, window, self.ledgers, self.config)

    async def _get_ledger_entries(self, params: Json, view: View) -> dict[str, Any]:
        request = read_entries_request(params)
        keys = checked_keys(request, view)
        if keys and view.range is not None:
            await self._ask_core()
        return entries_of(request, keys, view)

    async def _get_ledgers(self, params: Json, view: View) -> dict[str, Any]:
        request = read_ledgers_request(params)
        return ledgers_of(request, self.ledgers, view.range, self.config.protocol)

    def _queue_full(self, method: str) -> Fault:
        limit = self.config.events_queue
        return Fault(QUEUE_FULL, f"rpc queue for {method} surpassed queue limit of {limit} requests")

    async def _ask_core(self) -> None:
        if self.trouble.core_sleep_ms:
            allowed_s = self.config.max_core_time_s
            await self.clock.sleep(min(self.trouble.core_sleep_ms / 1000, allowed_s))
            if self.trouble.core_sleep_ms / 1000 > allowed_s:
                raise Fault(INTERNAL_ERROR, CORE + _CORE_TIMED_OUT)
        status = self.trouble.core_status
        if status and not 200 <= status < 300:
            told = f"http request failed with non-200 status code ({status})"
            raise Fault(INTERNAL_ERROR, CORE + told)


def _over_time() -> Fault:
    return Fault(OVER_TIME, "[-32001] request exceeded processing limit threshold")


def _bounds(held: Range) -> dict[str, Any]:
    return {
        "latestLedger": held.latest.sequence,
        "latestLedgerCloseTime": str(held.latest.close_time_s),
        "oldestLedger": held.oldest.sequence,
        "oldestLedgerCloseTime": str(held.oldest.close_time_s),
    }

"""getEvents: the request as it is read and refused, the page as it is cut and written."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import orjson
from stellar_sdk import xdr

from app.demo.rpc.config import NodeConfig
from app.demo.rpc.cursors import Position, end_of, parse_cursor, position_of
from app.demo.rpc.decoding import UINT, UINT32, Place, read_fields, read_list, read_string, read_unsigned
from app.demo.rpc.faults import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, Fault
from app.demo.rpc.filters import MAX_FILTERS, EventFilter, read_filter
from app.demo.rpc.json_text import Json
from app.demo.rpc.ledgers import Event, Ledger, Ledgers, Range

FORMATS: Final = ("", "base64", "json")


@dataclass(slots=True)
class EventsRequest:
    """0 and "" stand for what was not given."""

    start_ledger: int = 0
    end_ledger: int = 0
    filters: list[EventFilter] = field(default_factory=list)
    cursor: Position | None = None
    limit: int = 0
    format: str = ""

    def check(self, max_events: int) -> None:
        """Raises the `Fault` that the real server tells first."""
        problem = format_problem(self.format) or self._place_problem()
        if problem is None and self.limit > max_events:
            problem = f"limit must not exceed {max_events}"
        if problem is None and len(self.filters) > MAX_FILTERS:
            problem = f"maximum {MAX_FILTERS} filters per request"
        for number, each in enumerate(self.filters if problem is None else (), 1):
            if (found := each.problem()) is not None:
                problem = f"filter {number} invalid: {found}"
                break
        if problem is not None:
            raise Fault(INVALID_PARAMS, problem)

    def _place_problem(self) -> str | None:
        if self.cursor is not None:
            ranged = self.start_ledger or self.end_ledger
            return "ledger ranges and cursor cannot both be set" if ranged else None
        return None if self.start_ledger else "startLedger must be positive"

    def wants(self, event: Event) -> bool:
        """No filter lets everything through, several are alternatives."""
        return not self.filters or any(each.matches(event) for each in self.filters)


@dataclass(frozen=True, slots=True)
class Window:
    """What one page is cut from: from `start` up to `end_ledger`, excluded, as the node's range was when the
    call began. The events are read later: what is trimmed in between is missing from the page in silence."""

    held: Range
    start: Position
    end_ledger: int


def read_events_request(params: Json) -> EventsRequest:
    """Raises `Undecodable`."""
    found = EventsRequest()

    def start(value: Json, at: Place) -> None:
        found.start_ledger = _kept(read_unsigned(value, at, UINT32), found.start_ledger)

    def end(value: Json, at: Place) -> None:
        found.end_ledger = _kept(read_unsigned(value, at, UINT32), found.end_ledger)

    def filters(value: Json, at: Place) -> None:
        found.filters = read_list(value, at, "[]protocol.EventFilter", lambda each: read_filter(each, at))

    def pagination(value: Json, at: Place) -> None:
        _read_pagination(found, value, at)

    def format_(value: Json, at: Place) -> None:
        found.format = _kept(read_string(value, at), found.format)

    fields = {
        "startLedger": start,
        "endLedger": end,
        "filters": filters,
        "pagination": pagination,
        "xdrFormat": format_,
    }
    read_fields(params, Place("GetEventsRequest"), fields)
    return found


def _read_pagination(found: EventsRequest, value: Json, place: Place) -> None:
    if value is None:
        found.cursor, found.limit = None, 0
        return

    def cursor(held: Json, at: Place) -> None:
        text = read_string(held, at)
        found.cursor = None if text is None else parse_cursor(text)

    def limit(held: Json, at: Place) -> None:
        found.limit = _kept(read_unsigned(held, at, UINT), found.limit)

    place.require_object(value, "protocol.PaginationOptions")
    read_fields(value, place.inside("PaginationOptions"), {"cursor": cursor, "limit": limit})


def format_problem(name: str) -> str | None:
    """Why `xdrFormat` is refused."""
    return None if name in FORMATS else f"got '{name}': expected base64, json for optional 'xdrFormat'"


def window_of(request: EventsRequest, held: Range | None, config: NodeConfig) -> Window:
    """Where the page begins and ends; raises the `Fault` for an empty node and for a place outside of it."""
    if held is None:
        raise Fault(INTERNAL_ERROR, "DB is empty")
    start = position_of(request.start_ledger) if request.cursor is None else request.cursor.following()
    oldest, latest = held.oldest.sequence, held.latest.sequence
    if not oldest <= start.ledger <= latest:
        told = f"startLedger must be within the ledger range: {oldest} - {latest}"
        raise Fault(INVALID_REQUEST, told)
    end = min(start.ledger + config.scan_ledgers, latest + 1, request.end_ledger or latest + 1)
    return Window(held, start, end)


def page_of(request: EventsRequest, window: Window, ledgers: Ledgers, config: NodeConfig) -> dict[str, Any]:
    """The page. Its cursor is the last event's id where the page is full, else the end of the window."""
    limit = request.limit or min(config.default_events, config.max_events)
    found = ledgers.events(window.start, window.end_ledger, request.wants)
    write = _write_json if request.format == "json" else _write_base64
    events = [write(ledger, event) for ledger, event in islice(found, limit)]
    cursor = events[-1]["id"] if len(events) == limit else end_of(window.end_ledger - 1).text()
    return {
        "events": events,
        "cursor": cursor,
        "latestLedger": window.held.latest.sequence,
        "oldestLedger": window.held.oldest.sequence,
        "latestLedgerCloseTime": str(window.held.latest.close_time_s),
        "oldestLedgerCloseTime": str(window.held.oldest.close_time_s),
    }


def _kept(read: Any, before: Any) -> Any:
    return before if read is None else read


@lru_cache(maxsize=1024)
def _closed_at(close_time_s: int) -> str:
    return datetime.fromtimestamp(close_time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _write(ledger: Ledger, event: Event) -> dict[str, Any]:
    toid = event.position.toid
    return {
        "type": event.type,
        "ledger": ledger.sequence,
        "ledgerClosedAt": _closed_at(ledger.close_time_s),
        "contractId": event.contract,
        "id": event.position.text(),
        "operationIndex": toid & 0xFFF,
        "transactionIndex": toid >> 12 & 0xFFFFF,
        "txHash": event.tx_hash,
        "inSuccessfulContractCall": event.succeeded,
    }


def _write_base64(ledger: Ledger, event: Event) -> dict[str, Any]:
    """Without topics the key `topic` is absent."""
    written = _write(ledger, event)
    if event.topics:
        written["topic"] = event.topics
    written["value"] = event.value
    return written


def _write_json(ledger: Ledger, event: Event) -> dict[str, Any]:
    written = _write(ledger, event)
    if event.topics:
        written["topicJson"] = [_json_of(topic) for topic in event.topics]
    written["valueJson"] = _json_of(event.value)
    return written


def _json_of(scval: str) -> Any:
    return orjson.loads(xdr.SCVal.from_xdr(scval).to_json())

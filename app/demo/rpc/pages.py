"""getLedgers, as far as a client needs it to see which history a node has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from app.demo.rpc.decoding import UINT, UINT32, Place, read_fields, read_string, read_unsigned
from app.demo.rpc.faults import INTERNAL_ERROR, INVALID_PARAMS, Fault
from app.demo.rpc.headers import as_base64, close_meta_xdr, header_xdr
from app.demo.rpc.json_text import Json
from app.demo.rpc.ledgers import Ledgers, Range

MAX_LEDGERS: Final = 200
_DEFAULT: Final = 50


@dataclass(slots=True)
class LedgersRequest:
    """0 and "" stand for what was not given."""

    start_ledger: int = 0
    cursor: str = ""
    limit: int = 0


def read_ledgers_request(params: Json) -> LedgersRequest:
    """Raises `Undecodable`."""
    found = LedgersRequest()

    def start(value: Json, at: Place) -> None:
        found.start_ledger = read_unsigned(value, at, UINT32) or found.start_ledger

    def pagination(value: Json, at: Place) -> None:
        if value is None:
            return
        at.require_object(value, "protocol.LedgerPaginationOptions")
        read_fields(value, at.inside("LedgerPaginationOptions"), {"cursor": cursor, "limit": limit})

    def cursor(value: Json, at: Place) -> None:
        found.cursor = read_string(value, at) or found.cursor

    def limit(value: Json, at: Place) -> None:
        found.limit = read_unsigned(value, at, UINT) or found.limit

    read_fields(params, Place("GetLedgersRequest"), {"startLedger": start, "pagination": pagination})
    return found


def ledgers_of(
    request: LedgersRequest, ledgers: Ledgers, held: Range | None, protocol: int
) -> dict[str, Any]:
    """The ledgers from the asked one on; raises the `Fault` for a place outside of the node's range."""
    if held is None:
        raise Fault(INTERNAL_ERROR, "DB is empty")
    start = int(request.cursor) + 1 if request.cursor.isdecimal() else request.start_ledger
    oldest, latest = held.oldest.sequence, held.latest.sequence
    if not oldest <= start <= latest:
        bounds = f"the oldest ledger: {oldest} and the latest ledger: {latest} for this rpc instance"
        raise Fault(INVALID_PARAMS, f"start ledger ({start}) must be between {bounds}")
    end = min(start + min(request.limit or _DEFAULT, MAX_LEDGERS), latest + 1)
    return {
        "ledgers": [_write(ledgers, number, protocol) for number in range(start, end)],
        "latestLedger": latest,
        "latestLedgerCloseTime": held.latest.close_time_s,
        "oldestLedger": oldest,
        "oldestLedgerCloseTime": held.oldest.close_time_s,
        "cursor": str(end - 1),
    }


def _write(ledgers: Ledgers, number: int, protocol: int) -> dict[str, Any]:
    ledger = ledgers.at(number)
    return {
        "hash": ledger.hash,
        "sequence": ledger.sequence,
        "ledgerCloseTime": str(ledger.close_time_s),
        "headerXdr": as_base64(header_xdr(ledger, protocol)),
        "metadataXdr": as_base64(close_meta_xdr(ledger, protocol, ledgers.changes_of(number))),
    }

"""getLedgerEntries: the keys as they are read and refused, the entries in the order of the request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from stellar_sdk import xdr

from app.demo.rpc.decoding import Place, read_fields, read_list, read_string
from app.demo.rpc.events import format_problem
from app.demo.rpc.faults import INTERNAL_ERROR, INVALID_PARAMS, Fault
from app.demo.rpc.json_text import Json
from app.demo.rpc.ledgers import Entry, View
from app.demo.rpc.scvals import ledger_key

MAX_KEYS: Final = 200
CORE: Final = "could not query captive core: "


@dataclass(slots=True)
class EntriesRequest:
    keys: list[str] = field(default_factory=list)
    format: str = ""


def read_entries_request(params: Json) -> EntriesRequest:
    """Raises `Undecodable`."""
    found = EntriesRequest()

    def keys(value: Json, at: Place) -> None:
        found.keys = read_list(value, at, "[]string", lambda each: read_string(each, at) or "")

    def format_(value: Json, at: Place) -> None:
        text = read_string(value, at)
        found.format = found.format if text is None else text

    read_fields(params, Place("GetLedgerEntriesRequest"), {"keys": keys, "xdrFormat": format_})
    return found


def checked_keys(request: EntriesRequest, view: View) -> list[str]:
    """The canonical forms of the keys; raises the `Fault` that the real server tells first."""
    if (problem := format_problem(request.format)) is not None:
        raise Fault(INVALID_PARAMS, problem)
    if len(request.keys) > MAX_KEYS:
        told = f"key count ({len(request.keys)}) exceeds maximum supported ({MAX_KEYS})"
        raise Fault(INVALID_PARAMS, told)
    return [_checked(place, key, view) for place, key in enumerate(request.keys)]


def _checked(place: int, key: str, view: View) -> str:
    if view.entry(key) is not None:
        return key  # a key of the store is canonical, and reading it again costs more than all the rest
    read = ledger_key(key)
    if read is None:
        raise Fault(INVALID_PARAMS, f"cannot unmarshal key value {key} at index {place}")
    canonical, of_ttl = read
    if of_ttl:
        raise Fault(INVALID_PARAMS, "ledger ttl entries cannot be queried directly")
    return canonical


def entries_of(request: EntriesRequest, keys: list[str], view: View) -> dict[str, Any]:
    """The entries that there are. A key that was given twice comes back twice, where it was given last."""
    held = view.range
    if held is None:
        raise Fault(INTERNAL_ERROR, "could not get latest ledger: DB is empty")
    if not keys:
        raise Fault(INTERNAL_ERROR, CORE + "no keys specified in request")
    places = {key: place for place, key in enumerate(request.keys)}
    ordered: list[tuple[int, Entry]] = []
    for key in keys:
        entry = view.entry(key)
        if entry is None:
            continue
        if key not in places:
            raise Fault(INTERNAL_ERROR, f"mismatching key in result: {key}")
        ordered.append((places[key], entry))
    ordered.sort(key=lambda pair: pair[0])
    latest = held.latest.sequence
    write = _write_json if request.format == "json" else _write_base64
    return {
        "entries": [_with_life(write(entry), entry, latest) for _, entry in ordered],
        "latestLedger": latest,
    }


def _with_life(written: dict[str, Any], entry: Entry, ledger: int) -> dict[str, Any]:
    written["lastModifiedLedgerSeq"] = entry.modified_ledger
    live_until = entry.shown_live_until(ledger)
    if live_until is not None:
        written["liveUntilLedgerSeq"] = live_until
    return written


def _write_base64(entry: Entry) -> dict[str, Any]:
    return {"key": entry.key, "xdr": entry.data, "extXdr": "AAAAAA=="}


def _write_json(entry: Entry) -> dict[str, Any]:
    key = xdr.LedgerKey.from_xdr(entry.key).to_json()
    data = xdr.LedgerEntryData.from_xdr(entry.data).to_json()
    return {"keyJson": orjson.loads(key), "dataJson": orjson.loads(data), "extJson": "v0"}

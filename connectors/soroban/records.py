"""The records of `chain.events` (wire format, section 2) out of what a node answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from app.errors import Poison
from connectors.soroban import scval
from connectors.soroban.answers import Event
from connectors.soroban.contracts import ContractDecoder
from connectors.soroban.contracts.custom import DecoderFailed
from connectors.soroban.cursor import end_of
from connectors.soroban.reader import Asked, EntryState
from connectors.soroban.scval import Decoded
from connectors.soroban.times import micros_of, text_of


class Keyed(NamedTuple):
    """A record and the key that decides its partition."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction carries. In each partition: `gap`, the keyed records in order, `mark`; then the
    cursor, under the network's name."""

    network: str
    gap: bytes | None
    records: tuple[Keyed, ...]
    mark: bytes | None
    cursor: bytes


@dataclass(frozen=True, slots=True)
class Watch:
    """A contract, and the kinds of its entries that rules compare. `keys`: the rule keys that a mapping gives
    to it, which every event of it concerns; empty: an event's own topics and data name them."""

    contract: str
    decoders: tuple[ContractDecoder, ...]
    keys: tuple[str, ...] = ()


_NOTHING: Final = Watch("", ())


@dataclass(frozen=True, slots=True)
class Named:
    """The events of a page as records, and the newest event that names each entry: (contract, entry) → key →
    event. `undecodable` counts values that no ScVal decoder understood; `failures` are events whose keys a
    user's decoder could not tell: what they changed is read by the next sweep only."""

    records: list[Keyed] = field(default_factory=list)
    entries: dict[tuple[str, str], dict[str, Event]] = field(default_factory=dict)
    undecodable: int = 0
    failures: list[DecoderFailed] = field(default_factory=list)


def name_entries(network: str, events: Iterable[Event], watches: Mapping[str, Watch]) -> Named:
    """One record per event and key that it names (its contract where it names none), in event order.
    `watches` by contract."""
    named = Named()
    undecodable = 0
    for event in events:
        topics = [_decode(topic) for topic in event.topic]
        payload = _decode(event.data)
        undecodable += sum("xdr" in part for part in (*topics, payload))
        keys: dict[str, list[str]] = {}
        watch = watches.get(event.contract_id, _NOTHING)
        for decoder in watch.decoders:
            for key in watch.keys or _named_by(decoder, topics, payload, named.failures):
                keys.setdefault(key, []).append(decoder.entry)
                named.entries.setdefault((event.contract_id, decoder.entry), {})[key] = event
        body = _event(network, event, topics, payload)
        for key, entries in (keys or {event.contract_id or network: []}).items():
            named.records.append(Keyed(key, orjson.dumps({**body, "key": key, "entries": entries})))
    return Named(named.records, named.entries, undecodable, named.failures)


def _named_by(
    decoder: ContractDecoder, topics: list[Decoded], payload: Decoded, failures: list[DecoderFailed]
) -> tuple[str, ...]:
    try:
        return decoder.named_by(topics, payload)
    except DecoderFailed as error:
        failures.append(error)
        return ()


def _decode(text: str) -> Decoded:
    try:
        return scval.decode(text)
    except Poison:
        return {"xdr": text}


def _event(network: str, event: Event, topics: list[Decoded], payload: Decoded) -> dict[str, Any]:
    return {
        "kind": "event",
        "network": network,
        "contract": event.contract_id,
        "ledger": event.ledger,
        "closed_at": text_of(micros_of(event.ledger_closed_at)),
        "tx": event.tx_hash,
        "tx_index": event.transaction_index,
        "op_index": event.operation_index,
        "id": event.id,
        "type": event.type,
        "topics": topics,
        "data": payload,
    }


class ReadPlace(NamedTuple):
    """Which network, contract and kind of entry a read was of, and when: its ledger and that one's close."""

    network: str
    contract: str
    entry: str
    read_ledger: int
    read_at: int


def entry_record(place: ReadPlace, state: EntryState, event: Event | None, modified_at: int | None) -> Keyed:
    """The record of an entry that `event` named, or that a mapping made known (None). An absent entry is
    absent since that event's ledger."""
    modified = state.modified_ledger
    if event is not None and (modified is None or not state.exists):
        modified = event.ledger
    body: dict[str, Any] = {
        "kind": "entry",
        "network": place.network,
        "contract": place.contract,
        "entry": place.entry,
        "key": state.key,
        "exists": state.exists,
        "value": state.value,
    }
    if modified is not None:
        body["modified_ledger"] = modified
    if modified_at is not None:
        body["modified_at"] = text_of(modified_at)
    body |= {"read_ledger": place.read_ledger, "read_at": text_of(place.read_at)}
    if state.live_until is not None:
        body["live_until_ledger"] = state.live_until
    if state.problem is not None:
        body["problem"] = state.problem
    body |= {"cause": "mapping"} if event is None else {"cause": "event", "event_id": event.id}
    return Keyed(state.key, orjson.dumps(body))


class MovePlace(NamedTuple):
    """Since which ledger (and its close) keys have other contracts."""

    network: str
    ledger: int
    closed_at: int


def move_record(place: MovePlace, asked: Asked) -> Keyed:
    """A mapping gave the key another contract, or took it away: no event of the network, told as one behind
    all of the ledger's."""
    body = {
        "kind": "event",
        "network": place.network,
        "contract": asked.contract,
        "ledger": place.ledger,
        "closed_at": text_of(place.closed_at),
        "tx": None,
        "id": end_of(place.ledger),
        "type": "mapping",
        "topics": [],
        "data": {"void": None},
        "key": asked.key,
        "entries": [asked.decoder.entry],
    }
    return Keyed(asked.key, orjson.dumps(body))


def gone_record(place: MovePlace, asked: Asked) -> Keyed:
    """A key without a contract has no entry."""
    state = EntryState(asked.key, exists=False, modified_ledger=place.ledger)
    at = ReadPlace(place.network, asked.contract, asked.decoder.entry, place.ledger, place.closed_at)
    return entry_record(at, state, None, place.closed_at)


def mark_record(network: str, ledger: int, closed_at: int, from_ledger: int, epoch: int = 0) -> bytes:
    """The promise that all up to `ledger` stands before; it joins the promise made for `from_ledger`, in the
    same epoch."""
    return orjson.dumps(
        {
            "kind": "mark",
            "network": network,
            "ledger": ledger,
            "closed_at": text_of(closed_at),
            "from_ledger": from_ledger,
            "epoch": str(epoch),
        }
    )


def epoch_record(network: str, from_ledger: int) -> bytes:
    """The network began anew: its history ended at or after `from_ledger`, the first ledger that may be
    unread, and its ledgers are numbered anew."""
    return orjson.dumps({"kind": "gap", "network": network, "from_ledger": from_ledger, "cause": "epoch"})


def gap_record(network: str, from_ledger: int, to_ledger: int) -> bytes:
    """Events of the ledgers `from_ledger` to `to_ledger`, both included, may be lost."""
    return orjson.dumps(
        {
            "kind": "gap",
            "network": network,
            "from_ledger": from_ledger,
            "to_ledger": to_ledger,
            "cause": "retention",
        }
    )

"""The codec of `chain.events`: a record as the detector's right-hand inputs, one per rule concerned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

import msgspec

from app.detector.model import (
    ABSENT,
    EntryEvent,
    EntryRead,
    Gap,
    Input,
    Mark,
    Side,
    Unreadable,
    Upgraded,
    Value,
)
from app.errors import Poison
from app.ports import Record, known_cause
from app.rules import LoadedRule
from app.rules.canonical import LATEST_EVENT_US
from app.rules.mapping import MissingColumn
from connectors.soroban import times
from connectors.soroban.cursor import ledger_of

_CACHED: Final = 16_384
"""Distinct times and contracts that are remembered; a flood of new ones empties the memory, no more."""


_Ledger = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]


class EventRecord(msgspec.Struct, tag="event", tag_field="kind"):
    """`event`. `entries` None: all entries of the key; empty: none (the event names nobody)."""

    ledger: _Ledger
    closed_at: str
    id: str
    network: str | None = None
    contract: str | None = None
    tx: str | None = None
    key: str | None = None
    entries: list[str] | None = None
    type: str | None = None


class EntryRecord(msgspec.Struct, tag="entry", tag_field="kind"):
    """`entry`."""

    entry: str
    exists: bool
    read_ledger: _Ledger
    read_at: str
    network: str | None = None
    contract: str | None = None
    key: str | None = None
    value: dict[str, Any] | None = None
    modified_ledger: _Ledger | None = None
    modified_at: str | None = None
    event_id: str | None = None
    problem: str | None = None


class MarkRecord(msgspec.Struct, tag="mark", tag_field="kind"):
    """`mark`."""

    ledger: _Ledger
    closed_at: str
    network: str | None = None
    from_ledger: _Ledger | None = None
    epoch: str | None = None


class GapRecord(msgspec.Struct, tag="gap", tag_field="kind"):
    """`gap`. Both ledgers belong to it."""

    cause: str
    network: str | None = None
    from_ledger: _Ledger | None = None
    to_ledger: _Ledger | None = None


_AnyRecord: TypeAlias = EventRecord | EntryRecord | MarkRecord | GapRecord


class _Topics(msgspec.Struct):
    topics: list[Any] = []


class _Reader(NamedTuple):
    rule: str
    read: Callable[[dict[str, Any]], Value]


class ChainCodec:
    """Implements `app.ports.Codec` for `chain.events`: 3 to 4 µs a record (CPython 3.11).

    A record concerns a rule where the entry's name is the rule's, and network and contract are too or are
    not said on either side. Raises `Poison` for a record of no known shape. An entry that its decoder did not
    understand, or without a column that a rule needs, is none: the rule is told that it cannot be read, and
    what it is stays unknown.
    """

    def __init__(self, rules: Sequence[LoadedRule]) -> None:
        self.skipped: dict[str, int] = {}
        self._rules = tuple(rules)
        self._decode = msgspec.json.Decoder(_AnyRecord).decode
        self._micros: dict[str, int] = {}
        self._readers: dict[tuple[str | None, str | None, str | None], tuple[_Reader, ...]] = {}

    def decode(self, record: Record) -> Sequence[Input]:
        raw = record.value
        if raw is None:
            return self._skip("null_value")
        try:
            found = self._decode(raw)
            if type(found) is EntryRecord:
                return self._entry(found, record)
            if type(found) is EventRecord:
                return self._event(found, record)
            if type(found) is MarkRecord:
                at, told_at = self._us(found.closed_at), record.timestamp * 1000
                mark = Mark(Side.RIGHT, found.network, at, found.epoch, found.ledger, found.from_ledger)
                return (mark._replace(told_at=told_at),) if told_at > 0 else (mark,)
        except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as error:
            raise Poison("decoding", f"{record.topic}[{record.partition}]@{record.offset}", error) from error
        cause = known_cause(found.cause)
        return (Gap(Side.RIGHT, found.network, None, None, cause, found.from_ledger, found.to_ledger),)

    def _event(self, found: EventRecord, record: Record) -> Sequence[Input]:
        key = found.key or _key_of(record)
        if found.type == "system" and _tells_upgrade(record):
            at = self._us(found.closed_at)
            readers = self._readers_of(found.network, found.contract, None)
            return [Upgraded(reader.rule, at) for reader in readers] + list(self._named(found, key))
        return self._named(found, key)

    def _named(self, found: EventRecord, key: str) -> Sequence[Input]:
        if found.entries is None:
            if key == found.contract:
                return self._skip("names_no_key")
            readers = self._readers_of(found.network, found.contract, None)
        else:
            readers = tuple(
                reader
                for entry in found.entries
                for reader in self._readers_of(found.network, found.contract, entry)
            )
        if not readers:
            return self._skip("no_rule" if found.entries != [] else "names_no_key")
        at = self._us(found.closed_at)
        if not key:
            return self._skip("no_key")
        return [EntryEvent(reader.rule, key, found.ledger, at, found.tx, found.id) for reader in readers]

    def _entry(self, found: EntryRecord, record: Record) -> Sequence[Input]:
        readers = self._readers_of(found.network, found.contract, found.entry)
        if not readers:
            return self._skip("no_rule")
        key = found.key or _key_of(record)
        if not key:
            return self._skip("no_key")
        modified = found.modified_ledger
        if modified is None:
            modified = -1 if found.exists else ledger_of(found.event_id)
        at = None if found.modified_at is None else self._us(found.modified_at)
        read_at, read_ledger, event_id = self._us(found.read_at), found.read_ledger, found.event_id
        if not found.exists:
            return [
                EntryRead(reader.rule, key, ABSENT, modified, at, read_ledger, read_at, event_id)
                for reader in readers
            ]
        if found.value is None:
            what = f"the entry {found.entry} of {key} could not be decoded: {found.problem}"
            return [Unreadable(reader.rule, Side.RIGHT, read_at, what) for reader in readers]
        inputs: list[Input] = []
        for reader in readers:
            try:
                value = reader.read(found.value)
            except MissingColumn as missing:
                inputs.append(Unreadable(reader.rule, Side.RIGHT, read_at, str(missing)))
            else:
                read = (modified, at, read_ledger, read_at, event_id)
                inputs.append(EntryRead(reader.rule, key, value, *read))
        return inputs

    def _readers_of(
        self, network: str | None, contract: str | None, entry: str | None
    ) -> tuple[_Reader, ...]:
        readers = self._readers.get((network, contract, entry))
        if readers is None:
            readers = tuple(
                _Reader(loaded.rule.id, loaded.right.read)
                for loaded in self._rules
                if _agree(loaded.right.entry, entry)
                and _agree(loaded.right.contract, contract)
                and _agree(loaded.right.network, network)
            )
            if len(self._readers) >= _CACHED:
                self._readers.clear()
            self._readers[network, contract, entry] = readers
        return readers

    def _us(self, text: str) -> int:
        micros = self._micros.get(text)
        if micros is None:
            micros = times.micros_of(datetime.fromisoformat(text))
            if not 0 <= micros <= LATEST_EVENT_US:
                raise ValueError(f"{text} is no time of a ledger")
            if len(self._micros) >= _CACHED:
                self._micros.clear()
            self._micros[text] = micros
        return micros

    def _skip(self, cause: str) -> Sequence[Input]:
        self.skipped[cause] = self.skipped.get(cause, 0) + 1
        return ()


def _agree(wanted: str | None, said: str | None) -> bool:
    return wanted is None or said is None or wanted == said


def _tells_upgrade(record: Record) -> bool:
    """Does an event of the host say that its contract got other code?"""
    topics = msgspec.json.decode(record.value or b"", type=_Topics).topics
    return bool(topics) and topics[0] == {"symbol": "executable_update"}


def _key_of(record: Record) -> str:
    return "" if record.key is None else record.key.decode("utf-8")

"""The codec of `drift.observations`: canonical reads and control records, in and out.

A sensitive field is hashed where it is read (app/rules/fields.py); only one that is compared by
distance, by a tolerance or by steps of severity, travels in clear.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec
import orjson

from app.detector.model import (
    ABSENT,
    INFINITY,
    OUT,
    UNKNOWN,
    Activation,
    ClockReading,
    EntryAsOf,
    Gap,
    Input,
    Mute,
    RowAsOf,
    Rule,
    Seeded,
    Side,
    Unreadable,
    Value,
)
from app.detector.values import format_time
from app.errors import Poison
from app.ports import Record, known_cause
from app.readings import read_snapshot, show_snapshot
from app.rules import LoadedRule
from app.rules.canonical import LATEST_EVENT_US, microseconds
from connectors.kafka.scalars import read_scalar, show_scalar

_NETWORK: Final = re.compile(r"[0-9a-f]{16}")
"""The short name of a network (wire format, section 2)."""
_NOT_JUDGED_YET: Final = ("mark", "epoch")


_Ledger = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]


# A thousand reads of a page have one snapshot and one time.
_micros = lru_cache(maxsize=1 << 12)(microseconds)
_text_of_time = lru_cache(maxsize=1 << 12)(format_time)
_snapshot_of = lru_cache(maxsize=64)(read_snapshot)
_text_of_snapshot = lru_cache(maxsize=64)(show_snapshot)


class _SeededRecord(msgspec.Struct):
    rule: str
    side: Side
    at: str
    through: str | None = None
    version: int | None = None


class _ActivateRecord(msgspec.Struct):
    rule: str
    version: Annotated[int, msgspec.Meta(ge=1)]
    hash: str
    effective: str
    document: str | msgspec.UnsetType | None = msgspec.UNSET
    path: str = ""


class _GapRecord(msgspec.Struct):
    cause: str
    source: str | None = None
    side: Side | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    until: str | None = None
    from_ledger: _Ledger | None = None
    to_ledger: _Ledger | None = None


class _MuteRecord(msgspec.Struct):
    rule: str
    from_: str = msgspec.field(name="from")
    key: str | None = None
    until: str | None = None
    reason: str = ""


class _ClockRecord(msgspec.Struct):
    source: str
    offset_ms: Annotated[int, msgspec.Meta(ge=-(1 << 53), le=1 << 53)]


class _SchemaRecord(msgspec.Struct):
    rule: str
    side: Side
    at: str
    detail: str = ""


class _Record(msgspec.Struct):
    """An observation, or a control record under its name."""

    rule: str | None = None
    side: Side | None = None
    key: str | None = None
    row: str | int | None = None
    besides: list[str | int] = []
    version: int | None = None
    position: _Ledger | str | None = None
    at: str | None = None
    origin: Literal["change", "seed", "sweep", "confirm"] = "seed"
    value: dict[str, Any] | None = None
    scope: Literal["in", "out", "unknown"] = "in"
    snapshot: str | None = None
    read_at: str | None = None
    read_ledger: _Ledger | None = None
    seeded: _SeededRecord | None = None
    gap: _GapRecord | None = None
    mark: dict[str, Any] | None = None
    epoch: dict[str, Any] | None = None
    activate: _ActivateRecord | None = None
    mute: _MuteRecord | None = None
    clock: _ClockRecord | None = None
    schema: _SchemaRecord | None = None


class ObservationCodec:
    """Implements `app.ports.Codec` for `drift.observations`.

    Records of unknown rules, re-keyed changes and the control records `mark` and `epoch` concern nobody yet,
    and what was read by another version of a rule not this one: () and counted in `skipped`. Raises `Poison`
    for what is no such record, and for a value without a field of its rule.
    """

    def __init__(self, rules: Sequence[LoadedRule]) -> None:
        self.skipped: dict[str, int] = defaultdict(int)
        self._rules = {loaded.rule.id: loaded.rule for loaded in rules}
        self._databases = {loaded.left.source for loaded in rules} - {None}
        self._networks = {loaded.right.network for loaded in rules} - {None}
        self._decode = msgspec.json.Decoder(_Record).decode

    def decode(self, record: Record) -> Sequence[Input]:
        if record.value is None:
            return self._skip("null_value")
        try:
            found = self._decode(record.value)
            return self._inputs(found, record)
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
            place = f"{record.topic}[{record.partition}]@{record.offset}"
            raise Poison("decoding", place, error) from error

    def _inputs(self, found: _Record, record: Record) -> Sequence[Input]:
        if found.rule is None:
            return self._control(found)
        rule = self._rules.get(found.rule)
        if rule is None:
            return self._skip("no_rule")
        if found.origin == "change":
            return self._skip("change")
        if found.version not in (None, rule.version):
            return self._skip("other_version")
        if record.key is not None and record.key != (found.key or "").encode("utf-8", "surrogatepass"):
            raise ValueError("the record's key is not the key of the observation")
        if found.side is Side.LEFT:
            return (_row_as_of(rule, found),)
        return (_entry_as_of(rule, found),)

    def _control(self, found: _Record) -> Sequence[Input]:
        if found.seeded is not None:
            return self._seeded(found.seeded)
        if found.gap is not None:
            return (self._gap(found.gap),)
        if found.mute is not None:
            return self._mute(found.mute)
        if found.activate is not None:
            return self._activate(found.activate)
        if found.clock is not None or found.schema is not None:
            return self._trust(found.clock, found.schema)
        for name in _NOT_JUDGED_YET:
            if getattr(found, name) is not None:
                return self._skip(name)
        raise ValueError("neither an observation nor a control record")

    def _seeded(self, seeded: _SeededRecord) -> Sequence[Input]:
        rule = self._rules.get(seeded.rule)
        if rule is None:
            return self._skip("no_rule")
        if seeded.version not in (None, rule.version):
            return self._skip("other_version")
        through = None if seeded.through is None else _us(seeded.through, "seeded.through")
        return (Seeded(seeded.rule, seeded.side, _us(seeded.at, "seeded.at"), through, seeded.version),)

    def _activate(self, asked: _ActivateRecord) -> Sequence[Input]:
        if asked.rule not in self._rules:
            return self._skip("no_rule")
        if asked.document is msgspec.UNSET:
            return self._skip("activate")
        at = _us(asked.effective, "activate.effective")
        return (Activation(asked.rule, asked.version, asked.hash, at, asked.document, asked.path),)

    def _mute(self, mute: _MuteRecord) -> Sequence[Input]:
        if mute.rule not in self._rules:
            return self._skip("no_rule")
        until = INFINITY if mute.until is None else _us(mute.until, "mute.until")
        return (Mute(mute.rule, mute.key, _us(mute.from_, "mute.from"), until, mute.reason),)

    def _gap(self, gap: _GapRecord) -> Gap:
        start = None if gap.from_ is None else _us(gap.from_, "gap.from")
        until = None if gap.until is None else _us(gap.until, "gap.until")
        side = gap.side or self._side_of(gap.source)
        return Gap(side, gap.source, start, until, known_cause(gap.cause), gap.from_ledger, gap.to_ledger)

    def _trust(self, clock: _ClockRecord | None, schema: _SchemaRecord | None) -> Sequence[Input]:
        if clock is not None:
            return (ClockReading(clock.source, clock.offset_ms * 1000),)
        if schema is None or schema.rule not in self._rules:
            return self._skip("no_rule")
        return (Unreadable(schema.rule, schema.side, _us(schema.at, "schema.at"), schema.detail),)

    def _side_of(self, source: str | None) -> Side:
        """A network feeds right sides; everything else is a database."""
        if source is None or source in self._databases:
            return Side.LEFT
        return Side.RIGHT if source in self._networks or _NETWORK.fullmatch(source) else Side.LEFT

    def _skip(self, cause: str) -> tuple[()]:
        self.skipped[cause] += 1
        return ()


def _row_as_of(rule: Rule, found: _Record) -> RowAsOf:
    snapshot = _snapshot_of(_needed(found.snapshot, "snapshot"))
    value = _value(rule, found)
    if found.row is None and value != ABSENT:
        raise ValueError("a value without its row")
    read_at, besides = _us(found.read_at, "read_at"), tuple(found.besides)
    return RowAsOf(rule.id, _needed(found.key, "key"), found.row, value, snapshot, read_at, besides)


def _entry_as_of(rule: Rule, found: _Record) -> EntryAsOf:
    if found.side is None or found.read_ledger is None:
        raise ValueError(f"without {'side' if found.side is None else 'read_ledger'}")
    return EntryAsOf(
        rule.id,
        _needed(found.key, "key"),
        _value(rule, found),
        found.position if isinstance(found.position, int) else -1,
        None if found.at is None else _us(found.at, "at"),
        found.read_ledger,
        _us(found.read_at, "read_at"),
    )


def _value(rule: Rule, found: _Record) -> Value:
    value = found.value
    if value is None:
        return {"in": ABSENT, "out": OUT, "unknown": UNKNOWN}[found.scope]  # type: ignore[return-value]
    try:
        return tuple([read_scalar(field, value[field.name]) for field in rule.fields])
    except KeyError as error:
        raise ValueError(f"the value lacks the field {error.args[0]!r} of rule {rule.id}") from None


def _needed(text: str | None, name: str) -> str:
    if not text:
        raise ValueError(f"without {name}")
    return text


def _us(text: str | None, name: str) -> int:
    micros = _micros(text or "")
    if micros is None or not 0 <= micros <= LATEST_EVENT_US:
        raise ValueError(f"{name} is no time of an event")
    return micros


# ---- out


def encode_read(rule: Rule, read: RowAsOf | EntryAsOf, run: str, origin: str) -> bytes:
    """The record of an as-of read. A value of a field type's own form comes back as it was; UNKNOWN says that
    something is there which could not be read."""
    body: dict[str, object] = {"rule": rule.id, "key": read.key, "origin": origin, **_shown(rule, read.value)}
    if isinstance(read, RowAsOf):
        body |= {"side": Side.LEFT, "row": read.row, "snapshot": _text_of_snapshot(read.snapshot)}
        if read.besides:
            body["besides"] = read.besides
    else:
        body |= {"side": Side.RIGHT, "read_ledger": read.read_ledger}
        if read.modified_ledger >= 0:
            body["position"] = read.modified_ledger
        if read.modified_at is not None:
            body["at"] = _text_of_time(read.modified_at)
    body |= {"read_at": _text_of_time(read.read_at), "run": run, "version": rule.version}
    return orjson.dumps(body)


def _shown(rule: Rule, value: Value) -> dict[str, object]:
    if isinstance(value, tuple):
        pairs = zip(rule.fields, value, strict=True)
        return {"value": {field.name: show_scalar(field, one) for field, one in pairs}, "scope": "in"}
    return {"value": None, "scope": {ABSENT: "in", OUT: "out", UNKNOWN: "unknown"}[value]}


def encode_seeded(seeded: Seeded, run: str) -> bytes:
    """The control record that ends one side of a seed; every partition must get it."""
    if abs(seeded.at) >= INFINITY:
        raise ValueError("a seed without a time")
    body: dict[str, object] = {
        "rule": seeded.rule,
        "side": seeded.side,
        "at": format_time(seeded.at),
        "run": run,
    }
    if seeded.through is not None:
        body["through"] = format_time(seeded.through)
    if seeded.version is not None:
        body["version"] = seeded.version
    return orjson.dumps({"seeded": body})


def encode_activation(asked: Activation) -> bytes:
    """The control record of a rule's other version; every partition must get it."""
    body = {
        "rule": asked.rule,
        "version": asked.version,
        "hash": asked.digest,
        "effective": format_time(asked.effective),
        "document": asked.document,
        "path": asked.path,
    }
    return orjson.dumps({"activate": body})


def encode_clock(reading: ClockReading) -> bytes:
    """The control record of a clock that was read; every partition must get it."""
    return orjson.dumps({"clock": {"source": reading.source, "offset_ms": reading.offset_us // 1000}})


def encode_unreadable(found: Unreadable) -> bytes:
    """The control record of a form that a rule cannot read; every partition must get it."""
    body = {"rule": found.rule, "side": found.side, "at": format_time(found.at), "detail": found.detail}
    return orjson.dumps({"schema": body})


def encode_mute(mute: Mute) -> bytes:
    """The control record of a mute; every partition must get it."""
    body = {
        "rule": mute.rule,
        "key": mute.key,
        "from": format_time(mute.from_us),
        "until": None if mute.until_us >= INFINITY else format_time(mute.until_us),
        "reason": mute.reason,
    }
    return orjson.dumps({"mute": body})

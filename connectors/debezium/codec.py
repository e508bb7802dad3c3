"""From a record of `db.changes` to the detector's inputs: row changes, marks, truncations."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Annotated, Any, Final, NoReturn, TypeAlias

import msgspec
import orjson

from app.detector.model import ABSENT, UNKNOWN, Gap, Input, Mark, RowChange, Side, Unreadable, Value
from app.errors import Poison
from app.ports import Record
from app.rules import LeftMapping, LoadedRule
from app.rules.canonical import LATEST_EVENT_US, microseconds, text_of
from app.rules.mapping import MissingColumn

_ROW_OPERATIONS: Final = frozenset("cudr")
MARK_PREFIX: Final = "wm:"
UNAVAILABLE: Final = "__debezium_unavailable_value"
"""Stands for a large value that an update did not touch, under REPLICA IDENTITY DEFAULT."""

_UNAVAILABLE_FORMS: Final = (UNAVAILABLE, [UNAVAILABLE], "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==")

_Micros = Annotated[int, msgspec.Meta(ge=0, le=LATEST_EVENT_US)]
_Millis = Annotated[int, msgspec.Meta(ge=0, le=LATEST_EVENT_US // 1000)]
_Position = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


_Binding: TypeAlias = tuple[LoadedRule, LeftMapping, Callable[[Mapping[str, object]], Value]]


class _Source(msgspec.Struct):
    name: str
    table: str
    schema: str | None = None
    lsn: _Position | None = None
    ts_us: _Micros | None = None
    ts_ms: _Millis | None = None
    txId: _Position | None = None


class _Message(msgspec.Struct):
    prefix: str
    content: str | None = None


class _Envelope(msgspec.Struct):
    op: str
    source: _Source
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    message: _Message | None = None


class ChangeCodec:
    """The codec of `db.changes` for these rules.

    A record whose table no rule names, a null value, a message that is no mark, a heartbeat and the metadata
    of a transaction give () and are counted in `skipped`. The before-image of an update is trusted (it is
    there under REPLICA IDENTITY FULL only); that of a delete only where the rule says `replica_identity:
    full`, since it holds invented values otherwise. A row read by Debezium's own snapshot (`r`) has position
    0: it fills in a row that was never heard of, and any change wins over it.

    A row without a column that a rule reads is no dead letter: the rule is told that its table has another
    form now, and that this row is unknown.
    """

    def __init__(self, rules: Sequence[LoadedRule]) -> None:
        self.skipped: dict[str, int] = defaultdict(int)
        self._decode = msgspec.json.Decoder(_Envelope).decode
        self._decode_any = msgspec.json.Decoder(dict[str, Any]).decode
        self._tables: dict[tuple[str | None, str], list[_Binding]] = {}
        for rule in rules:
            for left in rule.left.tables:
                schema, _, table = left.table.rpartition(".")
                for place in ((schema, table), (None, table)):
                    self._tables.setdefault(place, []).append((rule, left, left.read))

    def decode(self, record: Record) -> Sequence[Input]:
        """The inputs of one record, one for each rule that it concerns; raises `Poison`."""
        value = record.value
        if value is None:
            return self._skip("tombstone")
        try:
            envelope = self._decode(value)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            return self._stranger(record, value, error)
        if envelope.op == "m":
            return self._mark(record, envelope)
        source = envelope.source
        rules = self._tables.get((source.schema, source.table))
        if rules is None:
            return self._skip("table")
        at = source.ts_us
        if at is None:
            if source.ts_ms is None:
                _refuse(record, "no source.ts_us and no source.ts_ms")
            at = source.ts_ms * 1000
        if envelope.op == "t":
            return (Gap(Side.LEFT, source.name, at, at, "truncate"),)
        return self._changes(record, envelope, rules, at)

    def _changes(
        self, record: Record, envelope: _Envelope, rules: list[_Binding], at: int
    ) -> Sequence[Input]:
        op, source = envelope.op, envelope.source
        row = envelope.before if op == "d" else envelope.after
        lsn, tx = (0, None) if op == "r" else (source.lsn, source.txId)
        if op not in _ROW_OPERATIONS:
            _refuse(record, f"operation {op[:20]!r} is not known")
        if row is None or lsn is None:
            _refuse(record, f"operation {op} without {'a row' if row is None else 'source.lsn'}")
        key, name, headers = _key(record), source.name, record.headers
        found: list[Input] = []
        for rule, left, read in rules:
            if left.source is not None and left.source != name:
                continue
            try:
                if left.key_of(row) != key:
                    _refuse_key(record, rule, left)
                before, after, kept = _images(envelope, left, read, row)
                row_id = left.row_id(row)
            except MissingColumn as missing:
                found += _unreadable(rule, left, (key, row, lsn, at, tx), missing)
                continue
            linked = _linked(record, left.key) if headers else None
            found.append(RowChange(rule.rule.id, key, row_id, lsn, at, before, after, tx, linked, kept))
        return found or self._skip("source")

    def _mark(self, record: Record, envelope: _Envelope) -> Sequence[Input]:
        message = envelope.message
        if message is None:
            _refuse(record, "operation m without a message")
        if not message.prefix.startswith(MARK_PREFIX):
            return self._skip("message")
        try:
            content = orjson.loads(b64decode(message.content or "", validate=True))
        except (binascii.Error, ValueError) as error:
            _refuse(record, f"the mark's content is no base64 of JSON: {error}")
        stated = content.get("at") if isinstance(content, dict) else None
        at = microseconds(stated) if isinstance(stated, str) else None
        if at is None or not 0 < at <= LATEST_EVENT_US:
            _refuse(record, f"the mark says no time: at is {text_of(stated)[:80]}")
        epoch = content.get("epoch")
        return (
            Mark(
                Side.LEFT,
                envelope.source.name,
                at - 1,
                None if epoch is None else text_of(epoch),
            ),
        )

    def _stranger(self, record: Record, value: bytes, error: Exception) -> Sequence[Input]:
        try:
            found = self._decode_any(value)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            found = {}
        cause = "heartbeat" if found.keys() == {"ts_ms"} else None
        if found.get("status") in ("BEGIN", "END") and "data_collections" in found:
            cause = "transaction"
        if cause is None:
            _refuse(record, f"no Debezium envelope: {error}", _hint_for(found))
        return self._skip(cause)

    def _skip(self, cause: str) -> tuple[()]:
        self.skipped[cause] += 1
        return ()


def _hint_for(found: dict[str, Any]) -> str:
    """What of the connector is set up otherwise, as far as the record shows it."""
    if "__op" in found:
        return "take ExtractNewRecordState out of the connector's transforms: the whole envelope is needed"
    if found.keys() == {"schema", "payload"}:
        return "set value.converter.schemas.enable=false"
    return "the value converter must be JSON without schemas"


def _images(
    envelope: _Envelope, left: LeftMapping, read: Callable[[Mapping[str, object]], Value], row: dict[str, Any]
) -> tuple[Value | None, Value, tuple[int, ...]]:
    """(before, after, the fields of `after` that keep what is held): under REPLICA IDENTITY DEFAULT a large
    value that an update did not touch is not sent."""
    op = envelope.op
    if op == "d":
        return (_before(left, row) if left.images_are_full else None), ABSENT, ()
    after = read(row)
    if op != "u":
        return (ABSENT if op == "c" else None), after, ()
    if envelope.before is not None:
        return _before(left, envelope.before), after, ()
    unsent = {name for name in left.columns if row.get(name) in _UNAVAILABLE_FORMS}
    if not unsent:
        return None, after, ()
    kept = tuple(place for place, columns in enumerate(left.field_columns) if columns & unsent)
    if unsent - set(chain.from_iterable(left.field_columns[place] for place in kept)):
        return None, UNKNOWN, ()
    if isinstance(after, tuple):
        after = tuple(None if place in kept else value for place, value in enumerate(after))
    return None, after, kept


def _unreadable(
    rule: LoadedRule,
    left: LeftMapping,
    change: tuple[str, dict[str, Any], int, int, int | None],
    missing: MissingColumn,
) -> Iterator[Input]:
    """A row without a column that the rule reads: what the key's row is now is unknown, and the table has
    changed for all of them."""
    key, row, lsn, at, tx = change
    yield Unreadable(rule.rule.id, Side.LEFT, at, f"{left.table}: {missing.cause}")
    with suppress(MissingColumn):
        if left.key_of(row) == key:
            yield RowChange(rule.rule.id, key, left.row_id(row), lsn, at, None, UNKNOWN, tx)


def _before(left: LeftMapping, row: dict[str, Any]) -> Value | None:
    """A before-image; None where it lacks a column that the rule needs."""
    try:
        return left.read(row)
    except Poison:
        return None


def _key(record: Record) -> str:
    if not record.key:
        _refuse(
            record, "the key is empty", "a delete needs REPLICA IDENTITY FULL, or the key in the primary key"
        )
    try:
        return record.key.decode()
    except UnicodeDecodeError as error:
        _refuse(record, f"the key is not UTF-8: {error}")


def _linked(record: Record, column: str) -> str | None:
    """The other key where Debezium says that the row moved: the key column's value, else the only value."""
    for name, raw in record.headers:
        if name in ("__debezium.oldkey", "__debezium.newkey") and raw:
            return _key_in_header(bytes(raw).decode(errors="replace"), column)
    return None


def _key_in_header(text: str, column: str) -> str | None:
    struct = re.fullmatch(r"Struct\{(.*)\}", text, re.DOTALL)
    if struct is not None:
        named = re.search(rf"(?:^|,){re.escape(column)}=([^,]*)", struct[1])
        return named[1] if named else struct[1].partition("=")[2]
    try:
        stated: Any = orjson.loads(text)
    except ValueError:
        return text
    if isinstance(stated, dict) and isinstance(stated.get("payload"), dict) and "schema" in stated:
        stated = stated["payload"]
    if isinstance(stated, dict):
        stated = stated.get(column, next(iter(stated.values())) if len(stated) == 1 else None)
    return None if stated is None else text_of(stated)


def _refuse_key(record: Record, rule: LoadedRule, left: LeftMapping) -> NoReturn:
    _refuse(
        record,
        f"the key is not column {left.key!r} of {left.table}, as rule {rule.rule.id} needs",
        "set message.key.columns and ExtractField$Key; REPLICA IDENTITY must cover the key column",
    )


def _refuse(record: Record, cause: str, hint: str = "") -> NoReturn:
    raise Poison("decoding", f"{record.topic}[{record.partition}]@{record.offset}", cause, hint) from None

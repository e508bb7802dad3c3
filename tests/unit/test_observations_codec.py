"""The codec of `drift.observations`: what it makes of each kind of record; nothing is lost on the way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.detector.model import (
    ABSENT,
    INFINITY,
    OUT,
    UNKNOWN,
    EntryAsOf,
    Field,
    FieldType,
    Gap,
    Mute,
    RowAsOf,
    Scalar,
    Seeded,
    Side,
    Snapshot,
    Value,
)
from app.errors import Poison
from app.readings import read_snapshot, show_snapshot
from app.rules import LoadedRule, load_rules
from connectors.kafka.observations import ObservationCodec, encode_mute, encode_read, encode_seeded
from connectors.kafka.scalars import read_scalar, show_scalar

RULE = """
rule: lines
version: 1
kind: state
left: {table: public.lines, key: wallet, source: db}
right: {contract: C, entry: e, network: main}
fields:
  limit: {left: credit, right: credit, type: amount, right_scale: 2}
  rate: {left: rate, right: rate, type: integer}
  status: {left: status, right: status, type: text}
"""
AT = 1_795_221_915_669_048
WHEN = "2026-11-21T00:45:15.669048Z"
SNAPSHOT = Snapshot(99, 104, frozenset({101, 99}))
VALUE: Value = (100_050, 500, "active")
LEFT: dict[str, Any] = {
    "rule": "lines",
    "side": "left",
    "key": "GA",
    "row": 7,
    "origin": "seed",
    "value": {"limit": "1000.5", "rate": 500, "status": "active", "added later": 1},
    "scope": "in",
    "snapshot": "99:104:99,101",
    "read_at": WHEN,
    "run": "r",
}
RIGHT: dict[str, Any] = {
    "rule": "lines",
    "side": "right",
    "key": "GA",
    "position": 77,
    "at": "2026-11-21T00:45:15Z",
    "origin": "sweep",
    "value": LEFT["value"],
    "read_ledger": 80,
    "read_at": WHEN,
}


class Arrived(NamedTuple):
    """A record as aiokafka gives it."""

    value: bytes | None
    key: bytes | None = b"GA"
    headers: Sequence[tuple[str, bytes]] = ()
    topic: str = "drift.observations"
    partition: int = 3
    offset: int = 17
    timestamp: int = 0


@pytest.fixture(scope="module")
def rule(tmp_path_factory: pytest.TempPathFactory) -> LoadedRule:
    path: Path = tmp_path_factory.mktemp("rules") / "lines.yaml"
    path.write_text(RULE, encoding="utf-8")
    return load_rules([path], {})[0]


def decode(rule: LoadedRule, body: object, key: bytes | None = b"GA") -> Sequence[object]:
    return ObservationCodec([rule]).decode(Arrived(json.dumps(body).encode(), key))


def test_a_row_and_an_entry_as_of_a_read_are_canonical(rule: LoadedRule) -> None:
    assert decode(rule, LEFT) == (RowAsOf("lines", "GA", 7, VALUE, SNAPSHOT, AT),)
    entry = EntryAsOf("lines", "GA", VALUE, 77, AT - 669_048, 80, AT)
    assert decode(rule, RIGHT) == (entry,)
    unannounced = {name: told for name, told in RIGHT.items() if name not in ("position", "at")}
    assert decode(rule, unannounced) == (entry._replace(modified_ledger=-1, modified_at=None),)


def test_no_value_is_absent_out_of_scope_or_not_readable(rule: LoadedRule) -> None:
    for scope, expected in (("in", ABSENT), ("out", OUT), ("unknown", UNKNOWN)):
        (row,) = decode(rule, LEFT | {"value": None, "scope": scope})
        (entry,) = decode(rule, RIGHT | {"value": None, "scope": scope})
        assert (row.value, entry.value) == (expected, expected)  # type: ignore[attr-defined]
    (nothing,) = decode(rule, LEFT | {"value": None, "row": None})
    assert nothing == RowAsOf("lines", "GA", None, ABSENT, SNAPSHOT, AT)


def test_the_end_of_a_seed_and_gaps_of_both_sides_are_controls(rule: LoadedRule) -> None:
    seeded = {"rule": "lines", "side": "right", "at": WHEN, "run": "r"}
    assert decode(rule, {"seeded": seeded}, None) == (Seeded("lines", Side.RIGHT, AT, None),)
    through = Seeded("lines", Side.LEFT, AT, AT + 5)
    assert ObservationCodec([rule]).decode(Arrived(encode_seeded(through, "r"), None)) == (through,)
    gap = {"source": "db", "from": WHEN, "until": None, "cause": "truncate"}
    assert decode(rule, {"gap": gap}, None) == (Gap(Side.LEFT, "db", AT, None, "truncate"),)
    for source, side in (("main", Side.RIGHT), ("0123456789abcdef", Side.RIGHT), ("other", Side.LEFT)):
        assert decode(rule, {"gap": gap | {"source": source}}, None)[0].side is side  # type: ignore[attr-defined]
    ledgers = {"source": None, "side": "right", "cause": "retention", "from_ledger": 5, "to_ledger": 9}
    assert decode(rule, {"gap": ledgers}, None) == (Gap(Side.RIGHT, None, None, None, "retention", 5, 9),)


def test_what_concerns_nobody_yet_is_skipped_by_name(rule: LoadedRule) -> None:
    codec = ObservationCodec([rule])
    bare = {"rule": "lines", "version": 2, "hash": "ab", "effective": WHEN}
    controls = {"mark": {"rule": "lines"}, "epoch": {"rule": "lines"}, "activate": bare}
    seeded = {"seeded": {"rule": "other", "side": "left", "at": WHEN}}
    bodies: list[object] = [{name: body} for name, body in controls.items()]
    others = (LEFT | {"rule": "other"}, LEFT | {"origin": "change"}, LEFT | {"version": 7})
    for body in (*bodies, seeded, *others, {"seeded": seeded["seeded"] | {"rule": "lines", "version": 7}}):
        assert codec.decode(Arrived(json.dumps(body).encode())) == ()
    assert codec.decode(Arrived(None)) == ()
    expected = {"mark": 1, "epoch": 1, "activate": 1, "no_rule": 2, "change": 1, "null_value": 1}
    expected["other_version"] = 2
    assert codec.skipped == expected


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"snapshot": "99:104"}, "not enough values"),
        ({"snapshot": None}, "without snapshot"),
        ({"read_at": "yesterday"}, "read_at is no time"),
        ({"value": {"limit": "1", "status": "active"}}, "lacks the field 'rate'"),
        ({"value": {"limit": 1, "rate": 5, "status": "active"}}, "limit is a JSON number"),
        ({"value": {"limit": "1", "rate": [5], "status": "active"}}, "rate is no canonical value"),
        ({"value": {"limit": "1", "rate": 5.5, "status": "active"}}, "rate is no canonical value"),
        ({"row": None}, "a value without its row"),
        ({"key": None}, "key is not the key"),
        ({"key": "GB"}, "key is not the key"),
        ({"side": None}, "without side"),
        ({"side": "right"}, "without read_ledger"),
        ({"side": "middle"}, "Invalid enum value"),
        ({"rule": None}, "neither an observation nor a control"),
    ],
)
def test_what_can_never_be_understood_is_poison_with_its_cause(
    rule: LoadedRule, changed: dict[str, object], cause: str
) -> None:
    with pytest.raises(Poison, match=cause) as refused:
        decode(rule, LEFT | changed)
    assert "drift.observations[3]@17" in str(refused.value)


def test_bytes_that_are_no_json_are_poison(rule: LoadedRule) -> None:
    for raw in (b"", b"[]", b"\xff", b"[" * 100_000):
        with pytest.raises(Poison):
            ObservationCodec([rule]).decode(Arrived(raw))


def test_a_seed_without_a_time_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="without a time"):
        encode_seeded(Seeded("lines", Side.LEFT, 1 << 60), "r")


# ---- nothing is lost: whatever is canonical comes back as it was

LIKE_NUMBERS = st.from_regex(r"-?[0-9]{0,20}(\.[0-9]{0,12})?|NAN|1e5|2026-01-02(T03:04:05Z)?", fullmatch=True)
SCALARS: st.SearchStrategy[Scalar] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(), LIKE_NUMBERS, st.integers(-(1 << 70), 1 << 70)
)
FIELDS = st.builds(Field, st.just("f"), st.sampled_from(FieldType), st.integers(0, 18))
TIMES = st.integers(0, 4_000_000_000_000_000)
SNAPSHOTS = st.builds(
    Snapshot, st.integers(3, 1 << 40), st.integers(3, 1 << 40), st.frozensets(st.integers(3, 1 << 40))
)


@given(FIELDS, SCALARS)
@example(Field("f", FieldType.AMOUNT, 7), "1.50")
@example(Field("f", FieldType.AMOUNT, 7), -1)
@example(Field("f", FieldType.INTEGER), 1 << 53)
@example(Field("f", FieldType.INTEGER), "5")
@example(Field("f", FieldType.TIME), "2026-01-02Z")
@example(Field("f", FieldType.TIME), 10**18)
@example(Field("f", FieldType.TEXT), 1 << 60)
@example(Field("f", FieldType.AMOUNT, 0), 10**5000)
def test_any_canonical_scalar_of_any_type_comes_back_as_it_was(field: Field, value: Scalar) -> None:
    shown = json.loads(json.dumps(show_scalar(field, value)))
    back = read_scalar(field, shown)
    assert (type(back), back) == (type(value), value)


@given(SNAPSHOTS)
def test_a_snapshot_comes_back_as_it_was(snapshot: Snapshot) -> None:
    assert read_snapshot(show_snapshot(snapshot)) == snapshot


@given(
    st.one_of(st.tuples(SCALARS, SCALARS, SCALARS), st.sampled_from([ABSENT, OUT, UNKNOWN])),
    st.text(min_size=1),
    st.one_of(st.integers(-(1 << 63), (1 << 63) - 1), st.text()),
    SNAPSHOTS,
    TIMES,
)
def test_any_read_comes_back_as_it_was(
    rule: LoadedRule, value: Value, key: str, row: int | str, snapshot: Snapshot, at: int
) -> None:
    row_read = RowAsOf("lines", key, row, value, snapshot, at)
    entry_read = EntryAsOf("lines", key, value, at % 1000 - 1, at if at % 2 else None, at % 5000, at)
    for read in (row_read, entry_read):
        record = Arrived(encode_read(rule.rule, read, "r", "seed"), key.encode())
        assert ObservationCodec([rule]).decode(record) == (read,)


@pytest.mark.parametrize(
    "mute",
    [Mute("lines", None, 1_000_000, 2_000_000, "a reason"), Mute("lines", "k", 1, INFINITY, "for ever")],
)
def test_a_mute_comes_back_as_it_was_sent(rule: LoadedRule, mute: Mute) -> None:
    assert decode(rule, json.loads(encode_mute(mute)), None) == (mute,)


def test_a_mute_of_another_rule_concerns_nobody_and_one_without_a_beginning_is_poison(
    rule: LoadedRule,
) -> None:
    assert decode(rule, json.loads(encode_mute(Mute("other", None, 1, 2, ""))), None) == ()
    with pytest.raises(Poison, match="from"):
        decode(rule, {"mute": {"rule": "lines"}}, None)

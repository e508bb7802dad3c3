"""Absurd records through a whole partition: each becomes state, a skip with its cause, or a dead letter; none
parks the partition, and what is told afterwards is what the schemas say."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import pytest

import schemas
from app.rules import LoadedRule, load_rules
from app.stream.rule_partition import TABLES
from app.stream.work import Batch, Message, Part
from schemas import topics
from tests.support.one_partition import Arrived, make_partition

RULE = """
rule: absurd
version: 1
kind: state
left: {table: public.t, key: k, primary_key: id, replica_identity: full}
right: {contract: C, entry: e}
fields:
  amount:  {left: amount, right: amount, type: amount, right_scale: 7}
  integer: {left: integer, right: integer, type: integer}
  text:    {left: text, right: text, type: text}
  time:    {left: time, right: time, type: time}
"""
AT = 1_785_578_405_000_000
ROW: dict[str, Any] = {
    "id": 1,
    "k": "K",
    "amount": "1.0000000",
    "integer": 1,
    "text": "a",
    "time": "2026-08-01Z",
}
SOURCE: dict[str, Any] = {"name": "db", "schema": "public", "table": "t", "ts_us": AT, "lsn": 5, "txId": 7}
ENTRY: dict[str, Any] = {
    "kind": "entry", "entry": "e", "contract": "C", "key": "K", "exists": True,
    "value": {"amount": "10000000", "integer": 1, "text": "a", "time": "2026-08-01Z"},
    "modified_ledger": 5, "modified_at": "2026-08-01T10:00:05Z",
    "read_ledger": 6, "read_at": "2026-08-01T10:00:10Z",
}  # fmt: skip
READ: dict[str, Any] = {
    "rule": "absurd", "side": "left", "key": "K", "origin": "sweep", "value": None, "scope": "in",
    "row": None, "read_at": "2026-08-01T10:00:10Z", "run": "r",
}  # fmt: skip
DEEP: Any = "deep"
for _ in range(200):
    DEEP = [DEEP]

VALUES: list[Any] = [
    "NaN", "NAN", "Infinity", "-Infinity", "1e5", "1E400", 10**38, -(10**38), 10**400, 10**4000, "9" * 10_000,
    -1, "-1.0000000", 1.5, -0.0, 1e300, True, None, "", " ", "\x00", "x" * (1 << 20), "ﷺ", "\U0001f4a9",
    [], {},
    DEEP, {"a": DEEP}, "__debezium_unavailable_value", "infinity", "-290308-12-21T19:59:27.6Z", "0001-01-01",
    "9999-12-31T23:59:59.999999Z", 10**17, "9" * 18, -(10**17), "10000-01-01",
]  # fmt: skip


@pytest.fixture(name="rule", scope="module")
def _rule(tmp_path_factory: pytest.TempPathFactory) -> LoadedRule:
    file = tmp_path_factory.mktemp("rules") / "rule.yaml"
    file.write_text(RULE, encoding="utf-8")
    return load_rules([file], {})[0]


def change(
    op: str = "c", key: bytes | None = b"K", headers: Sequence[tuple[str, bytes]] = (), **more: Any
) -> Arrived:
    row = ROW | more.pop("row", {})
    told = {
        "op": op,
        "before": more.pop("before", None),
        "after": row,
        "source": SOURCE | more.pop("source", {}),
    }
    return Arrived(json.dumps(told | more).encode(), 0, key, headers)


def chain(told: object, key: bytes | None = b"K") -> Arrived:
    return Arrived(json.dumps(told).encode(), 0, key, topic=topics.CHAIN_EVENTS)


def observed(told: dict[str, Any]) -> Arrived:
    key = b"K" if "rule" in told else None
    return Arrived(json.dumps(told).encode(), 0, key, topic=topics.OBSERVATIONS)


def left_mark(at: str, **more: Any) -> Arrived:
    content = b64encode(json.dumps({"at": at} | more).encode()).decode()
    told = {
        "op": "m",
        "source": {"name": "db", "table": ""},
        "message": {"prefix": "wm:0", "content": content},
    }
    return Arrived(json.dumps(told).encode(), 0, b"wm:0")


def right_mark(at: str) -> Arrived:
    return chain({"kind": "mark", "ledger": 99, "closed_at": at}, b"n")


MARKS = [left_mark("2026-08-01T10:30:00Z"), right_mark("2026-08-01T10:30:00Z")]


def run(rule: LoadedRule, records: Sequence[Arrived]) -> tuple[list[Message], dict[str, Part]]:
    """What a partition tells of the records, and the rows that it holds then; raises what parks."""
    parts: dict[str, Part] = {table: {} for table in TABLES}
    partition = make_partition([rule], parts)
    messages: list[Message] = []
    offsets = dict.fromkeys((topics.DB_CHANGES, topics.CHAIN_EVENTS, topics.OBSERVATIONS), 0)
    for record in records:
        placed = record._replace(offset=offsets[record.topic])
        offsets[record.topic] += 1
        outcome = partition.absorb(Batch([placed], 1.0))
        messages += outcome.messages
        for stage in outcome.stages:
            for table, rows in stage.items():
                for key, value in rows.items():
                    if value is None:
                        parts[table].pop(key, None)
                    else:
                        parts[table][key] = value
    messages += partition.tick().messages
    make_partition([rule], parts)
    return messages, parts


def told(messages: Sequence[Message], topic: str) -> list[Any]:
    return [json.loads(one.value) for one in messages if one.topic == topic and one.value is not None]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
@pytest.mark.parametrize("column", ["amount", "integer", "text", "time"])
def test_an_absurd_value_of_a_column_becomes_state_and_drift(
    rule: LoadedRule, column: str, value: Any
) -> None:
    messages, parts = run(rule, [change(row={column: value}), chain(ENTRY), *MARKS])

    refused = [one for one in messages if one.topic == topics.DEAD_LETTERS]
    mismatches = told(messages, topics.MISMATCHES)
    assert len(refused) + len(mismatches) <= 1 or value == "__debezium_unavailable_value"
    assert refused or parts["left"].keys() == {b"absurd|K"}
    for one in mismatches:
        assert schemas.validate("mismatch.v1", one, strict=True) == []


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
@pytest.mark.parametrize("name", ["amount", "integer", "text", "time"])
def test_an_absurd_value_of_an_entry_becomes_state_and_drift(rule: LoadedRule, name: str, value: Any) -> None:
    entry = ENTRY | {"value": ENTRY["value"] | {name: value}}

    messages, parts = run(rule, [change(), chain(entry), *MARKS])

    refused = [one for one in messages if one.topic == topics.DEAD_LETTERS]
    assert refused or parts["right"].keys() == {b"absurd|K"}
    for one in told(messages, topics.MISMATCHES):
        assert schemas.validate("mismatch.v1", one, strict=True) == []


ABSURD: dict[str, Arrived] = {
    "ts_us 0": change(source={"ts_us": 0}),
    "ts_us far": change(source={"ts_us": (1 << 60) - 1}),
    "ts_us beyond": change(source={"ts_us": 1 << 70}),
    "ts_us negative": change(source={"ts_us": -1}),
    "ts_us text": change(source={"ts_us": "5"}),
    "ts_ms far": change(source={"ts_us": None, "ts_ms": (1 << 59) // 1000}),
    "lsn far": change(source={"lsn": (1 << 63) - 1}),
    "lsn beyond": change(source={"lsn": 1 << 63}),
    "tx beyond": change(source={"txId": 1 << 64}),
    "id far": change(row={"id": 10**30}),
    "id list": change(row={"id": [1]}),
    "id none": change(row={"id": None}),
    "key deep": change(row={"k": DEEP}),
    "key number": change(row={"k": 5}, key=b"5"),
    "key null": change(row={"k": None}, key=b"null"),
    "key empty": change(row={"k": ""}, key=b""),
    "key none": change(key=None),
    "key not utf-8": change(key=b"\xff"),
    "key of a mebibyte": change(row={"k": "k" * (1 << 20)}, key=b"k" * (1 << 20)),
    "key with bars": change(row={"k": "a|b|c"}, key=b"a|b|c"),
    "key with zero": change(row={"k": "\x00"}, key=b"\x00"),
    "old key with a lone surrogate": change(headers=[("__debezium.oldkey", b'{"k":"\\ud800"}')]),
    "old key deep": change(headers=[("__debezium.oldkey", b"[" * 100_000)]),
    "old key no utf-8": change(headers=[("__debezium.oldkey", b"\xff\xfe")]),
    "old key huge": change(headers=[("__debezium.oldkey", b'{"k":' + b"9" * 9000 + b"}")]),
    "op of a mebibyte": change(op="x" * (1 << 20)),
    "row is a list": Arrived(json.dumps({"op": "c", "source": SOURCE, "after": [1]}).encode(), 0, b"K"),
    "no row": Arrived(json.dumps({"op": "c", "source": SOURCE}).encode(), 0, b"K"),
    "before is a text": change("u", before="x"),
    "before without columns": change("u", before={"k": "K"}),
    "mark of year 1": left_mark("0001-01-01T00:00:00Z"),
    "mark of year 1 ahead of it": left_mark("0001-01-01T00:00:00+14:00"),
    "mark of year 9999": left_mark("9999-12-31T23:59:59.999999Z"),
    "mark of 1970": left_mark("1970-01-01T00:00:00Z"),
    "epoch with a lone surrogate": Arrived(
        json.dumps({
            "op": "m", "source": {"name": "db", "table": ""},
            "message": {
                "prefix": "wm:0",
                "content": b64encode(b'{"at":"2026-08-01T10:00:00Z","epoch":"\\ud800"}').decode(),
            },
        }).encode(), 0, b"wm:0",
    ),
    "epoch deep": left_mark("2026-08-01T10:00:00Z", epoch=DEEP),
    "right mark of year 1": right_mark("0001-01-01T00:00:00Z"),
    "right mark of year 9999": right_mark("9999-12-31T23:59:59Z"),
    "ledger far": chain(ENTRY | {"modified_ledger": 10**30}),
    "read before it was modified": chain(ENTRY | {"read_ledger": 1}),
    "modified after it was read": chain(ENTRY | {"modified_at": "2026-09-01T10:00:05Z"}),
    "entry deep": chain(ENTRY | {"value": {"amount": DEEP}}),
    "entry of a mebibyte": chain(ENTRY | {"value": {"amount": "9" * (1 << 20)}}),
    "event id strange": chain(ENTRY | {"exists": False, "event_id": "ﷺ-٣"}),
    "event id huge": chain(ENTRY | {"exists": False, "modified_ledger": None, "event_id": "9" * 400}),
    "gap without ledgers": chain({"kind": "gap", "cause": "retention"}),
    "chain gap of a strange cause": chain({"kind": "gap", "cause": "x" * 5000}),
    "gap backwards": chain({"kind": "gap", "cause": "retention", "from_ledger": 9, "to_ledger": 3}),
    "seeded in year 1": observed({"seeded": {"rule": "absurd", "side": "left", "at": "0001-01-01"}}),
    "gap of all time": observed(
        {"gap": {"source": None, "from": "0001-01-01", "until": "9999-12-31T23:59:59Z", "cause": "slot"}}
    ),
    "gap of a ledger far": observed({"gap": {"cause": "slot", "side": "right", "from_ledger": 10**30}}),
    "gap of a strange cause": observed({"gap": {"cause": "\x00", "side": "right"}}),
    "entry read far": observed(READ | {"side": "right", "read_ledger": 10**30}),
    "entry read in year 1": observed(READ | {"side": "right", "read_ledger": 5, "read_at": "0001-01-01"}),
    "entry read of before": observed(READ | {"side": "right", "read_ledger": 5, "position": -5}),
    "row read by a snapshot far": observed(READ | {"snapshot": "9" * 50 + ":" + "9" * 51 + ":"}),
    "row read by a snapshot backwards": observed(READ | {"snapshot": "9:5:"}),
    "row read by a snapshot of a mebibyte": observed(READ | {"snapshot": "9" * (1 << 20) + ":5:"}),
    "row read with an id far": observed(READ | {"snapshot": "5:9:7", "row": 10**30}),
    "observation deep": observed(READ | {"value": {"amount": DEEP}, "snapshot": "5:9:"}),
    "observation bytes": Arrived(b"\xff" * 100, 0, b"K", topic=topics.OBSERVATIONS),
    "observation deeper": Arrived(b'{"value":' + b'{"a":' * 50_000, 0, b"K", topic=topics.OBSERVATIONS),
    "chain bytes": Arrived(b"\xff" * 100, 0, b"K", topic=topics.CHAIN_EVENTS),
    "chain deep": Arrived(b"[" * 100_000, 0, b"K", topic=topics.CHAIN_EVENTS),
    "chain deep object": Arrived(
        b'{"kind":"event","x":' + b'{"a":' * 50_000, 0, b"K", topic=topics.CHAIN_EVENTS
    ),
    "change deep object": Arrived(b'{"op":"c","x":' + b'{"a":' * 50_000, 0, b"K"),
}  # fmt: skip


@pytest.mark.parametrize("name", ABSURD)
def test_an_absurd_record_parks_nothing_and_what_follows_is_judged(rule: LoadedRule, name: str) -> None:
    later = change("u", source={"lsn": (1 << 63) - 1}, row={"amount": "2.0000000"})

    messages, _ = run(rule, [ABSURD[name], later, chain(ENTRY), *MARKS])

    for one in told(messages, topics.MISMATCHES):
        assert schemas.validate("mismatch.v1", one, strict=True) == []
    for one in told(messages, topics.STATUS):
        assert schemas.validate("status.v1", one, strict=True) == []
    assert {one.topic for one in messages} >= {topics.STATUS}


@pytest.mark.parametrize(
    ("name", "told_why"),
    [
        ("ts_us far", "source.ts_us"),
        ("mark of year 1", "says no time"),
        ("mark of year 9999", "says no time"),
        ("right mark of year 1", "no time of a ledger"),
        ("key empty", "the key is empty"),
        ("key not utf-8", "not UTF-8"),
        ("lsn beyond", "source.lsn"),
        ("chain deep object", "recursion"),
        ("change deep object", "recursion"),
        ("ledger far", "modified_ledger"),
    ],
)
def test_a_refused_record_is_a_dead_letter_that_says_why(rule: LoadedRule, name: str, told_why: str) -> None:
    record = ABSURD[name]

    messages, _ = run(rule, [record])

    (letter,) = [one for one in messages if one.topic == topics.DEAD_LETTERS]
    assert (letter.key, letter.value) == (record.key, record.value)
    assert told_why in dict(letter.headers)["__drift.errors.message"].decode()

"""What the schemas refuse: every golden example, broken in every place in turn."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

import schemas

EXAMPLES = schemas.FOLDER / "examples"
NAMES = [
    f"{path.parent.name}/{path.stem}"
    for path in sorted(EXAMPLES.glob("*/*.json"))
    if path.parent.name not in ("rule.v1", "webhooks.v1")  # files that people write: a word too much is one
]
OPEN = {
    "change.v1": {
        "before.*", "after.*", "source.*", "transaction", "ts_ms", "ts_us", "ts_ns", "source.schema",
        "before", "after", "source.txId", "source.lsn", "source.ts_ms", "source.ts_us",
    },
    "chain-event.v1": {"value.*"},
    "status.v1": {"progress"},
    "log-line.v1": {"value", "value.*"},
}  # fmt: skip
"""Places that a schema leaves open on purpose: what is a row's, a contract's or Debezium's own. `.*`: all
below. Of a change the required ones are broken one by one further down."""

OPTIONAL = {
    "change.v1": {"before", "after", "transaction", "ts_ms", "ts_us", "ts_ns"},
    "chain-event.v1": {
        "tx_index", "op_index", "entries", "modified_ledger", "modified_at", "live_until_ledger", "problem",
        "epoch",
    },
    "chain-cursor.v1": {"epoch", "anchor", "witness"},
    "observation.v1": {"row", "position", "at", "from", "snapshot", "trace"},
    "request.v1": {"history_from"},
    "status.v1": {"key"},
    "log-line.v1": {"offset", "timestamp", "key", "value", "headers", "key_b64", "value_b64"},
}  # fmt: skip

Place = tuple[str | int, ...]


def schema_of(name: str) -> str:
    return name.partition("/")[0]


def example(name: str) -> Any:
    return json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Every place below the top, objects and lists included."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in below:
        yield (*at, step)
        yield from places(item, (*at, step))


def is_open(schema: str, place: Place) -> bool:
    path = ".".join(str(step) for step in place)
    return any(
        path == known or (known.endswith(".*") and path.startswith(known[:-1]))
        for known in OPEN.get(schema, ())
    )


def changed(value: Any, place: Place, to: object) -> Any:
    result = copy.deepcopy(value)
    holder = result
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = to
    return result


@pytest.mark.parametrize("name", NAMES)
def test_a_value_of_a_wrong_type_is_refused_wherever_it_stands(name: str) -> None:
    schema, value = schema_of(name), example(name)

    accepted = [
        place
        for place in places(value)
        if not is_open(schema, place) and not schemas.validate(schema, changed(value, place, [[1.5]]))
    ]

    assert accepted == []


@pytest.mark.parametrize("name", NAMES)
def test_every_field_is_missed_but_the_optional_ones(name: str) -> None:
    schema, value = schema_of(name), example(name)

    not_missed = {
        step
        for step in value
        if not schemas.validate(schema, {key: item for key, item in value.items() if key != step})
    }

    assert not_missed <= OPTIONAL.get(schema, set())


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_field_passes_and_is_seen_by_the_strict_look(name: str) -> None:
    schema, value = schema_of(name), example(name)
    more = value | {"added_in_v1_later": "x"}

    if schema in ("change.v1", "dead-letter.v1"):
        assert schemas.validate(schema, more, strict=True) == []
    else:
        assert schemas.validate(schema, more, strict=True) != []
    assert schemas.validate(schema, more) == []


@pytest.mark.parametrize(
    "time",
    [
        "2026-08-01T10:00:37+00:00", "2026-08-01 10:00:37Z", "2026-08-01T10:00:37.1Z", "2026-08-01T10:00:37",
        "2026-08-01T10:00:37.1234567Z", "2026-13-01T10:00:37Z", "2026-08-01T24:00:00Z", "1785578437", "",
        None,
    ],
)  # fmt: skip
def test_a_time_is_utc_with_0_3_or_6_digits(time: object) -> None:
    value = example("mismatch.v1/0-opened")

    assert schemas.validate("mismatch.v1", value | {"since": time})
    for good in ("2026-08-01T10:00:37Z", "2026-08-01T10:00:37.120Z", "2026-08-01T10:00:37.120001Z"):
        assert schemas.validate("mismatch.v1", value | {"since": good}) == []


@pytest.mark.parametrize("amount", [-500, -500.0, "-500.0", "5e2", "1,000", "NaN", "+5", ".5", "05", "-", ""])
def test_a_difference_is_decimal_text(amount: object) -> None:
    value = example("mismatch.v1/0-opened")
    value["differences"][0]["difference"] = amount

    assert schemas.validate("mismatch.v1", value)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("mismatch.v1/0-opened", {"until": "2026-08-01T10:00:37Z"}),
        ("mismatch.v1/0-opened", {"differences": []}),
        ("mismatch.v1/0-opened", {"cause": "left_moved"}),
        ("mismatch.v1/0-opened", {"transition": "closed"}),
        ("mismatch.v1/0-opened", {"severity": "warning"}),
        ("mismatch.v1/0-opened", {"rule": "Credit Line"}),
        ("mismatch.v1/0-opened", {"sequence": -1}),
        ("mismatch.v1/0-opened", {"episode": "069CD56C6A4B3959ACC7938E633A0425"}),
        ("mismatch.v1/2-resolved", {"until": None}),
        ("mismatch.v1/2-resolved", {"cause": None}),
        ("change.v1/insert", {"after": None}),
        ("change.v1/insert", {"op": "x"}),
        ("change.v1/insert", {"source": {"name": "db", "table": "t", "lsn": 1}}),
        ("change.v1/insert", {"source": {"name": "db", "table": "t", "ts_us": 1}}),
        ("change.v1/insert", {"source": {"name": "", "table": "t", "ts_us": 1, "lsn": 1}}),
        ("change.v1/insert", {"source": {"name": "db", "table": "t", "ts_us": 1, "lsn": 1 << 63}}),
        ("change.v1/delete", {"before": None}),
        ("change.v1/mark", {"message": {"content": "e30="}}),
        ("change.v1/mark", {"message": {"prefix": "wm:1", "content": "{}"}}),
        ("chain-event.v1/mark", {"ledger": -1}),
        ("chain-event.v1/mark", {"ledger": 1 << 32}),
        ("chain-event.v1/mark", {"kind": "tick"}),
        ("chain-event.v1/event", {"network": "mainnet"}),
        ("chain-event.v1/event", {"id": "1-1"}),
        ("chain-event.v1/event", {"data": {"u64": 5}}),
        ("chain-event.v1/event", {"data": {"u32": 5, "i32": 5}}),
        ("chain-event.v1/event", {"data": {"float": 1}}),
        ("chain-event.v1/event", {"topics": [{"bytes": "0xde"}]}),
        ("chain-event.v1/event", {"data": {"map": [{"key": {"symbol": "a"}}]}}),
        ("chain-event.v1/entry", {"value": None}),
        ("chain-event.v1/entry-absent", {"value": {}}),
        ("chain-event.v1/gap", {"cause": "bored"}),
        ("chain-cursor.v1/cursor", {"cursor": None}),
        ("observation.v1/sweep-row", {"scope": "elsewhere"}),
        ("observation.v1/sweep-row", {"snapshot": "1007720"}),
        ("observation.v1/sweep-row", {"value": {"creditLimit": 1500.5}}),
        ("observation.v1/sweep-row", {"origin": "guess"}),
        ("observation.v1/seed-no-entry", {"read_ledger": None, "side": "right", "position": "x"}),
        ("observation.v1/gap", {"gap": {"source": "db", "from": None, "until": None, "cause": "why"}}),
        ("observation.v1/gap", {"seeded": {"rule": "a", "side": "left", "at": "2026-08-01T10:00:00Z"}}),
        ("request.v1/confirm", {"request": "delete"}),
        ("request.v1/sweep", {"cause": ""}),
        ("status.v1/status", {"state": "fine"}),
        ("status.v1/status", {"open": {"warning": 1}}),
        ("status.v1/run", {"kind": "walk"}),
        ("status.v1/run", {"checked": -1}),
        ("status.v1/incident", {"cause": "unknown"}),
        ("status.v1/incident", {"state": "ajar"}),
        ("replay-event.v1/0-opened", {"ce_type": "drift.mismatch.closed"}),
        ("replay-event.v1/0-opened", {"value": {}}),
        ("log-line.v1/change", {"partition": -1}),
        ("log-line.v1/change", {"headers": {"a": 1}}),
        ("dead-letter.v1/headers", {"__drift.errors.offset": "first"}),
    ],
)
def test_what_contradicts_itself_is_refused(name: str, changes: dict[str, object]) -> None:
    assert schemas.validate(schema_of(name), example(name) | changes)


def test_the_fault_is_told_of_the_alternative_that_was_meant() -> None:
    value = example("chain-event.v1/mark") | {"ledger": "5"}

    assert schemas.validate("chain-event.v1", value) == ["ledger: '5' is not of type 'integer'"]

"""What the codec of `chain.events` makes of each kind of record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.detector.model import ABSENT, EntryEvent, EntryRead, Gap, Mark, Side, Unreadable, Upgraded
from app.errors import Poison
from app.rules import load_rules
from connectors.soroban.codec import ChainCodec
from schemas import topics
from tests.support.one_partition import Arrived

RULE = """
rule: {rule}
version: 1
kind: state
left: {{table: public.lines, key: wallet}}
right: {{contract: {contract}, entry: {entry}{right}}}
fields:
  limit: {{left: credit, right: limit, type: amount, right_scale: 2}}
"""
CLOSED = "2026-08-01T10:00:05Z"
AT = 1_785_578_405_000_000
TOLD_AT = 1_785_578_400_000_000
"""The record's own time."""
EVENT_ID = "0016449720448716800-0000000001"
EVENT: dict[str, Any] = {
    "kind": "event", "network": "cee0302d59844d32", "contract": "CA", "ledger": 3829999, "closed_at": CLOSED,
    "tx": "ab", "id": EVENT_ID, "topics": [], "data": {"void": None}, "key": "GA", "entries": ["line"],
}  # fmt: skip
ENTRY: dict[str, Any] = {
    "kind": "entry", "network": "cee0302d59844d32", "contract": "CA", "entry": "line", "key": "GA",
    "exists": True, "value": {"limit": "1000"}, "modified_ledger": 3829999, "modified_at": CLOSED,
    "read_ledger": 3830000, "read_at": "2026-08-01T10:00:10Z", "cause": "event", "event_id": EVENT_ID,
}  # fmt: skip
MARK: dict[str, Any] = {"kind": "mark", "network": "n", "ledger": 9, "closed_at": CLOSED, "from_ledger": 8}


def codec(folder: Path, *rules: tuple[str, str, str, str]) -> ChainCodec:
    paths = []
    for name, contract, entry, right in rules or (("one", "CA", "line", ""),):
        paths.append(folder / f"{name}.yaml")
        text = RULE.format(rule=name, contract=contract, entry=entry, right=right)
        paths[-1].write_text(text, encoding="utf-8")
    return ChainCodec(load_rules(paths, {}))


def arrived(told: object, key: bytes | None = b"GA") -> Arrived:
    return Arrived(json.dumps(told).encode(), 17, key, topic=topics.CHAIN_EVENTS, partition=3)


def without(told: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name not in names}


def test_an_event_begins_a_version(tmp_path: Path) -> None:
    found = codec(tmp_path).decode(arrived(EVENT))

    assert found == [EntryEvent("one", "GA", 3829999, AT, "ab", EVENT_ID)]


@pytest.mark.parametrize(
    ("told", "rules"),
    [
        (EVENT, ["one", "two"]),
        (EVENT | {"entries": ["line", "other"]}, ["one", "two", "three"]),
        (without(EVENT, "entries"), ["one", "two", "three"]),
        (without(EVENT, "network", "contract"), ["one", "two", "four"]),
        (EVENT | {"contract": "CB"}, ["four"]),
        (EVENT | {"network": "0000000000000000"}, ["one"]),
    ],
)
def test_an_event_concerns_the_rules_of_its_entries_contract_and_network(
    tmp_path: Path, told: dict[str, Any], rules: list[str]
) -> None:
    reader = codec(
        tmp_path,
        ("one", "CA", "line", ""),
        ("two", "CA", "line", ", network: cee0302d59844d32"),
        ("three", "CA", "other", ""),
        ("four", "CB", "line", ""),
    )

    assert [one.rule for one in reader.decode(arrived(told)) if isinstance(one, EntryEvent)] == rules


def test_an_entry_says_its_value_since_when_and_until_when(tmp_path: Path) -> None:
    found = codec(tmp_path).decode(arrived(ENTRY))

    assert found == [EntryRead("one", "GA", (1000,), 3829999, AT, 3830000, AT + 5_000_000, EVENT_ID)]


@pytest.mark.parametrize(
    ("changes", "left_out", "value", "modified", "at"),
    [
        ({"exists": False, "value": None}, (), ABSENT, 3829999, AT),
        ({"exists": False, "value": None}, ("modified_ledger", "modified_at"), ABSENT, 3829999, None),
        ({"exists": False}, ("modified_ledger", "modified_at", "event_id", "value"), ABSENT, -1, None),
        ({}, ("modified_at",), (1000,), 3829999, None),
        ({}, ("modified_ledger", "modified_at", "event_id"), (1000,), -1, None),
    ],
)
def test_what_an_entry_does_not_say(
    tmp_path: Path,
    changes: dict[str, Any],
    left_out: tuple[str, ...],
    value: object,
    modified: int,
    at: object,
) -> None:
    (found,) = codec(tmp_path).decode(arrived(without(ENTRY | changes, *left_out)))

    assert isinstance(found, EntryRead)
    assert (found.value, found.modified_ledger, found.modified_at) == (value, modified, at)


def test_the_key_of_the_record_stands_in_for_the_key(tmp_path: Path) -> None:
    for told in (EVENT, ENTRY):
        (found,) = codec(tmp_path).decode(arrived(without(told, "key"), b"GB"))
        assert isinstance(found, EntryEvent | EntryRead)
        assert found.key == "GB"


def test_a_mark_promises_its_close_and_joins_the_mark_before(tmp_path: Path) -> None:
    assert codec(tmp_path).decode(arrived(MARK)) == (Mark(Side.RIGHT, "n", AT, None, 9, 8, TOLD_AT),)
    bare = without(MARK, "network", "from_ledger")
    assert codec(tmp_path).decode(arrived(bare)) == (Mark(Side.RIGHT, None, AT, None, 9, None, TOLD_AT),)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (ENTRY | {"value": None, "problem": "no map"}, "the entry line of GA could not be decoded: no map"),
        (ENTRY | {"value": {}}, "column 'limit' is missing"),
    ],
)
def test_an_entry_that_cannot_be_read_is_told_and_is_no_dead_letter(
    tmp_path: Path, told: dict[str, Any], why: str
) -> None:
    found = codec(tmp_path).decode(arrived(told))

    (one,) = found
    assert isinstance(one, Unreadable)
    assert (one.rule, one.side) == ("one", Side.RIGHT)
    assert why in one.detail


def test_other_code_of_a_contract_is_told_to_its_rules(tmp_path: Path) -> None:
    told = EVENT | {
        "type": "system",
        "key": "CA",
        "entries": [],
        "topics": [{"symbol": "executable_update"}, {"vec": []}, {"vec": []}],
    }

    assert codec(tmp_path).decode(arrived(told)) == [Upgraded("one", AT)]
    assert codec(tmp_path).decode(arrived(told | {"topics": [{"symbol": "other"}]})) == ()


def test_a_gap_names_its_ledgers(tmp_path: Path) -> None:
    told = {"kind": "gap", "network": "n", "from_ledger": 5, "to_ledger": 7, "cause": "retention"}

    assert codec(tmp_path).decode(arrived(told)) == (Gap(Side.RIGHT, "n", None, None, "retention", 5, 7),)


@pytest.mark.parametrize(
    ("told", "key", "cause"),
    [
        (EVENT | {"contract": "CB"}, b"GA", "no_rule"),
        (EVENT | {"entries": ["other"]}, b"GA", "no_rule"),
        (EVENT | {"entries": []}, b"GA", "names_no_key"),
        (without(EVENT, "entries") | {"key": "CA"}, b"CA", "names_no_key"),
        (ENTRY | {"entry": "other"}, b"GA", "no_rule"),
        (without(ENTRY, "key"), None, "no_key"),
        (without(EVENT, "key"), b"", "no_key"),
        (EVENT | {"key": ""}, None, "no_key"),
    ],
)
def test_what_concerns_no_rule_or_key_is_counted(
    tmp_path: Path, told: dict[str, Any], key: bytes | None, cause: str
) -> None:
    reader = codec(tmp_path)

    assert list(reader.decode(arrived(told, key))) == []
    assert reader.skipped == {cause: 1}


def test_a_null_value_is_counted(tmp_path: Path) -> None:
    reader = codec(tmp_path)

    assert list(reader.decode(Arrived(None))) == []
    assert reader.skipped == {"null_value": 1}


@pytest.mark.parametrize(
    "told",
    [
        {}, [], None, 5, {"kind": "tick"}, {"kind": 5}, {"kind": "mark"}, without(EVENT, "closed_at"),
        EVENT | {"closed_at": "yesterday"}, EVENT | {"closed_at": "2026-08-01T10:00:05"},
        EVENT | {"closed_at": 5}, EVENT | {"ledger": "5"}, EVENT | {"ledger": 5.5}, EVENT | {"ledger": -1},
        EVENT | {"ledger": 1 << 32}, EVENT | {"ledger": 10**38}, EVENT | {"entries": "line"},
        EVENT | {"entries": [5]}, EVENT | {"id": None}, EVENT | {"key": 5}, without(ENTRY, "exists"),
        ENTRY | {"exists": "yes"}, ENTRY | {"value": []},
        ENTRY | {"read_at": ""}, ENTRY | {"modified_at": "0001-01-01T00:00:00Z"},
        ENTRY | {"read_ledger": 10**30}, MARK | {"closed_at": "9999-12-31T23:59:59Z"},
        MARK | {"closed_at": "1969-12-31T23:59:59Z"}, MARK | {"closed_at": "10000-01-01T00:00:00Z"},
        MARK | {"from_ledger": -5}, MARK | {"ledger": 10**20}, {"kind": "gap"},
        {"kind": "gap", "cause": "x", "from_ledger": -1},
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_poison(tmp_path: Path, told: object) -> None:
    with pytest.raises(Poison):
        codec(tmp_path).decode(arrived(told))


@pytest.mark.parametrize(
    "value",
    [
        b"", b"\xff", b"{", b'{"kind":"event"', b"[" * 200_000, b'{"kind":' * 100_000,
        b'{"kind":"entry","entry":"line","exists":true,"value":' + b'{"a":' * 50_000,
        b'{"kind":"mark","ledger":NaN,"closed_at":"2026-08-01T10:00:05Z"}',
        b'{"kind":"mark","ledger":1e400,"closed_at":"2026-08-01T10:00:05Z"}',
        b'{"kind":"mark","ledger":' + b"9" * 10_000 + b',"closed_at":"2026-08-01T10:00:05Z"}',
        b'{"kind":"event","key":"\\ud800"}',
    ],
    ids=range(11),
)  # fmt: skip
def test_what_is_no_json_is_poison_with_its_coordinates(tmp_path: Path, value: bytes) -> None:
    with pytest.raises(Poison) as raised:
        codec(tmp_path).decode(Arrived(value, 17, b"GA", topic=topics.CHAIN_EVENTS, partition=3))

    assert raised.value.subject == "chain.events[3]@17"


def test_a_key_that_is_no_utf_8_is_poison(tmp_path: Path) -> None:
    with pytest.raises(Poison):
        codec(tmp_path).decode(arrived(without(EVENT, "key"), b"\xff"))


@pytest.mark.parametrize(
    ("limit", "canonical"),
    [
        ("1000", 1000), (1000, 1000), ("-5", -5), ("NaN", "NaN"), ("1e5", "1e5"), (str(2**127), 2**127),
        (-(2**127), -(2**127)), (None, None), (True, "true"), ("", ""), ("9" * 5000, "9" * 5000),
        ({"i128": "5"}, '{"i128":"5"}'), ([], "[]"), (1.5, "1.5"), ("x" * (1 << 20), "x" * (1 << 20)),
    ],
    ids=range(15),
)  # fmt: skip
def test_any_value_of_a_field_is_a_number_or_a_text(tmp_path: Path, limit: object, canonical: object) -> None:
    (found,) = codec(tmp_path).decode(arrived(ENTRY | {"value": {"limit": limit}}))

    assert isinstance(found, EntryRead)
    assert found.value == (canonical,)


def test_unknown_fields_are_ignored(tmp_path: Path) -> None:
    for told in (EVENT, ENTRY, MARK):
        assert codec(tmp_path).decode(arrived(told | {"later": {}})) == codec(tmp_path).decode(arrived(told))


def test_a_flood_of_new_times_and_contracts_is_not_remembered_for_ever(tmp_path: Path) -> None:
    reader = codec(tmp_path)

    for number in range(17_000):
        closed_at = f"2026-08-01T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z"
        reader.decode(arrived(MARK | {"closed_at": closed_at}))
        reader.decode(arrived(EVENT | {"contract": f"C{number}"}))

    assert len(reader._micros) < 16_500
    assert len(reader._readers) < 16_500

"""What the codec of `db.changes` makes of records that a real Debezium wrote."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import schemas
from app.detector.model import ABSENT, Gap, Input, Mark, RowChange, Side
from app.errors import Poison
from app.rules import load_rules
from connectors.debezium.codec import ChangeCodec
from tests.recorded.recordings import load

ENTRY = """
rule: entry
version: 1
kind: state
left: {table: public.entry, key: business_key, primary_key: entry_id, replica_identity: full}
right: {contract: C, entry: e}
fields:
  amount:  {left: amount, right: amount, type: amount, right_scale: 18}
  status:  {left: status, right: status, type: text}
  version: {left: version, right: version, type: integer}
  created: {left: created_at, right: created, type: time}
  raw:     {left: raw, right: raw, type: bytes}
  flag:    {left: b, right: b, type: boolean}
"""
BALANCE = """
rule: balance
version: 1
kind: state
left: {table: public.balance, key: account_key}
right: {contract: C, entry: e}
fields:
  balance: {left: balance, right: balance, type: amount, right_scale: 18}
  note:    {left: note, right: note, type: text}
"""
LOT = """
rule: lot
version: 1
kind: state
left: {table: public.composite_pk, key: a, primary_key: [a, b]}
right: {contract: C, entry: e}
fields:
  v: {left: v, right: v, type: text}
"""
ONE = "debezium/00_one_of_each.json"
CREATED = 1_778_044_089_000_000


class Recorded(NamedTuple):
    """A record of a fixture as aiokafka would give it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def recorded(found: dict[str, Any], key: str | None = None) -> Recorded:
    """The record; `key` stands in for one that its connector did not extract."""
    raw, text = found.get("value_raw"), key or found["key"]
    if raw is None and found["value"] is not None:
        raw = json.dumps(found["value"])
    return Recorded(
        found["topic"],
        found["partition"],
        found["offset"],
        found["timestamp_ms"],
        None if text is None else text.encode(),
        None if raw is None else raw.encode(),
        [(name, (value or "").encode()) for name, value in found.get("headers", ())],
    )


@pytest.fixture(name="codec")
def _codec(tmp_path: Path) -> ChangeCodec:
    paths = []
    for name, text in (("entry", ENTRY), ("balance", BALANCE), ("lot", LOT)):
        paths.append(tmp_path / f"{name}.yaml")
        paths[-1].write_text(text, encoding="utf-8")
    return ChangeCodec(load_rules(paths, {}))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (
            "snapshot_read",
            RowChange(
                "entry",
                "SNAP-1",
                1,
                0,
                1_795_221_833_358_106,
                None,
                (
                    12345678901234567890_123456789012345678,
                    "SETTLED",
                    1,
                    1_767_323_045_678_901,
                    "deadbeef",
                    True,
                ),
                None,
            ),
        ),
        (
            "insert",
            RowChange(
                "entry",
                "INS-1",
                2,
                27252840,
                1_795_221_915_669_048,
                ABSENT,
                (1_500_000_000_000_000_000, "PENDING", 1, CREATED, None, None),
                799,
            ),
        ),
        (
            "update_ri_full",
            RowChange(
                "entry",
                "TOAST-FULL",
                3,
                27323216,
                1_795_221_915_726_378,
                (2 * 10**18, "PENDING", 1, 1_795_221_915_669_529, None, None),
                (3 * 10**18, "PENDING", 1, 1_795_221_915_669_529, None, None),
                801,
            ),
        ),
        (
            "delete_ri_full",
            RowChange(
                "entry",
                "INS-1",
                2,
                27457696,
                1_795_221_915_740_962,
                (-1, "SETTLED", 2, CREATED, None, None),
                ABSENT,
                806,
                "INS-1-RENAMED",
            ),
        ),
        (
            "incremental_snapshot_read",
            RowChange(
                "entry",
                "INC-1",
                9,
                0,
                1_795_222_198_648_423,
                None,
                (10**18, "PENDING", 1, 1_795_222_195_107_235, None, None),
                None,
            ),
        ),
        ("truncate", Gap(Side.LEFT, "ledger", 1_795_221_915_776_191, 1_795_221_915_776_191, "truncate")),
    ],
)
def test_one_of_each(codec: ChangeCodec, name: str, found: Input) -> None:
    assert list(codec.decode(recorded(load(ONE)[name]))) == [found]


def test_a_tombstone_is_skipped(codec: ChangeCodec) -> None:
    assert codec.decode(recorded(load(ONE)["tombstone"])) == ()
    assert codec.skipped == {"tombstone": 1}


@pytest.mark.parametrize(
    "name",
    ["update_ri_default", "update_toast_unavailable_ri_default", "key_change_create", "delete_ri_default"],
)
def test_a_key_that_was_not_extracted_is_refused_with_what_to_set(codec: ChangeCodec, name: str) -> None:
    with pytest.raises(Poison, match=r"not column 'account_key' .* rule balance needs .*ExtractField\$Key"):
        codec.decode(recorded(load(ONE)[name]))


@pytest.mark.parametrize(
    ("name", "key", "before", "after", "linked"),
    [
        ("key_change_create", "ACC-0-R", ABSENT, (101_500_000_000_000_000_000, None), "ACC-0"),
        ("delete_ri_default", "ACC-0", None, ABSENT, "ACC-0-R"),
    ],
)
def test_a_table_without_replica_identity_full(
    codec: ChangeCodec, name: str, key: str, before: object, after: object, linked: str | None
) -> None:
    (found,) = codec.decode(recorded(load(ONE)[name], key))

    assert isinstance(found, RowChange)
    assert (found.key, found.before, found.after, found.linked) == (key, before, after, linked)


@pytest.mark.parametrize("name", ["update_ri_default", "update_toast_unavailable_ri_default"])
def test_a_large_value_that_an_update_did_not_touch_is_kept(codec: ChangeCodec, name: str) -> None:
    (found,) = codec.decode(recorded(load(ONE)[name], "TOAST-DEFAULT"))

    assert isinstance(found, RowChange)
    assert (found.before, found.after, found.kept) == (None, (3_000_000_000_000_000_000, None), (1,))


def decode_all(codec: ChangeCodec, name: str) -> tuple[Counter[str], list[Input], list[Poison]]:
    inputs: list[Input] = []
    refused: list[Poison] = []
    for found in load(f"debezium/{name}.json"):
        try:
            inputs += codec.decode(recorded(found))
        except Poison as poison:
            refused.append(poison)
    return Counter(type(one).__name__ for one in inputs), inputs, refused


@pytest.mark.parametrize(
    ("name", "inputs", "skipped", "refused"),
    [
        ("01_stream_and_snapshot_envelope", {"RowChange": 11, "Gap": 1}, {"tombstone": 5}, 14),
        ("02_transaction_metadata", {}, {"transaction": 60}, 0),
        ("03_heartbeat_topic_and_table", {}, {"heartbeat": 15, "table": 15}, 0),
        ("04_logical_messages", {}, {"message": 2}, 0),
        ("05_notifications_initial_snapshot", {}, {}, 10),
        ("11_flattened", {}, {}, 6),
        ("12_outbox_event_router", {}, {}, 4),
        ("13_inband_watermarks_and_snapshot", {"RowChange": 9}, {"table": 40, "tombstone": 1}, 0),
        ("14_incremental_snapshot_source_signal", {"RowChange": 127}, {"table": 59, "tombstone": 8}, 15),
        ("15_incremental_snapshot_readonly_kafka_signal", {"RowChange": 94}, {"table": 40}, 11),
        ("16_emit_message_watermarks_in_data_topic", {"Mark": 32}, {"table": 1}, 0),
        ("17_type_modes_snapshot", {"RowChange": 9}, {}, 0),
    ],
)
def test_every_record_is_an_input_a_skip_with_its_cause_or_poison(
    codec: ChangeCodec, name: str, inputs: dict[str, int], skipped: dict[str, int], refused: int
) -> None:
    kinds, _, poisons = decode_all(codec, name)

    assert (kinds, codec.skipped, len(poisons)) == (inputs, skipped, refused)
    assert len(load(f"debezium/{name}.json")) == sum(inputs.values()) + sum(skipped.values()) + refused


def test_flattened_records_are_refused_with_what_to_take_out(codec: ChangeCodec) -> None:
    _, _, poisons = decode_all(codec, "11_flattened")

    assert all("ExtractNewRecordState" in poison.hint for poison in poisons)
    assert "ledger.flat.public.entry[3]@0" in str(poisons[0])


def test_marks_say_the_moment_before_and_rise_in_every_partition(codec: ChangeCodec) -> None:
    marks = [recorded(found) for found in load("debezium/16_emit_message_watermarks_in_data_topic.json")]
    by_partition: dict[int, list[Mark]] = {}
    for mark in marks:
        for found in codec.decode(mark):
            assert isinstance(found, Mark)
            by_partition.setdefault(mark.partition, []).append(found)

    assert sorted(by_partition) == [0, 1, 2, 3]
    assert by_partition[3][0] == Mark(Side.LEFT, "perf", 1_795_223_885_121_882, None)
    for found_marks in by_partition.values():
        watermarks = [mark.watermark for mark in found_marks]
        assert len(watermarks) == 8
        assert watermarks == sorted(set(watermarks))


def test_the_changes_of_a_row_have_rising_positions(codec: ChangeCodec) -> None:
    _, inputs, _ = decode_all(codec, "01_stream_and_snapshot_envelope")
    by_row: dict[object, list[RowChange]] = {}
    for found in inputs:
        if isinstance(found, RowChange):
            by_row.setdefault((found.rule, found.row), []).append(found)

    assert {row: [one.lsn for one in changes] for row, changes in by_row.items() if len(changes) > 1} == {
        ("entry", 2): [27252840, 27457024, 27457696, 27457696, 27459944],
        ("entry", 3): [27322848, 27323216],
    }
    keys = [change.key for change in by_row["entry", 2]]
    assert sorted(set(keys)) == ["INS-1", "INS-1-RENAMED"]


def test_before_images_join_what_was_held(codec: ChangeCodec) -> None:
    """Under REPLICA IDENTITY FULL each change of a row names the value that it replaces."""
    _, inputs, _ = decode_all(codec, "01_stream_and_snapshot_envelope")
    held: dict[object, object] = {}
    joined = 0
    for found in inputs:
        if isinstance(found, RowChange) and found.rule == "entry":
            place = (found.key, found.row)
            if found.before not in (None, ABSENT):
                assert found.before == held[place]
                joined += 1
            held[place] = found.after

    assert joined == 4


@pytest.mark.parametrize(
    ("source", "key", "amount", "created", "raw"),
    [
        ("modes1", "SNAP-1", "1.2345678901234567e+19", 1_767_323_045_678_901, "deadbeef"),
        ("modes2", "SNAP-1", "CUmw9vACMxPESZBQ3jjzTg==", 1_767_323_045_678_901, "75e69d6de79f"),
        ("modes3", "SNAP-1", "1.2345678901234567e+19", 1_767_323_045_678_901, "deadbeef"),
        ("modes1", "OLD", "0.0", -62_135_596_800_000_000, None),
        ("modes2", "OLD", "AA==", -62_135_596_800_000_000, None),
        ("modes3", "INF", None, "infinity", None),
    ],
)
def test_amounts_of_other_connector_settings_equal_no_number(
    codec: ChangeCodec, source: str, key: str, amount: object, created: object, raw: object
) -> None:
    """`decimal.handling.mode` other than string loses digits: such an amount stays a text, drift for all to
    see. (`binary.handling.mode: hex` reads as base64 where it happens to be such.)"""
    found = [recorded(one) for one in load("debezium/17_type_modes_snapshot.json")]
    (record,) = [one for one in found if one.topic.startswith(source) and one.key == key.encode()]

    (change,) = codec.decode(record)

    assert isinstance(change, RowChange)
    assert isinstance(change.after, tuple)
    assert (change.after[0], change.after[3], change.after[4]) == (amount, created, raw)


@pytest.mark.parametrize(
    "name",
    [
        "01_stream_and_snapshot_envelope",
        "04_logical_messages",
        "13_inband_watermarks_and_snapshot",
        "14_incremental_snapshot_source_signal",
        "15_incremental_snapshot_readonly_kafka_signal",
        "16_emit_message_watermarks_in_data_topic",
        "17_type_modes_snapshot",
    ],
)
def test_real_envelopes_are_what_the_schema_says(name: str) -> None:
    envelopes = [
        one["value"]
        for one in load(f"debezium/{name}.json")
        if isinstance(one["value"], dict) and "op" in one["value"]
    ]

    assert envelopes
    assert [schemas.validate("change.v1", value) for value in envelopes] == [[]] * len(envelopes)

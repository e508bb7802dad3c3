"""What the codec of `db.changes` makes of each kind of record."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from app.detector.model import ABSENT, OUT, UNKNOWN, Gap, Mark, RowChange, Side, Unreadable
from app.errors import Poison
from app.rules import load_rules
from connectors.debezium.codec import ChangeCodec

RULE = """
rule: {rule}
version: 1
kind: state
left: {{table: public.lines, key: wallet, scope: {{deleted: null}}{left}}}
right: {{contract: C, entry: e}}
fields:
  limit: {{left: credit, right: credit, type: amount, right_scale: 2}}
  status: {{left: status, right: status, type: text}}
"""
ROW: dict[str, Any] = {"id": 7, "wallet": "GA", "credit": "10.00", "status": "active", "deleted": None}
SOURCE: dict[str, Any] = {
    "name": "db",
    "schema": "public",
    "table": "lines",
    "lsn": 26712,
    "txId": 99,
    "ts_us": 1_795_221_915_669_048,
    "ts_ms": 1_795_221_915_669,
    "sequence": '["26000","26712"]',
    "snapshot": "false",
}
AT = SOURCE["ts_us"]


class Arrived(NamedTuple):
    """A record as aiokafka gives it."""

    value: bytes | None
    key: bytes | None = b"GA"
    headers: Sequence[tuple[str, bytes]] = ()
    topic: str = "db.changes"
    partition: int = 3
    offset: int = 17
    timestamp: int = 0


def codec(folder: Path, left: str = "", *more: str) -> ChangeCodec:
    paths = []
    for name, settings in (("one", left), *((f"rule-{index}", text) for index, text in enumerate(more))):
        paths.append(folder / f"{name}.yaml")
        paths[-1].write_text(RULE.format(rule=name, left=settings), encoding="utf-8")
    return ChangeCodec(load_rules(paths, {}))


def envelope(op: str, before: object, after: object, **source: object) -> bytes:
    told = {"op": op, "before": before, "after": after, "source": SOURCE | source, "transaction": None}
    return json.dumps(told).encode()


def mark(content: bytes, prefix: str = "wm:0") -> Arrived:
    told = {
        "op": "m",
        "source": SOURCE | {"table": "", "schema": ""},
        "message": {"prefix": prefix, "content": base64.b64encode(content).decode()},
    }
    return Arrived(json.dumps(told).encode(), prefix.encode())


def test_an_insert_replaces_nothing(tmp_path: Path) -> None:
    found = codec(tmp_path).decode(Arrived(envelope("c", None, ROW)))

    assert found == [RowChange("one", "GA", 7, 26712, AT, ABSENT, (1000, "active"), 99, None)]


def test_an_update_with_a_before_image_says_what_it_replaced(tmp_path: Path) -> None:
    found = codec(tmp_path).decode(Arrived(envelope("u", ROW, ROW | {"credit": "11.00"})))

    assert found == [RowChange("one", "GA", 7, 26712, AT, (1000, "active"), (1100, "active"), 99, None)]


def test_an_update_without_a_before_image_does_not(tmp_path: Path) -> None:
    (found,) = codec(tmp_path).decode(Arrived(envelope("u", None, ROW)))

    assert isinstance(found, RowChange)
    assert found.before is None


def test_a_before_image_without_a_needed_column_is_not_known(tmp_path: Path) -> None:
    (found,) = codec(tmp_path).decode(Arrived(envelope("u", {"id": 7}, ROW)))

    assert isinstance(found, RowChange)
    assert (found.before, found.after) == (None, (1000, "active"))


@pytest.mark.parametrize(("left", "before"), [("", None), (", replica_identity: full", (1000, "active"))])
def test_the_image_of_a_delete_is_trusted_only_where_the_rule_says_so(
    tmp_path: Path, left: str, before: object
) -> None:
    found = codec(tmp_path, left).decode(Arrived(envelope("d", ROW, None)))

    assert found == [RowChange("one", "GA", 7, 26712, AT, before, ABSENT, 99, None)]


def test_a_row_out_of_scope_says_so(tmp_path: Path) -> None:
    (found,) = codec(tmp_path).decode(Arrived(envelope("u", ROW, ROW | {"deleted": "2026-01-01T00:00:00Z"})))

    assert isinstance(found, RowChange)
    assert found.after == OUT


def test_a_snapshot_read_has_the_least_position(tmp_path: Path) -> None:
    found = codec(tmp_path).decode(
        Arrived(envelope("r", None, ROW, lsn=None, txId=None, snapshot="incremental"))
    )

    assert found == [RowChange("one", "GA", 7, 0, AT, None, (1000, "active"), None, None)]


def test_milliseconds_serve_where_there_are_no_microseconds(tmp_path: Path) -> None:
    (found,) = codec(tmp_path).decode(Arrived(envelope("c", None, ROW, ts_us=None)))

    assert isinstance(found, RowChange)
    assert found.at == SOURCE["ts_ms"] * 1000


def test_two_rules_over_a_table_each_get_their_observation(tmp_path: Path) -> None:
    found = codec(tmp_path, "", ", out_of_scope: absent").decode(Arrived(envelope("c", None, ROW)))

    assert [one.rule for one in found if isinstance(one, RowChange)] == ["one", "rule-0"]


def test_a_rule_of_another_source_gets_nothing(tmp_path: Path) -> None:
    reader = codec(tmp_path, ", source: elsewhere")

    assert reader.decode(Arrived(envelope("c", None, ROW))) == ()
    assert reader.skipped == {"source": 1}


def test_an_envelope_without_a_schema_is_matched_by_its_table(tmp_path: Path) -> None:
    assert len(codec(tmp_path).decode(Arrived(envelope("c", None, ROW, schema=None)))) == 1


@pytest.mark.parametrize(
    ("record", "cause"),
    [
        (Arrived(None), "tombstone"),
        (Arrived(envelope("c", None, ROW, table="others")), "table"),
        (Arrived(envelope("c", None, ROW, schema="private")), "table"),
        (mark(b"anything", "other"), "message"),
    ],
)
def test_what_concerns_no_rule_is_counted(tmp_path: Path, record: Arrived, cause: str) -> None:
    reader = codec(tmp_path)

    assert reader.decode(record) == ()
    assert reader.skipped == {cause: 1}


@pytest.mark.parametrize("form", ["__debezium_unavailable_value", ["__debezium_unavailable_value"]])
def test_a_value_that_was_not_sent_keeps_what_is_held(tmp_path: Path, form: object) -> None:
    (found,) = codec(tmp_path).decode(Arrived(envelope("u", None, ROW | {"status": form})))

    assert isinstance(found, RowChange)
    assert (found.after, found.kept) == ((1000, None), (1,))


def test_a_row_whose_scope_was_not_sent_is_unknown(tmp_path: Path) -> None:
    (found,) = codec(tmp_path).decode(
        Arrived(envelope("u", None, ROW | {"deleted": "__debezium_unavailable_value"}))
    )

    assert isinstance(found, RowChange)
    assert (found.after, found.kept) == (UNKNOWN, ())


def test_a_row_without_a_column_of_the_rule_tells_that_the_table_has_another_form(tmp_path: Path) -> None:
    row = {name: value for name, value in ROW.items() if name != "credit"}

    told, change = codec(tmp_path).decode(Arrived(envelope("u", row, row)))

    assert isinstance(told, Unreadable)
    assert (told.rule, told.side, told.at) == ("one", Side.LEFT, AT)
    assert "public.lines: column 'credit' is missing" in told.detail
    assert isinstance(change, RowChange)
    assert (change.key, change.row, change.lsn, change.before, change.after) == (
        "GA",
        7,
        26712,
        None,
        UNKNOWN,
    )


@pytest.mark.parametrize("column", ["wallet", "id"])
def test_a_row_without_its_key_tells_only_that_the_table_has_another_form(
    tmp_path: Path, column: str
) -> None:
    row = {name: value for name, value in ROW.items() if name != column}

    told, *more = codec(tmp_path, ", primary_key: id").decode(Arrived(envelope("c", None, row)))

    assert isinstance(told, Unreadable)
    assert more == []


def test_a_value_that_was_not_sent_and_is_not_needed_changes_nothing(tmp_path: Path) -> None:
    row = ROW | {"note": "__debezium_unavailable_value"}

    (found,) = codec(tmp_path).decode(Arrived(envelope("u", None, row)))

    assert isinstance(found, RowChange)
    assert found.after == (1000, "active")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("__debezium.oldkey", '{"wallet":"GB"}'),
        ("__debezium.newkey", '{"wallet":"GB","other":1}'),
        ("__debezium.newkey", '{"schema":{},"payload":{"wallet":"GB"}}'),
        ("__debezium.newkey", "Struct{other=1,wallet=GB}"),
        ("__debezium.newkey", '"GB"'),
        ("__debezium.newkey", "GB"),
    ],
)
def test_a_row_that_changed_its_key_names_the_other_one(tmp_path: Path, name: str, text: str) -> None:
    record = Arrived(envelope("c", None, ROW), headers=[("other", b"x"), (name, text.encode())])

    (found,) = codec(tmp_path).decode(record)

    assert isinstance(found, RowChange)
    assert found.linked == "GB"


def test_a_mark_promises_up_to_the_microsecond_before(tmp_path: Path) -> None:
    content = b'{"at":"2026-11-21T01:18:05.121883+00:00","lsn":"0/36AFBC90","epoch":"731/1/2"}'

    found = codec(tmp_path).decode(mark(content))

    assert found == (Mark(Side.LEFT, "db", 1_795_223_885_121_882, "731/1/2"),)


def test_a_mark_may_have_no_epoch_and_another_zone(tmp_path: Path) -> None:
    found = codec(tmp_path).decode(mark(b'{"at":"2026-11-21T02:18:05.12+01:00"}'))

    assert found == (Mark(Side.LEFT, "db", 1_795_223_885_119_999, None),)


def test_a_truncation_is_a_gap_of_its_source(tmp_path: Path) -> None:
    found = codec(tmp_path).decode(Arrived(envelope("t", None, None), key=None))

    assert found == (Gap(Side.LEFT, "db", AT, AT, "truncate"),)


@pytest.mark.parametrize(
    ("record", "cause"),
    [
        (Arrived(envelope("c", None, ROW), key=b"GB"), "the key is not column 'wallet' of public.lines"),
        (Arrived(envelope("c", None, ROW), key=b"Struct{wallet=GA}"), r"ExtractField\$Key"),
        (Arrived(envelope("d", ROW, None), key=b""), "the key is empty"),
        (Arrived(envelope("c", None, ROW), key=None), "the key is empty"),
        (Arrived(envelope("c", None, ROW), key=b"\xff"), "the key is not UTF-8"),
        (Arrived(envelope("c", None, None)), "operation c without a row"),
        (Arrived(envelope("d", None, None)), "operation d without a row"),
        (Arrived(envelope("c", None, ROW, lsn=None)), "without source.lsn"),
        (Arrived(envelope("c", None, ROW, lsn=-1)), "no Debezium envelope"),
        (Arrived(envelope("c", None, ROW, ts_us=None, ts_ms=None)), "no source.ts_us"),
        (Arrived(envelope("c", None, ROW, ts_us=10**38)), "no Debezium envelope"),
        (Arrived(envelope("x", None, ROW)), "operation 'x' is not known"),
        (Arrived(b""), "no Debezium envelope"),
        (Arrived(b"\xff\xfe"), "no Debezium envelope"),
        (Arrived(b'{"op":"c"'), "no Debezium envelope"),
        (Arrived(b'{"op":"c","source":{"name":"db","table":"lines","lsn":NaN}}'), "no Debezium envelope"),
        (Arrived(b"[" * 100_000), "no Debezium envelope"),
        (Arrived(b'{"op":"m","source":{"name":"db","table":""}}'), "without a message"),
        (mark(b"no json"), "no base64 of JSON"),
        (mark(b"[]"), "says no time"),
        (mark(b'{"at":5}'), "says no time"),
        (mark(b'{"at":"yesterday"}'), "says no time"),
    ],
)
def test_what_cannot_be_understood_is_poison_with_its_coordinates(
    tmp_path: Path, record: Arrived, cause: str
) -> None:
    with pytest.raises(Poison, match=cause):
        codec(tmp_path).decode(record)


def test_a_value_of_a_mebibyte_is_read(tmp_path: Path) -> None:
    big = "x" * (1 << 20)

    (found,) = codec(tmp_path).decode(
        Arrived(envelope("c", None, ROW | {"status": big, "credit": "9" * 100_000}))
    )

    assert isinstance(found, RowChange)
    assert found.after == ("9" * 100_000, big)

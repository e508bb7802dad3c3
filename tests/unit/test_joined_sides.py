"""A rule with two tables, wherever rows come from: the change stream, seeds and sweeps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from app.detector.model import ABSENT, DUPLICATE, OUT, EntryAsOf, RowAsOf, RowChange, Snapshot, Value
from app.readings import EntryPage
from app.rules import LoadedRule, load_rules
from app.settings import RULES_FOLDER
from app.sweep.compare import Compared, CompareOptions, Comparer
from app.sweep.metrics import SweepMetrics
from app.sweep.sides import pair_up
from app.sweep.sweep import Sweeper, SweepOptions, SweepSources
from app.sweep.sweep_run import SweepRun
from connectors.debezium.capture import captured_tables
from connectors.debezium.codec import ChangeCodec
from connectors.debezium.configuration import Capture, connector_config
from connectors.kafka.observations import ObservationCodec, encode_read
from tests.support.one_partition import Arrived
from tests.support.sweeping import HandClock, Memory

[RULE] = load_rules([RULES_FOLDER / "escrow.yaml"], {})
SEEN = Snapshot(7, 9, frozenset({8}))


def change(table: str, op: str, before: object, after: object, key: str = "INV_1") -> Sequence[Any]:
    source = {"name": "db", "schema": "public", "table": table, "lsn": 5, "ts_us": 1_000, "txId": 3}
    value = json.dumps({"op": op, "source": source, "before": before, "after": after}).encode()
    return ChangeCodec([RULE]).decode(Arrived(value, key=key.encode()))


INVOICE = {"id": "INV_1", "status": "funded", "deleted_at": None}
SUMMARY = {"invoice_id": "INV_1", "total_funded": "12.5000000"}


def test_a_change_of_each_table_is_one_of_its_own_row() -> None:
    (own,) = change("invoices", "c", None, INVOICE)
    assert own == RowChange("escrow-funded", "INV_1", "row:INV_1", 5, 1_000, ABSENT, ("INV_1", 0), 3)
    (joined,) = change("escrow_summaries", "u", SUMMARY | {"total_funded": "1"}, SUMMARY)
    assert (joined.row, joined.before, joined.after) == (
        "join:INV_1",
        (None, 10_000_000),
        (None, 125_000_000),
    )
    (gone,) = change("escrow_summaries", "d", SUMMARY, None)
    assert (gone.row, gone.before, gone.after) == ("join:INV_1", None, ABSENT)


def test_a_mapping_s_rows_are_no_rows_of_the_rule() -> None:
    assert change("escrow_contracts", "c", None, {"invoice_id": "INV_1", "contract_id": "C"}) == ()


def test_the_connector_streams_all_tables_each_by_its_key() -> None:
    tables = captured_tables([RULE], "db")
    capture = Capture(
        dsn="postgresql://u@h/d",
        source="db",
        slot="s",
        publication="p",
        topic="db.changes",
        partitions=2,
        replication_factor=1,
        heartbeat_ms=1000,
        tables=tables,
        primary_keys={"public.invoices": ["id"], "public.escrow_summaries": ["invoice_id"]},
        generation="0",
    )
    config = connector_config(capture)
    assert config["message.key.columns"] == (
        r"public\.escrow_contracts:invoice_id;public\.escrow_summaries:invoice_id;public\.invoices:id"
    )
    fields = {name: value for name, value in config.items() if name.endswith(".field")}
    assert sorted(fields.values()) == ["id", "invoice_id", "prefix"]
    assert r"public\.invoices\.(id|status|deleted_at)" in config["column.include.list"]


def test_reads_of_both_tables_pass_the_wire_unchanged() -> None:
    reads = [
        RowAsOf("escrow-funded", "INV_1", "row:INV_1", ("INV_1", 0), SEEN, 5_000_000),
        RowAsOf("escrow-funded", "INV_1", "join:INV_1", (None, 125), SEEN, 5_000_000),
        RowAsOf("escrow-funded", "INV_1", None, ABSENT, SEEN, 5_000_000, ("row:INV_1", "join:INV_1")),
    ]
    codec = ObservationCodec([RULE])
    for read in reads:
        body = encode_read(RULE.rule, read, "run", "sweep")
        assert codec.decode(Arrived(body, key=b"INV_1")) == (read,)


@pytest.mark.parametrize(
    ("rows", "left"),
    [
        ({"row:a": ("a", 0), "join:a": (None, 7)}, ("a", 7)),
        ({"row:a": ("a", 0)}, ("a", 0)),
        ({"row:a": OUT, "join:a": (None, 7)}, OUT),
        ({"join:a": (None, 7)}, ABSENT),
        ({"row:a": ("a", 0), "join:a": (None, 7), "join:b": (None, 7)}, DUPLICATE),
        ({"row:a": ("a", 0), "row:b": ("a", 0), "join:a": (None, 7)}, DUPLICATE),
    ],
)
def test_reads_of_both_tables_are_one_value(rows: dict[str, Value], left: Value) -> None:
    reads = [RowAsOf("r", "a", row, value, SEEN, 1) for row, value in rows.items()]
    reads.append(RowAsOf("r", "a", None, ABSENT, SEEN, 1, tuple(rows)))
    (pair,) = pair_up(reads, [EntryAsOf("r", "a", ("a", 7), 1, None, 2, 3)], RULE.rule.joined)
    assert pair.left == left


class Refusing(Memory):
    """Keys with a hyphen can have no entry."""

    async def read(self, loaded: LoadedRule, keys: Sequence[str], at_least: int) -> EntryPage:
        page = await super().read(loaded, keys, at_least)
        return EntryPage(
            page.read_at, page.read_ledger, page.entries, {key: "why" for key in keys if "-" in key}
        )


def place() -> Refusing:
    rows: list[tuple[str, Value]] = [("a", ("a", 1)), ("b-1", ("b-1", 2)), ("c-1", OUT), ("d", ("d", 4))]
    return Refusing(HandClock(), rows=rows, entries={"a": ("a", 1), "d": ("d", 5)})


async def test_a_sweep_counts_a_key_that_can_have_no_entry_as_an_error_and_goes_on() -> None:
    memory, run = place(), SweepRun.asked("escrow-funded", "test", 0)
    sweeper = Sweeper(
        SweepSources(memory, memory, memory, memory, memory),
        memory.clock,
        SweepOptions(),
        SweepMetrics(memory.clock),
    )
    gate = asyncio.Event()
    gate.set()
    await sweeper.sweep(RULE, run, gate)
    record = run.record()
    assert (record["checked"], record["in_sync"], record["in_flight"], record["errors"]) == (4, 2, 1, 1)


async def test_a_comparison_names_the_keys_that_can_have_no_entry() -> None:
    memory = place()
    found: Compared = await Comparer(memory, memory, memory.clock, CompareOptions()).compare(
        RULE, lambda text: None
    )
    assert found.refused == {"b-1": "why"}
    assert [each.key for each in found.differences] == ["d"]
    assert (found.checked, found.in_sync) == (3, 2)

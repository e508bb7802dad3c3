"""The recorder's order of steps: logged, stored, acknowledged; and what happens where one fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.desk.recorder import Recorder, RecorderOptions, RecorderParts
from app.desk.recorder_metrics import RecorderMetrics
from app.desk.recorder_telling import KnownRules, Teller
from app.recording import Place, Position
from tests.support.recording import EPISODE, MemoryFeed, MemoryStore, buried_run, opened, run_record, story
from tests.support.shelf import RestlessClock

MISMATCHES = Place("drift.mismatches", 0)


class Killed(BaseException):
    """As kill -9: nothing is tidied up."""


class Bench:
    """A recorder over memory, and what it said."""

    def __init__(self, rules: KnownRules | None = None) -> None:
        self.feed, self.store = MemoryFeed(), MemoryStore()
        self.rules = rules or KnownRules()
        self.logs: list[Any] = []

    async def run(self) -> None:
        """A new process that runs until it has nothing to do."""
        clock, stop = RestlessClock(), asyncio.Event()
        self.metrics = RecorderMetrics(clock, self.rules.checks)
        self.feed.forget()
        self.feed.on_empty = stop.set
        parts = RecorderParts(self.feed, self.store, Teller(self.rules, self.metrics), self.metrics, clock)
        self.recorder = Recorder(parts, RecorderOptions())
        with capture_logs() as logs:
            try:
                await asyncio.wait_for(self.recorder.run(stop), 5)
            finally:
                self.logs += logs

    def warned(self) -> list[Any]:
        """The warnings of mismatches."""
        return [line for line in self.logs if line.get("event_name") == "mismatch"]

    def series(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture(name="bench")
def _bench() -> Bench:
    return Bench()


async def test_what_came_is_stored_and_then_committed(bench: Bench) -> None:
    bench.feed.put(*story())
    stored_first: list[int] = []
    bench.feed.on_commit = lambda: stored_first.append(len(bench.store.rows))
    await bench.run()
    assert set(bench.store.rows) == {f"{EPISODE}-{sequence}" for sequence in range(5)}
    assert bench.feed.offsets[MISMATCHES] == 5
    assert bench.store.positions[MISMATCHES] == Position(5, 5)
    assert stored_first[-1] == 5
    assert bench.recorder.why_not_ready is None


async def test_each_opening_is_one_warning_with_the_fields_of_the_contract(bench: Bench) -> None:
    bench.feed.put(*story())
    await bench.run()
    first, second = bench.warned()
    assert (first["transition"], second["transition"]) == ("opened", "reopened")
    wanted = {"service": "reconciliation", "severity": "critical", "rule": "credit-line"}
    assert wanted.items() <= first.items()
    assert first["log_level"] == "warning"
    assert first["key"].startswith("GAB2")
    assert "invoiceId" not in first


async def test_of_an_escrow_rule_both_amounts_are_named() -> None:
    bench = Bench(KnownRules({}, {"credit-line": "creditLimit"}))
    bench.feed.put(opened("invoice-7"))
    await bench.run()
    [line] = bench.warned()
    assert (line["invoiceId"], line["dbFundedTotal"], line["onChainAmount"]) == ("invoice-7", "1000", "1500")
    assert bench.series("escrow_reconciliation_mismatches_total") == 1


async def test_an_invoice_without_a_contract_has_no_amounts() -> None:
    bench = Bench(KnownRules({}, {"credit-line": "creditLimit"}))
    existence = {"field": "existence", "left": "present", "right": "absent", "severity": "critical"}
    bench.feed.put(opened("invoice-7", differences=[existence]))
    await bench.run()
    [line] = bench.warned()
    assert (line["invoiceId"], line["dbFundedTotal"], line["onChainAmount"]) == ("invoice-7", None, None)


async def test_a_mismatch_is_logged_and_counted_while_the_database_is_away_and_once(bench: Bench) -> None:
    bench.feed.put(opened("one"))
    bench.store.away = 9
    seen: list[tuple[int, float | None, str | None]] = []
    bench.store.on_record = lambda: seen.append(
        (
            bench.store.away,
            bench.series("driftwatch_recorder_mismatches_total", rule="credit-line", severity="critical"),
            bench.recorder.why_not_ready,
        )
    )
    await bench.run()
    assert "episode-of-one-0" in bench.store.rows
    assert len(bench.warned()) == 1
    assert seen[0][1] == 1
    assert "it is away" in (seen[0][2] or "")
    assert bench.recorder.why_not_ready is None


async def test_nothing_is_committed_that_was_not_stored(bench: Bench) -> None:
    bench.feed.put(opened("one"))
    bench.store.away = 10_000_000
    stop = asyncio.Event()
    clock = RestlessClock()
    metrics = RecorderMetrics(clock, {})
    parts = RecorderParts(bench.feed, bench.store, Teller(KnownRules(), metrics), metrics, clock)
    running = asyncio.create_task(Recorder(parts, RecorderOptions()).run(stop))
    while not clock.slept:
        await asyncio.wait([running], timeout=0.001)
    stop.set()
    await asyncio.wait_for(running, 5)
    assert bench.feed.offsets == {}
    assert bench.store.rows == {}


async def test_killed_between_store_and_commit_it_repeats_without_effect(bench: Bench) -> None:
    bench.feed.put(opened("one"), opened("two", 1))
    commits = 0

    def die() -> None:
        nonlocal commits
        commits += 1
        if commits == 2:  # the first one marks the beginning
            raise Killed

    bench.feed.on_commit = die
    with pytest.raises(Killed):
        await bench.run()
    assert bench.feed.offsets[MISMATCHES] == 0
    rows = dict(bench.store.rows)
    bench.feed.on_commit = lambda: None
    bench.feed.put(opened("three", 2))
    await bench.run()
    assert rows.items() <= bench.store.rows.items()
    assert len(bench.store.rows) == 3
    assert [line["key"] for line in bench.warned()] == ["one", "two", "three"]


async def test_it_reads_on_from_the_earlier_of_both_positions(bench: Bench) -> None:
    """A database that was restored from a backup knows less than Kafka."""
    bench.feed.put(opened("one"), opened("two", 1))
    await bench.run()
    bench.store.rows.clear()
    bench.store.positions[MISMATCHES] = Position(0, 2)
    await bench.run()
    assert len(bench.store.rows) == 2
    assert len(bench.warned()) == 2


async def test_a_topic_that_was_made_anew_is_read_from_its_beginning(bench: Bench) -> None:
    bench.feed.put(opened("one"), opened("two", 1))
    await bench.run()
    bench.feed.records.clear()
    bench.feed.offsets.clear()
    bench.feed.put(opened("three"))
    await bench.run()
    assert "episode-of-three-0" in bench.store.rows
    assert [line["key"] for line in bench.warned()] == ["one", "two", "three"]


async def test_after_a_rebuild_by_another_everything_is_read_again_and_nothing_logged_again(
    bench: Bench,
) -> None:
    bench.feed.put(opened("one"), opened("two", 1))
    await bench.run()
    turn = 0

    def rebuild_once() -> None:
        nonlocal turn
        turn += 1
        if turn == 1:
            bench.store.rows.clear()
            bench.store.positions = {MISMATCHES: Position(0, 2)}
            bench.store.generation += 1

    bench.store.on_record = rebuild_once
    bench.feed.put(opened("three", 2))
    await bench.run()
    assert len(bench.store.rows) == 3
    assert [line["key"] for line in bench.warned()] == ["one", "two", "three"]


async def test_before_its_first_record_it_stores_what_is_open_and_older_than_the_topic(bench: Bench) -> None:
    bench.feed.open = [opened("old")]
    bench.feed.put(opened("new"))
    await bench.run()
    assert {"episode-of-old-0", "episode-of-new-0"} == set(bench.store.rows)
    assert [line["key"] for line in bench.warned()] == ["new"]


async def test_what_nobody_can_read_is_a_dead_letter_and_the_rest_goes_on(bench: Bench) -> None:
    bench.feed.put(replace(opened("one"), headers=[]), opened("two", 1))
    await bench.run()
    letters = [row for row in bench.store.rows.values() if row.get("kind") == "record"]
    assert [row["reference"] for row in letters] == ["drift.mismatches[0]@0"]
    assert "episode-of-two-0" in bench.store.rows
    assert bench.feed.offsets[MISMATCHES] == 2
    assert bench.series("driftwatch_recorder_refused_total") == 1


async def test_what_no_table_takes_is_a_dead_letter_and_the_rest_goes_on(bench: Bench) -> None:
    bench.store.refused = frozenset({"episode-of-3-0"})
    bench.feed.put(*(opened(str(place), place) for place in range(7)))
    await bench.run()
    letters = [row["reference"] for row in bench.store.rows.values() if row.get("kind") == "record"]
    assert letters == ["drift.mismatches[0]@3"]
    assert len(bench.store.rows) == 7
    assert bench.feed.offsets[MISMATCHES] == 7


async def test_a_run_that_was_given_up_is_a_warning_once(bench: Bench) -> None:
    bench.feed.put(buried_run("r"))
    await bench.run()
    await bench.run()
    [line] = [line for line in bench.logs if line.get("event_name") == "run_given_up"]
    assert (line["service"], line["rule"], line["run"], line["attempts"]) == (
        "reconciliation",
        "credit-line",
        "r",
        3,
    )


async def test_runs_are_recorded_beside_mismatches(bench: Bench) -> None:
    bench.feed.put(run_record("r"), opened("one"))
    await bench.run()
    assert set(bench.store.rows) == {"credit-line|r", "episode-of-one-0"}
    assert bench.series("driftwatch_recorder_records_total", kind="runs") == 1

"""What the store counts, under the names that people know; and the books beside the recorder."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from app.desk.recorder_counts import BOUNDS_S, Counted
from app.desk.recorder_metrics import RecorderMetrics
from app.desk.runs import Books, BooksOptions, BooksParts
from app.recording import Number, Place, Position
from tests.support.recording import RULE, MemoryFeed, MemoryStore, opened, run_record
from tests.support.shelf import RestlessClock

CHECKS = {RULE: ("existence", "creditLimit")}
MISMATCHES, STATUS = Place("drift.mismatches", 0), Place("drift.status", 0)


def counted(*numbers: Number) -> CollectorRegistry:
    registry, found = CollectorRegistry(), Counted(CHECKS)
    registry.register(found)
    found.show(numbers)
    return registry


def test_series_of_known_rules_begin_at_zero() -> None:
    registry = counted()
    for name, labels in (
        ("reconciliation_runs_total", {"rule": RULE, "status": "failed"}),
        ("reconciliation_checks_total", {"rule": RULE, "check_type": "existence"}),
        ("reconciliation_checks_passed_total", {"rule": RULE, "check_type": "existence"}),
        ("reconciliation_checks_failed_total", {"rule": RULE, "check_type": "creditLimit"}),
        ("reconciliation_exceptions_unresolved", {"rule": RULE, "severity": "critical"}),
        ("reconciliation_discrepancy_amount", {"rule": RULE, "check_type": "creditLimit"}),
        ("driftwatch_desk_persistent_critical", {"rule": RULE}),
        ("driftwatch_desk_dead_letters", {"kind": "run"}),
    ):
        assert registry.get_sample_value(name, labels) == 0.0, name


def test_checks_are_counted_by_verdict_and_in_all() -> None:
    registry = counted(
        Number("checks", RULE, "existence", "passed", 5),
        Number("checks", RULE, "existence", "failed", 2),
        Number("checks", RULE, "existence", "unverified", 1),
    )
    labels = {"rule": RULE, "check_type": "existence"}
    assert registry.get_sample_value("reconciliation_checks_total", labels) == 8
    assert registry.get_sample_value("reconciliation_checks_passed_total", labels) == 5
    assert registry.get_sample_value("reconciliation_checks_failed_total", labels) == 2


def test_durations_are_a_histogram() -> None:
    within_ten = len([bound for bound in BOUNDS_S if bound >= 10])
    registry = counted(
        Number("duration", RULE, str(within_ten), "", 3),
        Number("duration", RULE, "0", "", 1),
        Number("seconds", RULE, "", "", 9000.5),
    )
    name = "reconciliation_run_duration_seconds"
    bucket = f"{name}_bucket"
    assert registry.get_sample_value(bucket, {"rule": RULE, "le": "5.0"}) == 0
    assert registry.get_sample_value(bucket, {"rule": RULE, "le": "10.0"}) == 3
    assert registry.get_sample_value(bucket, {"rule": RULE, "le": "3600.0"}) == 3
    assert registry.get_sample_value(bucket, {"rule": RULE, "le": "+Inf"}) == 4
    assert registry.get_sample_value(f"{name}_count", {"rule": RULE}) == 4
    assert registry.get_sample_value(f"{name}_sum", {"rule": RULE}) == 9000.5


def books_over(feed: MemoryFeed, store: MemoryStore) -> tuple[Books, RecorderMetrics]:
    clock = RestlessClock()
    metrics = RecorderMetrics(clock, CHECKS)
    options = BooksOptions("drift.mismatches", "drift.status", CHECKS)
    return Books(BooksParts(feed, store, metrics, clock), options), metrics


async def test_a_run_is_settled_once_every_mismatch_before_it_is_recorded() -> None:
    feed, store = MemoryFeed(), MemoryStore(over=[(RULE, "r")])
    feed.put(run_record("r"), opened("one"), opened("two", 1))
    books, metrics = books_over(feed, store)
    store.positions[MISMATCHES] = Position(1, 1)
    await books.look()
    assert store.over == [(RULE, "r")]
    lag = {"topic": "drift.mismatches", "partition": "0"}
    assert metrics.registry.get_sample_value("driftwatch_recorder_lag_records", lag) == 1
    store.positions[MISMATCHES] = Position(2, 2)
    await books.look()
    assert store.over == []
    assert metrics.registry.get_sample_value("driftwatch_recorder_lag_records", lag) == 0


async def test_one_recorder_shows_what_the_store_counts_and_no_other() -> None:
    store = MemoryStore(numbers=[Number("open", RULE, "critical", "", 2)])
    first, other = MemoryFeed(), MemoryFeed()
    first.put(run_record("r"))
    other.put(opened("one"))
    shown = []
    for feed in (first, other):
        books, metrics = books_over(feed, store)
        await books.look()
        shown.append(b"reconciliation_exceptions_unresolved{" in generate_latest(metrics.registry))
    assert shown == [True, False]


async def test_the_recorder_that_keeps_the_books_deletes_what_is_old() -> None:
    feed, store, clock = MemoryFeed(), MemoryStore(old={"episodes": 5}), RestlessClock()
    feed.put(run_record("r"))
    metrics = RecorderMetrics(clock, CHECKS)
    options = BooksOptions("drift.mismatches", "drift.status", CHECKS, retain_us=1)
    await Books(BooksParts(feed, store, metrics, clock), options).look()
    assert store.old == {"episodes": 0}


async def test_books_that_cannot_be_kept_say_so_until_they_can() -> None:
    feed, store = MemoryFeed(), MemoryStore(away=1)
    feed.put(run_record("r"))
    books, metrics = books_over(feed, store)
    await books.look()
    assert "it is away" in (books.trouble or "")
    assert metrics.registry.get_sample_value("driftwatch_recorder_database_up") == 0
    await books.look()
    assert books.trouble is None
    assert metrics.registry.get_sample_value("driftwatch_recorder_database_up") == 1

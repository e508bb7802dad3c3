"""The order of a sweep, what its record counts, and where it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.detector.model import ABSENT, OUT, UNKNOWN, EntryAsOf, Exemption, RowAsOf, Rule, Seeded, Value
from app.errors import Transient
from app.rules import LoadedRule, load_rules
from app.settings import RULES_FOLDER
from app.sweep.metrics import SweepMetrics
from app.sweep.sweep import Sweeper, SweepOptions, SweepSources
from app.sweep.sweep_run import State, SweepRun, read_run
from tests.support.sweeping import AT, HandClock, Memory

PARTS = ("in_sync", "drifting", "in_flight", "exempt", "unverifiable", "repaired", "errors")


@pytest.fixture(scope="module")
def rule() -> LoadedRule:
    return load_rules((Path(RULES_FOLDER) / "credit.yaml",), {"CREDIT_CONTRACT_ID": "C"})[0]


def value(limit: int) -> Value:
    return ("G", limit, "active", limit, 500)


@pytest.fixture
def place() -> Memory:
    return Memory(
        HandClock(),
        rows=[("a", value(1)), ("b", value(2)), ("c", value(3)), ("d", OUT), ("e", UNKNOWN)],
        entries={"a": value(1), "b": value(9), "e": value(1), "z": value(5)},
        listed=("a", "b", "e", "z"),
    )


def sweeper(place: Memory, **options: Any) -> Sweeper:
    sources = SweepSources(place, place, place, place, place)
    return Sweeper(sources, place.clock, SweepOptions(**options), SweepMetrics(place.clock))


def opened() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


async def sweep(place: Memory, rule: LoadedRule, run: SweepRun | None = None, **options: Any) -> SweepRun:
    run = run or SweepRun.asked(rule.rule.id, "test", place.clock.now_us())
    await sweeper(place, **options).sweep(rule, run, opened())
    return run


def counts(record: dict[str, Any]) -> dict[str, int]:
    assert sum(record[part] for part in PARTS) == record["checked"]
    return {part: record[part] for part in PARTS if record[part]}


async def test_pages_are_published_with_their_entries_then_each_side_ends(
    place: Memory, rule: LoadedRule
) -> None:
    await sweep(place, rule, page_size=2)
    told = [what for what in place.happened if what.startswith(("publish", "end"))]
    assert told == ["publish abab", "publish cdcd", "publish ee", "end left", "publish zz", "end right"]
    read = [what for what in place.happened if what not in told]
    assert read == [
        *("rows ab", "entries ab", "rows cd", "entries cd", "rows e", "entries e"),
        *("list", "keys z", "entries z"),
    ]
    left, right = place.seeded
    assert (left.at - AT, (left.through or 0) - AT) == (1, 3)
    assert (right.at, right.through) == (AT, AT)


async def test_a_key_without_a_row_is_told_as_such(place: Memory, rule: LoadedRule) -> None:
    await sweep(place, rule)
    [row, entry] = place.published[-2:]
    assert isinstance(row, RowAsOf)
    assert (row.key, row.row, row.value) == ("z", None, ABSENT)
    assert isinstance(entry, EntryAsOf)


async def test_open_episodes_that_neither_side_names_are_read_too(place: Memory, rule: LoadedRule) -> None:
    place.episodes = {"y": {"severity": "critical"}}
    await sweep(place, rule)
    assert "keys zy" in place.happened


async def test_what_differs_is_in_flight_until_the_detector_has_judged(
    place: Memory, rule: LoadedRule
) -> None:
    place.episodes = {"b": {"severity": "critical"}, "a": {"severity": "critical"}}
    run = await sweep(place, rule, page_size=2)
    assert counts(run.record()) == {"in_sync": 2, "drifting": 1, "in_flight": 2, "unverifiable": 1}
    before = [one for one in place.told if one["state"] == "running"][-1]
    assert counts(before) == {"in_sync": 2, "in_flight": 3, "unverifiable": 1}


async def test_exempt_keys_are_counted_as_such(place: Memory, rule: LoadedRule) -> None:
    exemptions = (Exemption("b", frozenset(), 0, AT * 2, "known"),)
    exempting = replace(rule, rule=replace(rule.rule, exemptions=exemptions))
    run = await sweep(place, exempting)
    assert counts(run.record())["exempt"] == 1


async def test_what_was_repaired_is_taken_out_of_what_is_in_sync(place: Memory, rule: LoadedRule) -> None:
    place.repaired = 1
    run = await sweep(place, rule)
    assert counts(run.record()) == {"in_sync": 1, "repaired": 1, "in_flight": 3, "unverifiable": 1}


async def test_a_run_that_nobody_judges_ends_without_a_verdict_and_says_so(
    place: Memory, rule: LoadedRule
) -> None:
    place.verified = None
    run = await sweep(place, rule, settle_s=5.0)
    assert "not judged" in (run.why or "")
    window = rule.rule.window
    assert place.clock.passed < 6 + 2 * (window.lag_us + window.lead_us + window.skew_us) / 1e6


@pytest.mark.parametrize(
    "killed_at", ["publish cd", "publish ee", "end left", "list", "publish zz", "end right"]
)
async def test_a_run_that_was_killed_goes_on_at_its_page_and_counts_each_key_once(
    place: Memory, rule: LoadedRule, killed_at: str
) -> None:
    whole = await sweep(place, rule, page_size=2)
    expected = counts(whole.record())
    place.told.clear()
    place.happened.clear()
    place.fails_at = killed_at
    run = SweepRun.asked(rule.rule.id, "test", AT)
    broken = sweeper(place, page_size=2, patience_s=0.1)
    broken._told_s = -1e9
    place.clock.passed += 100.0
    with pytest.raises(Transient):
        await broken.sweep(rule, run, opened())
    place.fails_at = None
    place.happened.clear()
    again = read_run(place.told[-1])
    resumed = await sweep(place, rule, again, page_size=2)
    assert counts(resumed.record()) == expected
    assert resumed.started_at == run.started_at
    broken_off = await sweep(place, rule, run, page_size=2)
    assert counts(broken_off.record()) == expected, "the same process goes on as well"


async def test_rows_of_one_key_in_several_pages_are_one_key_that_differs(
    place: Memory, rule: LoadedRule
) -> None:
    place.rows.append(("a", value(1)))
    run = await sweep(place, rule, page_size=2)
    assert counts(run.record()) == {"in_sync": 1, "in_flight": 4, "unverifiable": 1}


async def test_the_rate_bounds_the_keys_a_second(place: Memory, rule: LoadedRule) -> None:
    await sweep(place, rule, rate=2.0)
    assert place.clock.passed == pytest.approx(3.0)


class Behind(Memory):
    """Workers whose verdicts become 30 s old when the second page is published, until `caught_up_s`. A page
    takes 4 s. `is_still`: they have not judged anything since."""

    is_still = False
    caught_up_s = ended_s = 0.0

    async def finish_side(self, seeded: Seeded, run: str) -> None:
        await super().finish_side(seeded, run)
        self.ended_s = self.clock.passed

    async def publish(self, rule: Rule, reads: Sequence[RowAsOf | EntryAsOf], run: str) -> None:
        await super().publish(rule, reads, run)
        self.clock.passed += 4.0

    def verified_through(self, rule: str) -> int | None:
        if self.clock.passed < 8.0:
            return self.clock.now_us() - 9_000_000
        if self.clock.passed > self.caught_up_s:
            return self.verified
        return AT - 22_000_000 if self.is_still else self.clock.now_us() - 30_000_000


@pytest.mark.parametrize(
    ("caught_up_s", "ends_s"),
    [
        (0.0, 16.0),  # four pages
        (11.0, 19.25),  # the second one waits for 3.25 s
        (60.0, 40.0),  # each but the first waits for 8 s, and the sweep goes on
    ],
)
async def test_a_sweep_gives_way_to_workers_that_fall_behind(
    place: Memory, rule: LoadedRule, caught_up_s: float, ends_s: float
) -> None:
    behind = Behind(place.clock, place.rows, place.entries, place.listed)
    behind.caught_up_s = caught_up_s
    await sweep(behind, rule, page_size=2)
    assert behind.ended_s == ends_s


async def test_a_sweep_waits_once_for_workers_that_judge_nothing(place: Memory, rule: LoadedRule) -> None:
    behind = Behind(place.clock, place.rows, place.entries, place.listed)
    behind.caught_up_s, behind.is_still = 60.0, True
    await sweep(behind, rule, page_size=2)
    assert behind.ended_s == 16.0 + 8.0


async def test_how_late_the_workers_are_anyway_is_known_before_a_sweep(
    place: Memory, rule: LoadedRule
) -> None:
    behind = Behind(place.clock, place.rows, place.entries, place.listed)
    behind.caught_up_s = 60.0
    one = sweeper(behind, page_size=2)
    place.clock.passed = 8.0
    one.look_around(rule.rule.id)
    await one.sweep(rule, SweepRun.asked(rule.rule.id, "test", AT), opened())
    assert behind.ended_s == 8.0 + 16.0


class Full(Memory):
    """A page takes a second, and leaves 7,000 reads of a partition waiting; workers that go on take in 1,000
    each quarter of a second, and judge on."""

    goes_on = True
    ended_s = 0.0

    async def finish_side(self, seeded: Seeded, run: str) -> None:
        await super().finish_side(seeded, run)
        self.ended_s = self.clock.passed

    async def publish(self, rule: Rule, reads: Sequence[RowAsOf | EntryAsOf], run: str) -> None:
        await super().publish(rule, reads, run)
        self.clock.passed += 1.0
        self.waiting += 7_000

    async def count_waiting(self) -> int:
        waiting = await super().count_waiting()
        self.waiting -= min(1_000, waiting) if self.goes_on else 0
        return waiting

    def verified_through(self, rule: str) -> int | None:
        return self.clock.now_us() if self.goes_on else AT


async def test_a_sweep_gives_way_to_workers_that_have_not_taken_in_its_reads(
    place: Memory, rule: LoadedRule
) -> None:
    full = Full(place.clock, place.rows[:4], place.entries, ())
    one = sweeper(full, page_size=2)
    await one.sweep(rule, SweepRun.asked(rule.rule.id, "test", AT), opened())
    assert full.ended_s == 1.0 + 0.25 + 1.0 + 6 * 0.25


async def test_reads_that_no_worker_takes_in_hold_a_sweep_up_once(place: Memory, rule: LoadedRule) -> None:
    full = Full(place.clock, place.rows[:4], place.entries, ())
    full.goes_on = False
    await sweep(full, rule, page_size=2)
    assert full.ended_s == 1.0 + 8.0 + 1.0


async def test_a_pause_lasts_until_somebody_ends_it(place: Memory, rule: LoadedRule) -> None:
    gate = asyncio.Event()
    run = SweepRun.asked(rule.rule.id, "test", AT)
    sweeping = asyncio.create_task(sweeper(place, page_size=2).sweep(rule, run, gate))
    while not place.told or place.told[-1]["state"] != State.PAUSED:
        await asyncio.wait({sweeping}, timeout=0.001)
    assert [what for what in place.happened if what.startswith("publish")] == ["publish abab"]
    gate.set()
    await sweeping
    assert counts(run.record())["in_sync"] == 2


async def test_a_rule_that_was_changed_is_swept_from_the_beginning(place: Memory, rule: LoadedRule) -> None:
    run = await sweep(place, rule, page_size=2)
    changed = replace(rule, digest="another")
    place.happened.clear()
    await sweep(place, changed, read_run(run.record()), page_size=2)
    assert place.happened[0] == "rows ab"


async def test_a_contract_that_cannot_list_its_keys_ends_no_right_side(
    place: Memory, rule: LoadedRule
) -> None:
    place.listed = None
    await sweep(place, rule)
    assert [one.side for one in place.seeded] == ["left"]

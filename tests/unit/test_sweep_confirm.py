"""What the detector asks about single keys is read on both sides, in time or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from app.detector.model import ABSENT, EntryAsOf, RowAsOf, Rule, Snapshot
from app.errors import Transient
from app.readings import EntryPage, Place, RowPage
from app.rules import LoadedRule, load_rules
from app.settings import RULES_FOLDER
from app.sweep.confirm import Confirmer, ConfirmSources
from app.sweep.metrics import ConfirmMetrics
from tests.support.clocks import SleepingClock

[CREDIT] = load_rules([RULES_FOLDER / "credit.yaml"], {"CREDIT_CONTRACT_ID": "C"})
RULE = CREDIT.rule.id
NOW_US = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    key: str
    rule: str = RULE
    ledger: int = 7
    asked_at: int = NOW_US
    history_from: int = NOW_US - 42_000_000


@dataclass
class Both:
    """Both sides and the log in memory; `failures`: how many calls of a side fail before it answers."""

    clock: SleepingClock
    failures: int = 0
    calls: list[tuple[int, int]] = field(default_factory=list)
    told: list[RowAsOf | EntryAsOf] = field(default_factory=list)

    async def read_page(
        self, loaded: LoadedRule, after: Place | None, size: int, until: Place | None = None
    ) -> RowPage:
        raise AssertionError("single keys only")

    async def read_keys(self, loaded: LoadedRule, keys: Sequence[str]) -> RowPage:
        seen = (Snapshot(1, 1, frozenset()), self.clock.now)
        return RowPage(self.clock.now, tuple(RowAsOf(RULE, key, None, ABSENT, *seen) for key in keys), None)

    async def read(self, loaded: LoadedRule, keys: Sequence[str], at_least: int) -> EntryPage:
        if self.failures:
            self.failures -= 1
            raise Transient("reading", "the node", "behind")
        self.calls.append((len(keys), at_least))
        entries = tuple(EntryAsOf(RULE, key, ABSENT, -1, None, at_least, self.clock.now) for key in keys)
        return EntryPage(self.clock.now, at_least, entries)

    async def publish(self, rule: Rule, reads: Sequence[RowAsOf | EntryAsOf], run: str) -> None:
        self.told += reads


class OneBatch:
    """Questions that come once; then the service is told to stop."""

    def __init__(self, asked: Sequence[Asked], stop: asyncio.Event) -> None:
        self.asked, self.stop, self.is_done = asked, stop, False

    async def take(self, within_s: float) -> Sequence[Asked]:
        self.stop.set()
        return self.asked

    async def done(self) -> None:
        self.is_done = True


class Past:
    """What every entry was before; `fails` where no ledger tells."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails, self.wanted = fails, {}

    async def trace(
        self, loaded: LoadedRule, entries: Sequence[EntryAsOf], history_from: Mapping[str, int]
    ) -> Sequence[EntryAsOf]:
        self.wanted = dict(history_from)
        if self.fails:
            raise Transient("calling getLedgers of", "the node", "gone")
        return [entries[0]._replace(read_ledger=5, read_at=NOW_US - 1), *entries]


async def answer(
    asked: Sequence[Asked], failures: int = 0, past: Past | None = None
) -> tuple[Both, CollectorRegistry, OneBatch, SleepingClock]:
    clock, stop = SleepingClock(NOW_US), asyncio.Event()
    both, registry, batch = Both(clock, failures), CollectorRegistry(), OneBatch(asked, stop)
    confirmer = Confirmer(
        {RULE: CREDIT}, ConfirmSources(both, both, both, past), batch, clock, ConfirmMetrics(registry)
    )
    await confirmer.run(stop)
    return both, registry, batch, clock


def outcome(registry: CollectorRegistry, name: str, rule: str = RULE) -> float:
    found = registry.get_sample_value("driftwatch_confirm_answers_total", {"rule": rule, "outcome": name})
    return found or 0.0


async def test_both_sides_of_every_key_are_told_once_at_the_newest_ledger_asked_for() -> None:
    both, registry, batch, _ = await answer([Asked("GA"), Asked("GB", ledger=9), Asked("GA")])

    assert both.calls == [(2, 9)]
    assert [(type(read), read.key) for read in both.told] == [
        (RowAsOf, "GA"), (RowAsOf, "GB"), (EntryAsOf, "GA"), (EntryAsOf, "GB"),
    ]  # fmt: skip
    assert outcome(registry, "answered") == 2
    assert batch.is_done


async def test_no_more_than_two_hundred_are_read_at_once() -> None:
    both, registry, _, _ = await answer([Asked(f"G{number}") for number in range(450)])

    assert [size for size, _ in both.calls] == [200, 200, 50]
    assert outcome(registry, "answered") == 450


async def test_a_node_that_is_behind_is_waited_for() -> None:
    both, registry, _, clock = await answer([Asked("GA")], failures=2)

    assert len(both.told) == 2
    assert clock.now > NOW_US
    assert outcome(registry, "answered") == 1


async def test_what_cannot_be_read_stays_unanswered_and_the_next_questions_are_taken() -> None:
    both, registry, batch, clock = await answer([Asked("GA")], failures=1000)

    assert both.told == []
    assert outcome(registry, "unanswered") == 1
    assert clock.now - NOW_US < 10_000_000, "its episode is told without us by then"
    assert batch.is_done


async def test_an_old_question_and_one_of_another_rule_are_passed_over() -> None:
    both, registry, _, _ = await answer(
        [Asked("GA", asked_at=NOW_US - 61_000_000), Asked("GB", rule="other")]
    )

    assert both.told == []
    assert outcome(registry, "unanswered") == 1
    assert outcome(registry, "unanswered", rule="") == 1


def history(registry: CollectorRegistry, name: str) -> float:
    labels = {"rule": RULE, "outcome": name}
    return registry.get_sample_value("driftwatch_confirm_history_total", labels) or 0.0


async def test_what_an_entry_was_is_told_between_the_rows_and_what_it_is() -> None:
    past = Past()
    both, registry, _, _ = await answer([Asked("GA"), Asked("GB")], past=past)

    assert past.wanted == {"GA": NOW_US - 42_000_000, "GB": NOW_US - 42_000_000}
    told = [read.read_ledger for read in both.told if isinstance(read, EntryAsOf)]
    assert told == [5, 7, 7]
    assert isinstance(both.told[1], RowAsOf), "rows first"
    assert (history(registry, "told"), history(registry, "nothing_new")) == (1, 1)


async def test_ledgers_that_tell_nothing_leave_no_question_unanswered() -> None:
    both, registry, _, _ = await answer([Asked("GA")], past=Past(fails=True))

    assert len(both.told) == 2
    assert (outcome(registry, "answered"), history(registry, "unavailable")) == (1, 1)

"""What entries were before each change that an event told of is asked for once, told once, and never hurries
anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from prometheus_client import CollectorRegistry

from app.detector.model import (
    ABSENT,
    EntryAsOf,
    EntryEvent,
    EntryRead,
    Input,
    Mark,
    RowAsOf,
    Rule,
    Side,
    Value,
)
from app.errors import DriftwatchError, Transient
from app.rules import ContractTable, LoadedRule, load_rules
from app.settings import RULES_FOLDER
from app.sweep.history import Historian
from app.sweep.metrics import HistoryMetrics
from tests.support.clocks import SleepingClock

[CREDIT] = load_rules([RULES_FOLDER / "credit.yaml"], {"CREDIT_CONTRACT_ID": "C"})
RULE = CREDIT.rule.id
SECOND_US = 1_000_000
NOW_US = 10_000 * SECOND_US


def closed(ledger: int) -> int:
    """A ledger closes every five seconds."""
    return ledger * 5 * SECOND_US


def changed(ledger: int, key: str = "GA", value: Value = ("1",), rule: str = RULE) -> list[Input]:
    """An event and the read that it caused, in the same ledger."""
    at = closed(ledger)
    event = EntryEvent(rule, key, ledger, at, "tx", f"{ledger}-0")
    return [event, EntryRead(rule, key, value, ledger, at, ledger, at, event.event_id)]


def mark(ledger: int) -> Mark:
    return Mark(Side.RIGHT, None, closed(ledger), None, ledger, ledger - 1)


Asked = dict[str, tuple[int, int]]


@dataclass
class Ledgers:
    """What entries were: `before` by (key, ledger that changed them), the ledger that had changed them
    before. `troubles` are raised by the first calls. Every call is kept, by key: the ledger, back to when.
    `is_mute`: the node has no such method."""

    before: Mapping[tuple[str, int], int] = field(default_factory=dict)
    troubles: list[Exception] = field(default_factory=list)
    is_mute: bool = False
    calls: list[Asked] = field(default_factory=list)

    async def trace(
        self, loaded: LoadedRule, entries: Sequence[EntryAsOf], history_from: Mapping[str, int]
    ) -> Sequence[EntryAsOf]:
        self.calls.append({each.key: (each.modified_ledger, history_from[each.key]) for each in entries})
        if self.troubles:
            raise self.troubles.pop(0)
        if self.is_mute:
            return entries
        past = [
            each._replace(
                value=("0",),
                modified_ledger=self.before[each.key, each.modified_ledger],
                modified_at=None,
                read_ledger=each.modified_ledger - 1,
                read_at=closed(each.modified_ledger) - 1,
            )
            for each in entries
            if (each.key, each.modified_ledger) in self.before
        ]
        return [*past, *(each._replace(modified_at=closed(each.modified_ledger)) for each in entries)]


@dataclass
class Feed:
    """One poll after the other, then the service is told to stop; the log as well, and what `happened`."""

    polls: list[list[tuple[int, Input]]]
    stop: asyncio.Event
    troubles: list[Exception] = field(default_factory=list)
    happened: list[str] = field(default_factory=list)
    told: list[EntryAsOf | RowAsOf] = field(default_factory=list)

    async def take(self, within_s: float) -> Sequence[tuple[int, Input]]:
        if not self.polls:
            self.stop.set()
            return []
        return self.polls.pop(0)

    async def done(self) -> None:
        self.happened.append("done")

    async def publish(self, rule: Rule, reads: Sequence[RowAsOf | EntryAsOf], run: str) -> None:
        if self.troubles:
            self.happened.append("refused")
            raise self.troubles.pop(0)
        self.happened.append(f"{run} of {rule.id}")
        self.told += reads


@dataclass
class Story:
    """A Historian, with all that it has to do with in memory."""

    ledgers: Ledgers = field(default_factory=Ledgers)
    rules: Sequence[LoadedRule] = (CREDIT,)
    refusals: list[Exception] = field(default_factory=list)
    clock: SleepingClock = field(default_factory=lambda: SleepingClock(NOW_US))
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    async def play(self, *polls: Sequence[Input], partition: int = 0) -> Feed:
        stop = asyncio.Event()
        feed = Feed([[(partition, each) for each in poll] for poll in polls], stop, self.refusals)
        rules = {loaded.rule.id: loaded for loaded in self.rules}
        metrics = HistoryMetrics(self.registry, self.clock)
        await Historian(rules, (self.ledgers, feed), feed, self.clock, metrics).run(stop)
        return feed

    def images(self, outcome: str, rule: str = RULE) -> float:
        labels = {"rule": rule, "outcome": outcome}
        return self.registry.get_sample_value("driftwatch_before_images_total", labels) or 0.0

    def sample(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"driftwatch_before_images_{name}")


async def test_what_an_entry_was_before_its_event_is_told_and_the_entry_itself_is_not() -> None:
    story = Story(Ledgers({("GA", 7): 3}))
    feed = await story.play([*changed(7), mark(7)])

    assert story.ledgers.calls == [{"GA": (7, closed(7) - 1)}]
    assert feed.told == [EntryAsOf(RULE, "GA", ("0",), 3, None, 6, closed(7) - 1)]
    assert feed.happened == [f"history of {RULE}", "done"]
    assert (story.images("told"), story.images("nothing")) == (1, 0)


async def test_an_entry_that_is_gone_is_asked_for_at_its_event() -> None:
    story = Story(Ledgers({("GA", 7): 3}))
    feed = await story.play(changed(7, value=ABSENT))

    assert story.ledgers.calls == [{"GA": (7, closed(7) - 1)}]
    assert [each.value for each in feed.told] == [("0",)]


async def test_what_was_read_when_it_began_is_not_told_again() -> None:
    story = Story(Ledgers({("GA", 7): 3, ("GA", 9): 7}))
    feed = await story.play([*changed(7), mark(7)], [*changed(9), mark(9)])

    assert len(feed.told) == 1
    assert (story.images("told"), story.images("nothing")) == (1, 1)
    assert feed.happened[-1] == "done"


async def test_an_event_that_changed_nothing_asks_nobody() -> None:
    story = Story()
    event, read = changed(7)
    feed = await story.play([event, read._replace(modified_ledger=2)])  # type: ignore[call-arg]

    assert story.ledgers.calls == []
    assert (story.images("nothing"), feed.happened) == (1, ["done"])


async def test_each_ledger_is_asked_for_once_and_a_key_that_changed_in_two_is_told_of_each() -> None:
    story = Story(Ledgers({("GA", 7): 3, ("GA", 9): 8, ("GB", 7): 2}))
    feed = await story.play([*changed(9), *changed(7), *changed(7, "GB")])

    assert [{key: ledger for key, (ledger, _) in call.items()} for call in story.ledgers.calls] == [
        {"GA": 7, "GB": 7}, {"GA": 9},
    ]  # fmt: skip
    assert [(each.key, each.read_ledger) for each in feed.told] == [("GA", 6), ("GB", 6), ("GA", 8)]


async def test_two_reads_of_one_change_go_back_to_the_older_event() -> None:
    story = Story(Ledgers({("GA", 9): 3}))
    first, again = changed(9), changed(9)
    first[0] = first[0]._replace(ledger=5, at=closed(5))  # type: ignore[union-attr, call-arg]
    await story.play([*first, mark(5), *again])

    assert story.ledgers.calls == [{"GA": (9, closed(5) - 1)}]


async def test_rules_are_asked_for_one_by_one_and_those_with_a_table_of_contracts_not_at_all() -> None:
    table = ContractTable("deals", "id", "contract")
    other = replace(CREDIT, rule=replace(CREDIT.rule, id="other"))
    mapped = replace(
        CREDIT, rule=replace(CREDIT.rule, id="mapped"), right=replace(CREDIT.right, contracts=table)
    )
    story = Story(Ledgers({("GA", 7): 3}), (CREDIT, other, mapped))
    feed = await story.play(
        [each for rule in (RULE, "other", "mapped", "unknown") for each in changed(7, rule=rule)]
    )

    assert feed.happened == [f"history of {RULE}", "history of other", "done"]
    assert (story.images("told"), story.images("told", "other"), story.images("told", "mapped")) == (1, 1, 0)


async def test_no_more_than_two_hundred_are_asked_for_at_once() -> None:
    story = Story()
    await story.play([each for number in range(450) for each in changed(7, f"G{number}")])

    assert [len(call) for call in story.ledgers.calls] == [200, 200, 50]
    assert story.images("nothing") == 450


async def test_a_change_that_nobody_told_of_is_followed_back_to_one_that_was_read() -> None:
    story = Story(Ledgers({("GA", 9): 8, ("GA", 8): 7, ("GA", 7): 2}))
    feed = await story.play([mark(6), *changed(7), mark(7), mark(8), *changed(9), mark(9)])

    asked = [call["GA"] for call in story.ledgers.calls]
    assert asked == [(7, closed(7) - 1), (9, closed(9) - 1), (8, closed(8) - 1)]
    assert [(each.modified_ledger, each.modified_at, each.read_ledger) for each in feed.told[1:]] == [  # type: ignore[union-attr]
        (7, None, 7), (8, closed(8), 8),
    ]  # fmt: skip


async def test_a_silent_change_of_which_its_ledger_tells_nothing_is_asked_for_once() -> None:
    story = Story(Ledgers({("GA", 9): 8}))
    feed = await story.play([mark(6), mark(8), *changed(9), mark(9)])

    assert [call["GA"][0] for call in story.ledgers.calls] == [9, 8]
    assert [(each.modified_ledger, each.modified_at) for each in feed.told] == [(8, closed(8))]  # type: ignore[union-attr]


async def test_a_silent_change_whose_ledger_is_not_held_is_told_without_its_time() -> None:
    gone = DriftwatchError("calling getLedgers of", "the node", "it holds ledgers 9 to 10")
    story = Story(Ledgers({("GA", 9): 8}))
    original = story.ledgers.trace

    async def trace(
        loaded: LoadedRule, entries: Sequence[EntryAsOf], history_from: Mapping[str, int]
    ) -> Sequence[EntryAsOf]:
        if entries[0].modified_ledger == 8:
            raise gone
        return await original(loaded, entries, history_from)

    story.ledgers.trace = trace  # type: ignore[method-assign]
    feed = await story.play([mark(6), mark(8), *changed(9), mark(9)])

    assert [(each.modified_ledger, each.modified_at) for each in feed.told] == [(8, None)]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "ledgers",
    [
        Ledgers(troubles=[DriftwatchError("calling getLedgers of", "the node", "it holds ledgers 9 to 10")]),
        Ledgers(troubles=[TimeoutError(), TimeoutError(), TimeoutError()]),
        Ledgers(is_mute=True),
    ],
    ids=["gone", "too slow", "no such method"],
)
async def test_ledgers_that_tell_nothing_are_counted_and_passed_over(ledgers: Ledgers) -> None:
    story = Story(ledgers)
    feed = await story.play([*changed(7), mark(7)])

    assert (story.images("unavailable"), story.images("nothing")) == (1, 0)
    assert (feed.told, feed.happened) == ([], ["done"])


async def test_trouble_that_passes_is_waited_out_at_the_same_place() -> None:
    away = [Transient("calling getLedgers of", "the node", "away", retry_after_s=4.0) for _ in range(3)]
    story = Story(Ledgers({("GA", 7): 3}, [*away]))
    feed = await story.play(changed(7))

    assert len(story.ledgers.calls) == 4
    assert story.clock.now - NOW_US == 12 * SECOND_US
    assert story.sample("trouble_total") == 3
    assert (len(feed.told), story.images("told")) == (1, 1)


async def test_nothing_is_acknowledged_before_it_is_told() -> None:
    story = Story(Ledgers({("GA", 7): 3}), refusals=[Transient("writing to", "the topic", "no leader")])
    feed = await story.play(changed(7))

    assert feed.happened == ["refused", f"history of {RULE}", "done"]
    assert len(story.ledgers.calls) == 1, "what was found is not looked for again"


async def test_who_is_told_to_stop_in_trouble_acknowledges_nothing() -> None:
    story = Story(Ledgers({("GA", 7): 3}))
    feed = Feed([[(0, each) for each in changed(7)]], asyncio.Event())

    async def refuse(rule: Rule, reads: Sequence[RowAsOf | EntryAsOf], run: str) -> None:
        feed.stop.set()
        raise Transient("writing to", "the topic", "no leader")

    feed.publish = refuse  # type: ignore[method-assign]
    metrics = HistoryMetrics(story.registry, story.clock)
    await Historian({RULE: CREDIT}, (story.ledgers, feed), feed, story.clock, metrics).run(feed.stop)

    assert feed.happened == []


async def test_how_far_it_is_behind_is_told_by_the_partition_that_is_furthest_behind() -> None:
    story, stop = Story(), asyncio.Event()
    feed = Feed([[(0, mark(1990)), (0, mark(1998)), (1, mark(1996))]], stop)
    metrics = HistoryMetrics(story.registry, story.clock)
    assert story.sample("lag_seconds") == 0, "nothing has come yet"
    await Historian({RULE: CREDIT}, (story.ledgers, feed), feed, story.clock, metrics).run(stop)

    assert story.sample("lag_seconds") == (NOW_US - closed(1996)) / SECOND_US

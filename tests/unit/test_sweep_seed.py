"""The order of a seed, what it waits for, and how long."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.detector.model import ABSENT, UNKNOWN, EntryAsOf, RowAsOf, Rule, Seeded, Side, Snapshot
from app.errors import Fatal, Transient
from app.readings import EntryPage, KeyPage, Place, RowPage
from app.rules import LoadedRule, load_rules
from app.settings import RULES_FOLDER
from app.sweep.patience import Patience
from app.sweep.seed import Seeder, SeedOptions, Sources
from tests.support.sweeping import AT, HandClock


@dataclass
class Memory:
    """Both sides and the log in memory; `happened` is the order of the calls."""

    rows: list[str] = field(default_factory=lambda: ["a", "b", "c"])
    listed: Sequence[str] | None = ("a", "z")
    slot_after: int = 0
    cursor_after: int = 0
    happened: list[str] = field(default_factory=list)
    told: list[dict[str, object]] = field(default_factory=list)
    read_at: int = AT
    verified: int | None = None
    waiting: int = 0

    def _note(self, what: str) -> int:
        self.happened.append(what)
        return self.happened.count(what)

    async def has_slot(self) -> bool:
        return self._note("slot?") > self.slot_after

    async def read_page(self, loaded: LoadedRule, after: Place | None, size: int) -> RowPage:
        first = 0 if after is None else int(after[0])
        keys = self.rows[first : first + size]
        self._note(f"rows {''.join(keys)}")
        self.read_at += 1
        snapshot = Snapshot(1, 1, frozenset())
        read = [RowAsOf(loaded.rule.id, key, key, ABSENT, snapshot, self.read_at) for key in keys]
        end = first + size
        return RowPage(self.read_at, tuple(read), (str(end),) if end < len(self.rows) else None, 1)

    async def list_page(self, loaded: LoadedRule, first: int) -> KeyPage | None:
        """Two keys a page."""
        self._note(f"list {first}")
        if self.listed is None:
            return None
        end = first + 2
        return KeyPage(tuple(self.listed[first:end]), end if end < len(self.listed) else None)

    async def read(self, loaded: LoadedRule, keys: Sequence[str], at_least: int) -> EntryPage:
        self._note(f"entries {''.join(keys)} at {at_least}")
        read = [
            EntryAsOf(loaded.rule.id, key, UNKNOWN if key == "z" else ABSENT, -1, None, at_least, AT)
            for key in keys
        ]
        return EntryPage(AT, at_least, tuple(read))

    async def publish(self, rule: Rule, reads: Sequence[RowAsOf | EntryAsOf], run: str) -> None:
        self._note(f"publish {''.join(read.key for read in reads)}")

    async def finish_side(self, seeded: Seeded, run: str) -> None:
        self._note(f"end {seeded.side} {seeded.at - AT} {(seeded.through or 0) - AT}")

    async def tell_run(self, run: Mapping[str, object]) -> None:
        self.told.append(dict(run))

    async def find_runs(self, rule: str) -> Sequence[Mapping[str, Any]]:
        return self.told

    async def followed_ledger(self) -> int | None:
        return 7 if self._note("cursor?") > self.cursor_after else None

    def verified_through(self, rule: str) -> int | None:
        return self.verified

    async def count_waiting(self) -> int:
        return self.waiting


@pytest.fixture(scope="module")
def rule() -> LoadedRule:
    return load_rules((Path(RULES_FOLDER) / "credit.yaml",), {"CREDIT_CONTRACT_ID": "C"})[0]


def seeder(place: Memory, clock: HandClock, **options: Any) -> Seeder:
    return Seeder(Sources(place, place, place, place, place), clock, SeedOptions(**options))


async def test_each_side_is_followed_then_read_then_told_then_ended(rule: LoadedRule) -> None:
    place = Memory()
    run = await seeder(place, HandClock(), page_size=2).seed(rule)
    assert place.happened == [
        *("slot?", "cursor?"),
        *("rows ab", "publish ab", "entries ab at 7", "publish ab"),
        *("rows c", "publish c", "entries c at 7", "publish c"),
        *("list 0", "entries z at 7", "publish z", "end left 1 2", "end right 0 0"),
    ]
    last = place.told[-1]
    assert (last["state"], last["checked"], last["in_flight"]) == ("done", 9, 6)
    assert (last["unverifiable"], last["errors"]) == (1, 2)
    assert run.read == {Side.LEFT: 5, Side.RIGHT: 4}


async def test_nothing_is_read_before_it_is_followed(rule: LoadedRule) -> None:
    place = Memory(slot_after=3, cursor_after=2)
    await seeder(place, HandClock()).seed(rule)
    assert place.happened[:8] == ["slot?"] * 4 + ["cursor?"] * 3 + ["rows abc"]


async def test_a_contract_that_cannot_list_its_keys_is_not_said_to_be_seeded(rule: LoadedRule) -> None:
    place = Memory(listed=None)
    await seeder(place, HandClock()).seed(rule)
    assert place.happened[-4:] == ["entries abc at 7", "publish abc", "list 0", "end left 1 1"]
    assert place.told[-1]["state"] == "done"


async def test_the_entry_of_a_key_is_read_once_however_often_the_key_is_met(rule: LoadedRule) -> None:
    place = Memory(rows=["a", "a"], listed=("x", "y", "y", "a", "x"))
    await seeder(place, HandClock()).seed(rule)
    assert [what for what in place.happened if what.startswith(("list", "entries"))] == [
        *("entries a at 7", "list 0", "entries xy at 7", "list 2", "list 4"),
    ]


async def test_an_empty_world_is_seeded_too(rule: LoadedRule) -> None:
    place = Memory(rows=[], listed=())
    await seeder(place, HandClock()).seed(rule)
    assert place.happened[-4:] == ["list 0", "entries  at 7", "end left 1 1", "end right 0 0"]


async def test_the_rate_holds_over_both_sides(rule: LoadedRule) -> None:
    clock = HandClock()
    await seeder(Memory(), clock, rate=2.0, page_size=1).seed(rule)
    assert clock.passed == pytest.approx(7 / 2)


class Workers(Memory):
    """Workers of rules that run. A page takes a second; each of its reads leaves 3,500 waiting, of which the
    workers take in 1,000 each quarter of a second, and judge on. `goes_on`: they do, else they are down."""

    goes_on = True

    def __init__(self, clock: HandClock, **fields: Any) -> None:
        super().__init__(**fields)
        self.clock = clock

    async def publish(self, rule: Rule, reads: Sequence[RowAsOf | EntryAsOf], run: str) -> None:
        await super().publish(rule, reads, run)
        self.clock.passed += 1.0
        self.waiting += 3_500 * len(reads)

    async def count_waiting(self) -> int:
        waiting = self.waiting
        self.waiting -= min(1_000, waiting) if self.goes_on else 0
        return waiting

    def verified_through(self, rule: str) -> int | None:
        return self.clock.now_us() - 9_000_000 if self.goes_on else AT


async def test_a_seed_stands_still_while_the_workers_have_too_much_before_them(rule: LoadedRule) -> None:
    clock = HandClock()
    place = Workers(clock, rows=["a", "b", "c", "d"], listed=())
    run = await seeder(place, clock, page_size=2).seed(rule)
    looks_until_1_000_of_7_000_are_left = 6
    waits_s = 4 * looks_until_1_000_of_7_000_are_left * 0.25
    assert run.stood_still_s == waits_s
    assert clock.passed == 6.0 + 4 * 1.0 + waits_s


async def test_a_seed_waits_once_for_workers_that_are_down(rule: LoadedRule) -> None:
    clock = HandClock()
    place = Workers(clock, rows=["a", "b", "c", "d"])
    place.goes_on = False
    run = await seeder(place, clock, page_size=1).seed(rule)
    assert run.stood_still_s == 8.0
    assert place.told[-1]["state"] == "done"


async def test_a_seed_that_nobody_waits_for_is_never_held_up(rule: LoadedRule) -> None:
    """No rule runs yet: the first seed of an installation, whether a worker is there or not."""
    clock = HandClock()
    run = await seeder(Memory(waiting=10**9), clock, page_size=1).seed(rule)
    assert (run.stood_still_s, clock.passed) == (0.0, 0.0)


class Late(Workers):
    """What runs is judged 9 s late, but for 1.5 s behind the first page 12 s."""

    async def count_waiting(self) -> int:
        return 0

    def verified_through(self, rule: str) -> int | None:
        is_late = 7.0 <= self.clock.passed < 8.5
        return self.clock.now_us() - (12_000_000 if is_late else 9_000_000)


async def test_a_seed_gives_way_when_what_runs_is_judged_later_than_usual(rule: LoadedRule) -> None:
    clock = HandClock()
    place = Late(clock, rows=["a", "b", "c"], listed=())
    run = await seeder(place, clock, page_size=1).seed(rule)
    assert run.stood_still_s == 1.5


async def test_a_seed_of_another_form_of_the_rule_does_not_count(rule: LoadedRule) -> None:
    place = Memory()
    one = seeder(place, HandClock())
    await one.seed(rule)
    assert await one.is_seeded(rule)
    place.told[-1]["digest"] = "another"
    assert not await one.is_seeded(rule)


async def test_a_failed_seed_is_told_and_does_not_count(rule: LoadedRule) -> None:
    place = Memory(slot_after=10**9)
    one = seeder(place, HandClock(), followed_within_s=5.0)
    with pytest.raises(Transient, match="not there after 5 s"):
        await one.seed(rule)
    assert place.told[-1]["state"] == "failed"
    assert not await one.is_seeded(rule)


def failing(error: Callable[[], Exception], times: int) -> Callable[[], Any]:
    calls = iter(range(10**6))

    async def attempt() -> str:
        if next(calls) < times:
            raise error()
        return "done"

    return attempt


async def test_passing_trouble_is_waited_out_with_growing_pauses() -> None:
    clock = HandClock()
    trouble = lambda: Transient("reading", "it", "busy")  # noqa: E731
    assert await Patience(clock)(failing(trouble, 4)) == "done"
    assert clock.passed == pytest.approx(0.25 + 0.5 + 1 + 2)


async def test_the_pause_that_the_other_side_names_is_kept() -> None:
    clock = HandClock()
    trouble = lambda: Transient("reading", "it", "busy", retry_after_s=30)  # noqa: E731
    assert await Patience(clock)(failing(trouble, 2)) == "done"
    assert clock.passed == pytest.approx(60)


async def test_trouble_that_stays_is_told_and_what_a_person_must_mend_at_once() -> None:
    clock = HandClock()
    with pytest.raises(Transient, match="busy"):
        await Patience(clock, 20)(failing(lambda: Transient("reading", "it", "busy"), 10**6))
    assert 8 < clock.passed <= 20
    before = clock.passed
    with pytest.raises(Fatal):
        await Patience(clock)(failing(lambda: Fatal("reading", "it", "gone"), 1))
    assert clock.passed == before

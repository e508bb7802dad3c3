"""The streams of one partition: changes and marks of the left, pages of ledgers of the right, and losses."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from app.detector.model import (
    ABSENT,
    SECOND,
    Activation,
    EntryAsOf,
    EntryEvent,
    EntryRead,
    Gap,
    Input,
    Mark,
    RowChange,
    Side,
)
from app.simulation.histories import FIRST_LEDGER, LEDGER_US, START, Commit, KeyLife, close_of
from app.simulation.manner import RULE_ID, Delay, Facts, Manner, Told, plan_stalls
from app.simulation.sweeping import tell_sweep, walk_back

MARK_US = SECOND
_SWEEP_AFTER_LOSS_S = (15, 40)
_SWEEP_LASTS_US = 40 * SECOND
_LOOKS_BACK_AFTER_US = (200_000, 3 * SECOND)
_SWEEPER_RESTARTS_AFTER_US = 10 * SECOND


class Telling:
    """What arrives of a partition, in order of arrival: `told`. `lost`: what never arrives, by side, as (key,
    time); `notices`: [from, until) of a side of which it is told that something was lost, not of which key;
    `losses`: when a loss of any kind could be known, which is what `sweeps` answer."""

    def __init__(self, r: random.Random, facts: Facts, manner: Manner) -> None:
        self.r, self.facts, self.manner = r, facts, manner
        self.lost: dict[Side, list[tuple[str, int]]] = {Side.LEFT: [], Side.RIGHT: []}
        self.notices: list[tuple[Side, int, int]] = []
        self.losses: list[int] = []
        self.begins = START + (manner.streams_from_s or 0) * SECOND
        left = plan_stalls(r, manner.left_stalls, facts.seconds)
        right = left if manner.stalls_together else plan_stalls(r, manner.right_stalls, facts.seconds)
        told = self._arrive(self._left(), Delay(r, manner.left_delay_s, left))
        told = self._replay(told)
        events = self._arrive(self._right(), Delay(r, manner.right_delay_s, right))
        told += events
        if manner.before_images:
            told += self._look_back(events)
        self.read_by: list[tuple[int, int]] = []
        told += self._change_rule()
        self.sweeps = self._plan_sweeps()
        for at in self.sweeps:
            told += tell_sweep(r, facts, manner, at)
        told.sort(key=_arrival)
        self.told = told

    @staticmethod
    def closes(life: KeyLife) -> list[int]:
        """When the entry of a key changed."""
        return [close_of(change.ledger) for change in life.changes]

    def _arrive(self, items: Iterable[tuple[int, Input]], delay: Delay) -> list[Told]:
        delay.wander_us = int(self.manner.wander_s * SECOND)
        told: list[Told] = []
        rate, random_, of = self.manner.duplicates, self.r.random, delay.of
        for at, item in items:
            arrival = of(at)
            told.append(Told(arrival, item))
            if rate and random_() < rate:
                told.append(Told(arrival, item))
        return told

    def _replay(self, told: list[Told]) -> list[Told]:
        """The source begins again from an older position, several times: what it told comes a second time."""
        for _ in range(self.manner.replays):
            at = self.r.randrange(len(told) // 4, len(told))
            first = max(0, at - self.r.randrange(200, 2000))
            arrival = told[at - 1].arrival
            again = [Told(arrival, item) for _, item in told[first:at]]
            told[at:at] = again
        return told

    # ---- left

    def _left(self) -> Iterator[tuple[int, Input]]:
        facts, manner = self.facts, self.manner
        offset, loss, epochs = manner.left_offset_us, manner.left_loss, self._plan_epochs()
        commits = iter([(c.at, n, c) for n, c in enumerate(facts.commits) if c.at >= self.begins])
        at, number, commit = next(commits, (facts.end * 2, 0, None))
        watermark, is_lost, epoch = self.begins - 1 + offset, False, 0
        loses_until = START + manner.losses_until_s * SECOND
        for mark_at in range(self.begins, facts.end + MARK_US, MARK_US):
            while at < mark_at and commit is not None:
                if epochs and epochs[0][0] <= at < epochs[0][1]:
                    self.lost[Side.LEFT].append((commit.key, at))
                elif loss and at < loses_until and self.r.random() < loss:
                    is_lost = True
                    self.lost[Side.LEFT].append((commit.key, at))
                else:
                    if is_lost:
                        yield from self._tell_lost(at, watermark)
                        is_lost = False
                    yield at, self._change(number - 2_000_000 * epoch, commit)
                at, number, commit = next(commits, (facts.end * 2, 0, None))
            if is_lost:
                yield from self._tell_lost(mark_at, watermark)
                is_lost = False
            if epochs and epochs[0][0] <= mark_at:
                if mark_at < epochs[0][1]:
                    continue
                epochs.pop(0)
                epoch += 1
                self.losses.append(mark_at)
                self.notices.append((Side.LEFT, watermark + 1 - offset, mark_at))
                yield mark_at, Gap(Side.LEFT, None, watermark + 1, mark_at + offset, "slot")
            watermark = mark_at - 1 + offset
            yield mark_at, Mark(Side.LEFT, None, watermark, f"epoch-{epoch}" if manner.epochs else None)

    def _plan_epochs(self) -> list[tuple[int, int]]:
        """When the history of the left breaks off, and goes on with positions of its own."""
        found, count = [], self.manner.epochs
        for number in range(count):
            at = START + (2 * number + 1) * self.facts.seconds // (2 * count) * SECOND
            found.append((at, at + self.r.randrange(5, 60) * SECOND))
        return found

    def _tell_lost(self, at: int, watermark: int) -> Iterator[tuple[int, Input]]:
        """A jump of offsets: what stands after it tells that something stood before it."""
        if self.manner.losses_are_told:
            self.losses.append(at)
            self.notices.append((Side.LEFT, watermark + 1 - self.manner.left_offset_us, at))
            until = at + self.manner.left_offset_us
            yield at, Gap(Side.LEFT, None, watermark + 1, until, "offsets")

    def _change(self, number: int, commit: Commit) -> RowChange:
        at, key, row, before, after, linked, _ = commit
        known = before if self.manner.full_images or before == ABSENT else None
        tx = self.facts.transaction(commit) & 0xFFFFFFFF
        lsn = 20_000_000 + number
        return RowChange(RULE_ID, key, row, lsn, at + self.manner.left_offset_us, known, after, tx, linked)

    # ---- right

    def _right(self) -> Iterator[tuple[int, Input]]:
        manner, r, last = self.manner, self.r, self.facts.last_ledger
        events = self._events_by_ledger()
        first = FIRST_LEDGER - (-(self.begins - START) // LEDGER_US)
        gaps = self._plan_gaps()
        while first <= last:
            if gaps and gaps[0][0] <= first:
                start, until = gaps.pop(0)
                self._lose_page(events, first, until)
                at = close_of(until) + r.randrange(1, 20) * SECOND
                self._note_lost_ledgers(at, first, until)
                yield at, Gap(Side.RIGHT, None, None, None, "retention", start, until)
                first = until + 1
                continue
            until = (
                min(last, first + r.randrange(0, manner.page_ledgers)) if manner.page_ledgers > 1 else first
            )
            read = until + (r.randrange(0, manner.read_ahead + 1) if manner.read_ahead else 0)
            at = close_of(read)
            if manner.right_loss and first > FIRST_LEDGER + 10 and r.random() < manner.right_loss:
                self._lose_page(events, first, until)
                if manner.losses_are_told:
                    self._note_lost_ledgers(at, first, until)
                    first = until + 1
                    continue
            else:
                for item in self._page(events, (first, until), read):
                    if not self._drops(item, at):
                        yield at, item
            closed = close_of(until) + manner.right_offset_us
            yield at, Mark(Side.RIGHT, None, closed, None, until, first)
            first = until + 1

    def _look_back(self, told: list[Told]) -> Iterator[Told]:
        """What each entry that was read was before the event that named it, told a moment later."""
        offset = self.manner.right_offset_us
        for arrival, item in told:
            if isinstance(item, EntryRead) and item.event_id is not None:
                ledger = int(item.event_id.partition("-")[0]) >> 32
                late = arrival + self.r.randrange(*_LOOKS_BACK_AFTER_US)
                entry = EntryAsOf(*item[:7])
                history_from = close_of(ledger) + offset - 1
                yield from walk_back(self.facts, self.manner, history_from, [Told(late, entry)])[:-1]

    def _drops(self, item: Input, at: int) -> bool:
        """Is a record of the right lost on its way, and nothing tells of it?"""
        drops, until = self.manner.right_drops, START + self.manner.losses_until_s * SECOND
        if (
            not drops
            or at >= until
            or not isinstance(item, EntryEvent | EntryRead)
            or self.r.random() >= drops
        ):
            return False
        ledger = item.ledger if isinstance(item, EntryEvent) else item.modified_ledger
        self.lost[Side.RIGHT].append((item.key, close_of(ledger)))
        return True

    def _events_by_ledger(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for life in self.facts.lives:
            for change in life.changes:
                if change.is_silent:
                    self.lost[Side.RIGHT].append((life.key, close_of(change.ledger)))
                else:
                    found.setdefault(change.ledger, []).append(life.key)
        return found

    def _plan_gaps(self) -> list[tuple[int, int]]:
        found, count = [], self.manner.poller_gaps
        for number in range(count):
            first = FIRST_LEDGER + (2 * number + 1) * self.facts.seconds * SECOND // LEDGER_US // (2 * count)
            found.append((first, first + self.r.randrange(2, 60)))
        return found

    def _lose_page(self, events: dict[int, list[str]], first: int, until: int) -> None:
        for ledger in range(first, until + 1):
            self.lost[Side.RIGHT] += [(key, close_of(ledger)) for key in events.get(ledger, ())]

    def _note_lost_ledgers(self, at: int, first: int, until: int) -> None:
        """The marks around them say when they closed."""
        self.losses.append(at)
        self.notices.append((Side.RIGHT, close_of(first - 1) + 1, close_of(until) + 1))

    def _page(self, events: dict[int, list[str]], span: tuple[int, int], read: int) -> Iterator[Input]:
        """The events of some ledgers, then a read of every entry that they name."""
        offset = self.manner.right_offset_us
        named: dict[str, tuple[int, str]] = {}
        for ledger in range(span[0], span[1] + 1):
            for n, key in enumerate(events.get(ledger, ())):
                event_id = f"{ledger << 32:019d}-{n:010d}"
                named[key] = ledger, event_id
                yield EntryEvent(RULE_ID, key, ledger, close_of(ledger) + offset, f"{ledger:064x}", event_id)
        for key, (ledger, event_id) in named.items():
            value, modified = self.facts.entry_at(key, read)
            if value == ABSENT:
                modified = ledger
            at = close_of(modified) + offset
            yield EntryRead(RULE_ID, key, value, modified, at, read, close_of(read) + offset, event_id)

    # ---- versions of the rule

    def _change_rule(self) -> Iterator[Told]:
        """Activations, written ten seconds to a minute ahead of their time; one in three arrives late,
        perhaps when that has been judged. A sweep is asked for when one arrives."""
        count, seconds = self.manner.rule_changes, self.facts.seconds
        for number in range(count):
            second = (2 * number + 1) * seconds // (2 * count) + self.r.randrange(0, seconds // 12)
            version, written = number + 2, START + second * SECOND
            effective = written + self.r.randrange(10 * SECOND, 60 * SECOND)
            late = self.r.randrange(20, 120) if self.r.random() < 1 / 3 else 1
            arrival = written + late * SECOND
            self.losses.append(arrival)
            self.read_by.append((written + _SWEEPER_RESTARTS_AFTER_US, version))
            yield Told(arrival, Activation(RULE_ID, version, f"digest of {version}", effective, str(version)))

    def version_read_at(self, at: int) -> int:
        """Of which version of the rule the sweeper had the file."""
        return max((version for since, version in self.read_by if since <= at), default=1)

    # ---- sweeps

    def _plan_sweeps(self) -> list[int]:
        """Those of the manner, and one soon after each loss that is known; never two at once."""
        planned = [START + second * SECOND for second in self.manner.sweeps_s]
        low, high = _SWEEP_AFTER_LOSS_S
        planned += [at + self.r.randrange(low, high) * SECOND for at in sorted(self.losses)]
        found: list[int] = []
        for at in sorted(planned):
            if not found or at > found[-1] + _SWEEP_LASTS_US:
                found.append(at)
            elif found[-1] + _SWEEP_LASTS_US not in found:
                found.append(found[-1] + _SWEEP_LASTS_US)
        return [at for at in found if at < self.facts.end - _SWEEP_LASTS_US]


def _arrival(told: Told) -> int:
    return told.arrival

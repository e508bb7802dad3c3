"""How a life is told to the detector: streams with marks, delays and losses, seeds, sweeps, gaps.

Every stream keeps its own order; what stands between them is decided by when things arrive.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from app.detector.model import (
    ABSENT,
    SECOND,
    EntryAsOf,
    EntryEvent,
    EntryRead,
    Gap,
    Input,
    Mark,
    RowAsOf,
    RowChange,
    Seeded,
    Side,
    Snapshot,
    Value,
)
from tests.simulation.life import FIRST_LEDGER, LEDGER_US, START, Commit, Life, close_of

RULE_ID = "sim"


class Told(NamedTuple):
    """An input and when it arrives; `stream` has an order of its own."""

    arrival: int
    stream: str
    order: int
    input: Input


@dataclass(frozen=True, slots=True)
class Manner:
    """How the life is told. Times are µs after `START`; `losses` is the rate of lost changes and pages."""

    seconds: int = 900
    stalls: bool = False
    delay_us: int = 2 * SECOND
    duplicates: float = 0.0
    offset_us: int = 0
    full_images: bool = True
    page_ledgers: int = 1
    read_ahead: int = 0
    streams_from_us: int = 0
    seed_at_us: int | None = None
    sweeps_at_us: tuple[int, ...] = ()
    page_us: int = SECOND
    losses: float = 0.0
    losses_until_us: int = 1 << 60
    are_losses_told: bool = True
    can_enumerate_right: bool = True


class Feed:
    """The records of a life, in order of arrival: `inputs()`. `lost`: when input was lost, by side."""

    def __init__(self, r: random.Random, life: Life, manner: Manner) -> None:
        self.r, self.life, self.manner = r, life, manner
        self.end = START + manner.seconds * SECOND
        self.lost: dict[Side, list[int]] = {Side.LEFT: [], Side.RIGHT: []}
        self.told = [*self._left(), *self._right(), *self._sweeps()]

    def inputs(self) -> list[Input]:
        """Everything by arrival; equal arrivals by stream."""
        return [
            told.input for told in sorted(self.told, key=lambda told: (told.arrival, told.stream, told.order))
        ]

    def shuffled(self, r: random.Random) -> list[Input]:
        """Another arrival: each stream in its own order, interleaved at random."""
        streams: dict[str, list[Told]] = {}
        for told in sorted(self.told, key=lambda told: (told.arrival, told.order)):
            streams.setdefault(told.stream, []).append(told)
        found: list[Input] = []
        queues = [iter(stream) for stream in streams.values()]
        while queues:
            queue = r.choice(queues)
            for _ in range(r.choice((1, 3, 50, 400))):
                told = next(queue, None)
                if told is None:
                    queues.remove(queue)
                    break
                found.append(told.input)
        return found

    # ---- streams

    def _arrivals(self, stream: str, told: Iterator[tuple[int, Input]]) -> Iterator[Told]:
        r, manner = self.r, self.manner
        stall = (0, 0)
        if manner.stalls:
            begins = START + r.randrange(manner.seconds) * SECOND
            stall = (begins, begins + r.randrange(20, 250) * SECOND)
        delay = r.randrange(50_000, max(manner.delay_us, 50_001))
        arrival = 0
        for order, (at, item) in enumerate(told):
            late = stall[1] if stall[0] <= at < stall[1] else at
            arrival = max(arrival, late + delay)
            yield Told(arrival, stream, order * 2, item)
            if r.random() < manner.duplicates and not isinstance(item, Mark):
                yield Told(arrival, stream, order * 2 + 1, item)

    def _left(self) -> Iterator[Told]:
        return self._arrivals("left", self._left_inputs())

    def _left_inputs(self) -> Iterator[tuple[int, Input]]:
        manner, begins = self.manner, START + self.manner.streams_from_us
        commits = iter([*(c for c in self.life.commits if c.at >= begins), None])
        commit, lost = next(commits), False
        last_mark = begins - 1
        for at in range(begins, self.end + SECOND, SECOND):
            while commit is not None and commit.at < at:
                told = commit.at + manner.offset_us
                if self._is_lost(commit.at):
                    lost = True
                    self.lost[Side.LEFT].append(commit.at)
                else:
                    if lost and manner.are_losses_told:
                        yield (
                            commit.at,
                            Gap(Side.LEFT, None, last_mark + 1 + manner.offset_us, told, "offsets"),
                        )
                        lost = False
                    yield commit.at, self._change(commit)
                commit = next(commits)
            if lost and manner.are_losses_told:
                yield (
                    at,
                    Gap(Side.LEFT, None, last_mark + 1 + manner.offset_us, at + manner.offset_us, "offsets"),
                )
                lost = False
            last_mark = at - 1
            yield at, Mark(Side.LEFT, None, at - 1 + manner.offset_us)

    def _is_lost(self, at: int) -> bool:
        return self.r.random() < self.manner.losses and at < START + self.manner.losses_until_us

    def _change(self, commit: Commit) -> RowChange:
        before = commit.before if self.manner.full_images or commit.before == ABSENT else None
        at, tx = commit.at + self.manner.offset_us, commit.tx & 0xFFFFFFFF
        return RowChange(
            RULE_ID, commit.key, commit.row, commit.lsn, at, before, commit.after, tx, commit.linked
        )

    def _right(self) -> Iterator[Told]:
        return self._arrivals("right", self._right_inputs())

    def _right_inputs(self) -> Iterator[tuple[int, Input]]:
        manner, r = self.manner, self.r
        last = FIRST_LEDGER + manner.seconds * SECOND // LEDGER_US
        first = FIRST_LEDGER - (-manner.streams_from_us // LEDGER_US)
        while first <= last:
            until = min(last, first + r.randrange(0, manner.page_ledgers))
            read = until + r.randrange(0, manner.read_ahead + 1)
            page = list(self._page(first, until, read))
            mark = Mark(Side.RIGHT, None, close_of(until), None, until, first)
            if first > FIRST_LEDGER + 10 and self._is_lost(close_of(first)):
                self.lost[Side.RIGHT].append(close_of(first))
            else:
                for item in page:
                    yield close_of(read), item
                yield close_of(read), mark
            first = until + 1

    def _page(self, first: int, until: int, read: int) -> Iterator[Input]:
        named: dict[str, str] = {}
        newest: dict[str, int] = {}
        for change in self.life.changes:
            if first <= change.ledger <= until and not change.is_silent:
                for n in range(self.r.choice((1, 1, 2))):
                    event_id = f"{change.ledger:019d}-{n:010d}"
                    named[change.key], newest[change.key] = event_id, change.ledger
                    tx = f"{change.ledger:064x}"
                    yield EntryEvent(
                        RULE_ID, change.key, change.ledger, close_of(change.ledger), tx, event_id
                    )
        for key, event_id in named.items():
            value, modified = self._entry_at(key, read)
            if value == ABSENT:
                modified = newest[key]
            at = close_of(modified)
            yield EntryRead(RULE_ID, key, value, modified, at, read, close_of(read), event_id)

    def _entry_at(self, key: str, ledger: int) -> tuple[Value, int]:
        """(value, ledger of its last modification, -1 where it never was)."""
        value: Value = ABSENT
        modified = -1
        for change in self.life.changes:
            if change.key == key and change.ledger <= ledger:
                value, modified = change.value, change.ledger
        return value, modified

    # ---- sweeps

    def _sweeps(self) -> Iterator[Told]:
        starts = [
            *([] if self.manner.seed_at_us is None else [self.manner.seed_at_us]),
            *self.manner.sweeps_at_us,
        ]
        for number, start in enumerate(sorted(starts)):
            yield from self._sweep(number, START + start)

    def _sweep(self, number: int, start: int) -> Iterator[Told]:
        """Pages of single keys, the left ones first, each at its own time; a read takes a while to arrive."""
        r, at, order = self.r, start, 0
        late = r.randrange(50_000, 20 * SECOND)
        keys = self.life.keys
        lefts, rights = r.sample(keys, len(keys)), r.sample(keys, len(keys))
        stream = f"sweep-{number}"
        first, known = at, set()
        for key in lefts:
            read_at = at + r.randrange(0, 50_000)
            for read in self._read_rows(key, at, read_at):
                known.add(key)
                yield Told(read_at + late, stream, (order := order + 1), read)
            if (
                key not in known
                and self._entry_at(key, FIRST_LEDGER + (at - START) // LEDGER_US)[0] != ABSENT
            ):
                read = RowAsOf(
                    RULE_ID, key, None, ABSENT, self._snapshot(at), read_at + self.manner.offset_us
                )
                yield Told(read_at + late, stream, (order := order + 1), read)
            at += self.manner.page_us
        through = at + self.manner.offset_us
        seeded = Seeded(RULE_ID, Side.LEFT, first + self.manner.offset_us, through)
        yield Told(at + late, stream, (order := order + 1), seeded)
        first = close_of(FIRST_LEDGER + (at - START) // LEDGER_US)
        for key in rights:
            if key in known or self.manner.can_enumerate_right:
                ledger = FIRST_LEDGER + (at - START) // LEDGER_US
                value, modified = self._entry_at(key, ledger)
                is_told = value != ABSENT and r.random() < 0.7
                modified_at = close_of(modified) if is_told else None
                modified = modified if value != ABSENT else -1
                read_at = close_of(ledger)
                read = EntryAsOf(RULE_ID, key, value, modified, modified_at, ledger, read_at)
                if value != ABSENT or key in known:
                    yield Told(at + late, stream, (order := order + 1), read)
            at += self.manner.page_us
        if self.manner.can_enumerate_right:
            yield Told(at + late, stream, order + 1, Seeded(RULE_ID, Side.RIGHT, first, at))

    def _snapshot(self, at: int) -> Snapshot:
        """What a snapshot taken then says: what had committed before is visible, whatever its id."""
        commits = self.life.commits
        running = frozenset(c.tx for c in commits if c.started <= at <= c.at)
        xmax = max((c.tx for c in commits if c.started <= at), default=3) + 1
        return Snapshot(min(running, default=xmax), xmax, running)

    def _read_rows(self, key: str, snapshot_at: int, read_at: int) -> Iterator[RowAsOf]:
        """The rows under a key, at a moment of the snapshot's transaction."""
        snapshot = self._snapshot(snapshot_at)
        rows: dict[int, Value] = {}
        for commit in self.life.commits:
            if commit.key == key and commit.at < snapshot_at:
                rows[commit.row] = commit.after
        for row, value in rows.items():
            if value != ABSENT:
                yield RowAsOf(RULE_ID, key, row, value, snapshot, read_at + self.manner.offset_us)

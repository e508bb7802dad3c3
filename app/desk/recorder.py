"""The recorder: what the topics tell is logged, stored, and only then acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.clock import Clock, sleep_unless
from app.desk.ports import Feed, Store
from app.desk.recorder_metrics import RecorderMetrics
from app.desk.recorder_records import bury, read_record
from app.desk.recorder_telling import Teller
from app.errors import Fatal, Poison, Transient
from app.ports import Record
from app.recording import Kept, Kind, Place, Position, latest_rows
from app.telemetry import get_logger

log = get_logger(__name__)

_POLL_S: Final = 0.5
_PAGE: Final = 500
_LOOK_EVERY_S: Final = 2.0
_NOT_BEGUN: Final = "has not begun"
_WAITED_OUT: Final = (Transient, Fatal)
"""A store that a person must mend is waited for as well: nobody else may stand still because of it."""


@dataclass(frozen=True, slots=True)
class RecorderOptions:
    """Pauses while the database or the broker is away: doubled from the first to the most."""

    topic_prefix: str = ""
    first_pause_s: float = 0.25
    most_pause_s: float = 5.0


@dataclass(frozen=True, slots=True)
class RecorderParts:
    """What a recorder works with."""

    feed: Feed
    store: Store
    teller: Teller
    metrics: RecorderMetrics
    clock: Clock


class Recorder:
    """Logs first, then stores, then commits. A crash at any point repeats a step, which is harmless: rows are
    known by their derived ids, and how far was logged is stored with them.

    Positions are kept twice, in the store with the rows and in Kafka; it reads on from the earlier one.
    """

    def __init__(self, parts: RecorderParts, options: RecorderOptions) -> None:
        self._feed, self._store, self._clock = parts.feed, parts.store, parts.clock
        self._teller, self._metrics, self._options = parts.teller, parts.metrics, options
        self._generation = 0
        self._known: set[Place] = set()
        self._told: dict[Place, int] = {}
        self._trouble: str | None = _NOT_BEGUN
        self._in_hand = 0
        self._looked_s = 0.0

    @property
    def why_not_ready(self) -> str | None:
        """None while everything that came is recorded."""
        if self._trouble is not None:
            return self._trouble
        return f"{self._in_hand} records are not stored yet" if self._in_hand else None

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; the batch in hand is finished first, unless the database is away: then it is
        read again by whoever comes next."""
        pause_s = self._options.first_pause_s
        while not stop.is_set():
            try:
                await self._step(stop)
                pause_s = self._options.first_pause_s
            except _WAITED_OUT as error:
                self._note(error)
                await sleep_unless(stop, pause_s, self._clock)
                pause_s = min(pause_s * 2, self._options.most_pause_s)

    async def _step(self, stop: asyncio.Event) -> None:
        """One batch. Raises `Transient` where nothing was taken."""
        await self._forget_places()
        if self._feed.held - self._known:
            await self._try_to_learn()
        records = await self._feed.take(_POLL_S)
        if records:
            await self._keep(records, stop)
        elif self._feed.held <= self._known:
            self._trouble = None
            await self._look_for_rebuild()

    async def _look_for_rebuild(self) -> None:
        """Another recorder may rebuild the store while nothing comes in here."""
        now = self._clock.monotonic_s()
        if now - self._looked_s >= _LOOK_EVERY_S:
            self._looked_s = now
            if (await self._store.read_positions()).generation != self._generation:
                self._read_again()

    def _read_again(self) -> None:
        log.info("The store was rebuilt: reading again", event_name="recorder_rewound")
        self._known.clear()

    # ---- where partitions stand

    async def _forget_places(self) -> None:
        """What another recorder reads now may have moved by the time it comes back."""
        held = self._feed.held
        self._known &= held
        self._told = {place: offset for place, offset in self._told.items() if place in held}
        for place in held - self._told.keys():
            self._told[place] = await self._feed.committed(place) or 0

    async def _try_to_learn(self) -> None:
        """Mismatches are logged even while the database is away, from where Kafka says; nothing is stored
        before its positions are known."""
        try:
            await self._learn()
        except _WAITED_OUT as error:
            self._note(error)

    async def _learn(self) -> frozenset[Place]:
        """Find where new partitions stand, and read on from there; the partitions that were new."""
        fresh = self._feed.held - self._known
        if not fresh:
            return frozenset()
        found = await self._store.read_positions()
        if not any(position.next for position in found.by_place.values()):
            await self._store_open(found.generation)
        starts: dict[Place, int] = {}
        for place in fresh:
            starts[place] = await self._start_of(place, found.by_place.get(place))
        self._feed.seek(starts)
        self._generation = found.generation
        self._known |= fresh
        return fresh

    async def _start_of(self, place: Place, kept: Position | None) -> int:
        """A partition of which Kafka has no offset is new to it, whatever the store says: a topic that was
        made anew must not be passed over."""
        committed = await self._feed.committed(place)
        start = 0 if kept is None or committed is None else min(kept.next, committed)
        if committed is None:
            await self._feed.commit({place: 0})
        elif kept is not None:
            self._told[place] = max(self._told.get(place, 0), kept.told)
        return start

    async def _store_open(self, generation: int) -> None:
        """Before the first record: what has been open for longer than the topic keeps its records."""
        page: list[Kept] = []
        async for record in self._feed.open_episodes():
            page += self._read(record)
            if len(page) >= _PAGE:
                await self._store_rows(page, {}, generation)
                page = []
        await self._store_rows(page, {}, generation)

    # ---- one batch

    async def _keep(self, records: Sequence[Record], stop: asyncio.Event) -> None:
        self._in_hand = len(records)
        self._metrics.take(len(records), min(record.timestamp for record in records))
        kept = [each for record in records for each in self._read(record)]
        self._tell(kept)
        ends = {Place(record.topic, record.partition): record.offset + 1 for record in records}
        pause_s = self._options.first_pause_s
        while True:
            try:
                is_stored = await self._store_batch(kept, ends)
                break
            except _WAITED_OUT as error:
                self._note(error)
                if stop.is_set():
                    return
                await sleep_unless(stop, pause_s, self._clock)
                pause_s = min(pause_s * 2, self._options.most_pause_s)
        if is_stored:
            await self._feed.commit(ends)
        self._in_hand = 0
        self._metrics.take(0, None)

    def _read(self, record: Record) -> list[Kept]:
        try:
            found = read_record(record, self._options.topic_prefix)
        except Poison as error:
            place = Place(record.topic, record.partition)
            return [self._bury(place, record.offset, record.timestamp, str(error.cause))]
        if isinstance(found, Kept):
            return [found]
        self._metrics.skipped.labels(found.cause).inc()
        return []

    def _bury(self, place: Place, offset: int, timestamp_ms: int, reason: str) -> Kept:
        self._metrics.refused.inc()
        log.error(
            "A record cannot be kept",
            event_name="record_refused",
            record=f"{place.topic}[{place.partition}]@{offset}",
            reason=reason,
        )
        return bury(place, offset, timestamp_ms, reason)

    def _tell(self, kept: Iterable[Kept]) -> None:
        """Whatever becomes of the store, and once."""
        for each in kept:
            if each.offset >= self._told.get(each.place, 0):
                self._teller.tell(each)
                self._told[each.place] = each.offset + 1

    async def _store_batch(self, kept: Sequence[Kept], ends: dict[Place, int]) -> bool:
        """False where it will be read again instead: another recorder has rebuilt the store, or the store had
        less of a partition than was read. What was read again is taken out of `ends`."""
        fresh = await self._learn()
        for place in fresh:
            ends.pop(place, None)
        kept = [each for each in kept if each.place in ends]
        began = self._clock.monotonic_s()
        positions = {place: Position(end, max(end, self._told.get(place, 0))) for place, end in ends.items()}
        is_stored = await self._store_rows(kept, positions, self._generation)
        if not is_stored:
            self._read_again()
            return False
        self._metrics.stored.observe(self._clock.monotonic_s() - began)
        for kind, rows in latest_rows(kept).items():
            self._metrics.records.labels(kind.value).inc(len(rows))
        if self._trouble is not None and self._feed.held <= self._known:
            self._trouble = None
        return True

    async def _store_rows(
        self, kept: Sequence[Kept], positions: Mapping[Place, Position], generation: int
    ) -> bool:
        """A row that the store refuses becomes a dead letter; the others are stored."""
        try:
            return await self._store.record(kept, positions, generation)
        except Poison as error:
            good = await self._find_good(kept, error, generation)
            return await self._store.record(good, positions, generation)

    async def _find_good(self, kept: Sequence[Kept], error: Poison, generation: int) -> list[Kept]:
        """What is left of a batch that was refused."""
        if len(kept) == 1:
            return self._replace(kept[0], error)
        good: list[Kept] = []
        middle = len(kept) // 2
        for half in (kept[:middle], kept[middle:]):
            try:
                await self._store.record(half, {}, generation)
            except Poison as found:
                good += await self._find_good(half, found, generation)
        return good

    def _replace(self, kept: Kept, error: Poison) -> list[Kept]:
        letter = self._bury(kept.place, kept.offset, kept.timestamp_ms, str(error.cause))
        return [] if kept.kind is Kind.DEAD_LETTERS else [letter]

    def _note(self, error: Transient | Fatal) -> None:
        if self._trouble in (None, _NOT_BEGUN):
            log.warning("The recorder waits", event_name="recorder_waiting", reason=str(error))
        self._trouble = str(error)

"""Keeps books beside the recorder: checks of runs that are over, what the store counts, how far it lags."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.clock import Clock, sleep_unless
from app.desk.ports import Feed, Store
from app.desk.recorder_counts import BOUNDS_S
from app.desk.recorder_metrics import RecorderMetrics
from app.desk.retention import Retention
from app.detector.model import SECOND
from app.errors import DriftwatchError
from app.recording import Place
from app.telemetry import get_logger

log = get_logger(__name__)

_REST: Final = 4
"""The least pause after a look is so many times as long as the look: counting must not keep a store busy."""


@dataclass(frozen=True, slots=True)
class BooksOptions:
    """`mismatches`, `status`: the topics' full names. `checks`: what a sweep of each rule checks.
    `retain_us`: how long what is over is kept; None: for ever."""

    mismatches: str
    status: str
    checks: Mapping[str, Sequence[str]]
    persistent_after_us: int = 3600 * SECOND
    retain_us: int | None = None
    every_s: float = 5.0


@dataclass(frozen=True, slots=True)
class BooksParts:
    """What it works with: the recorder's own."""

    feed: Feed
    store: Store
    metrics: RecorderMetrics
    clock: Clock


class Books:
    """One recorder keeps them for all: the one that holds the first partition of the status topic.

    A run is settled once every mismatch that was told before its end is recorded, by whichever recorder: its
    checks are what was open at its end.
    """

    def __init__(self, parts: BooksParts, options: BooksOptions) -> None:
        self._feed, self._store = parts.feed, parts.store
        self._metrics, self._clock, self._options = parts.metrics, parts.clock, options
        self._first = Place(options.status, 0)
        self._retention = Retention(parts.store, parts.metrics, parts.clock, options.retain_us)
        self.trouble: str | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Look again and again until told to stop; what is away is looked for again."""
        while not stop.is_set():
            began_s = self._clock.monotonic_s()
            await self.look()
            spent_s = self._clock.monotonic_s() - began_s
            await sleep_unless(stop, max(self._options.every_s, spent_s * _REST), self._clock)

    async def look(self) -> None:
        """One look at the topics' ends and the store."""
        try:
            await self._look()
        except DriftwatchError as error:
            if self.trouble is None:
                log.warning("The desk's books wait", event_name="books_waiting", reason=str(error))
            self.trouble = str(error)
            self._metrics.database_up.set(0)
            return
        self.trouble = None
        self._metrics.database_up.set(1)

    async def _look(self) -> None:
        recorded = (await self._store.read_positions()).by_place
        held = self._feed.held
        behind = dict.fromkeys(held, 0)
        for topic in sorted({place.topic for place in held}):
            for place, end in (await self._feed.ends(topic)).items():
                if place in held:
                    found = recorded.get(place)
                    behind[place] = max(0, end - (0 if found is None else found.next))
        self._metrics.show_lag(behind)
        if self._first not in held:
            self._metrics.counted.show(None)
            return
        await self._settle()
        before_us = self._clock.now_us() - self._options.persistent_after_us
        self._metrics.counted.show(await self._store.count(before_us, BOUNDS_S))
        await self._retention.look()

    async def _settle(self) -> None:
        """1. the run is over, and recorded as such. 2. every mismatch that its sweep waited for is in the
        topic by then: its ends are read now. 3. the positions in the store have passed them."""
        runs = await self._store.unsettled()
        if not runs:
            return
        ends = await self._feed.ends(self._options.mismatches)
        recorded = (await self._store.read_positions()).by_place
        if all(place in recorded and recorded[place].next >= end for place, end in ends.items()):
            for run in runs:  # one a transaction: with 50,000 open episodes each takes 0.4 s
                await self._store.settle([run], self._options.checks)

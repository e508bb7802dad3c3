"""The notifier as a process: takes transitions in, and tells every target at its own pace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from app.clock import Clock, sleep_unless
from app.desk.notifier.deciding import Decider
from app.desk.notifier.metrics import NotifierMetrics
from app.desk.notifier.ports import Feed, Outbox
from app.desk.notifier.telling import Teller
from app.errors import Transient
from app.notices import Transition
from app.telemetry import get_logger

log = get_logger(__name__)

T = TypeVar("T")
_POLL_S: Final = 0.25
_PAUSE_S: Final = 1.0
_LOOK_EVERY_S: Final = 1.0
_FORGET_EVERY_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What it is made of."""

    feed: Feed
    outbox: Outbox
    decider: Decider
    tellers: Sequence[Teller]


class Notifier:
    """Runs until `stop`: then it takes in nothing more, and what is under way is finished."""

    def __init__(self, parts: Parts, clock: Clock, metrics: NotifierMetrics) -> None:
        self._parts, self._clock, self._metrics = parts, clock, metrics
        self._is_reading = False
        self._looked_s = clock.monotonic_s()
        self._forgot_s: float | None = None

    @property
    def why_not_ready(self) -> str | None:
        """None once it reads; targets that do not answer are no reason."""
        return None if self._is_reading else "joining the readers of drift.mismatches"

    async def run(self, stop: asyncio.Event) -> None:
        """Raises the `Fatal` that a part of it failed with."""
        running = [asyncio.create_task(teller.run(stop)) for teller in self._parts.tellers]
        running.append(asyncio.create_task(self._take_in(stop)))
        await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
        stop.set()
        await asyncio.wait(running)
        for task in running:
            task.result()

    async def _take_in(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            arrived = await self._persist(stop, lambda: self._parts.feed.take(_POLL_S))
            self._is_reading = self._is_reading or arrived is not None
            if arrived:
                await self._keep(stop, arrived)
            elif arrived is not None:
                await self._look_around(stop)

    async def _keep(self, stop: asyncio.Event, arrived: Sequence[Transition]) -> None:
        """The order is what loses nothing: the rows are committed, and only then the offset."""
        outbox, decide = self._parts.outbox, self._parts.decider.decide
        new = await self._persist(stop, lambda: outbox.admit(arrived, decide))
        if new is not None:
            await self._parts.feed.done()
            self._metrics.transitions.labels("new").inc(new)
            self._metrics.transitions.labels("again").inc(len(arrived) - new)

    async def _look_around(self, stop: asyncio.Event) -> None:
        """With nothing left to read, so that a key is never called calm while its flaps wait to be read."""
        now_s = self._clock.monotonic_s()
        if now_s - self._looked_s < _LOOK_EVERY_S:
            return
        self._looked_s = now_s
        outbox, decide = self._parts.outbox, self._parts.decider.decide_calm
        await self._persist(stop, lambda: outbox.calm(decide))
        if self._forgot_s is None or now_s - self._forgot_s >= _FORGET_EVERY_S:
            self._forgot_s = now_s
            await self._persist(stop, outbox.forget)

    async def _persist(self, stop: asyncio.Event, attempt: Callable[[], Awaitable[T]]) -> T | None:
        """The attempt's answer, however long its trouble lasts; None when told to stop before."""
        while not stop.is_set():
            try:
                return await attempt()
            except Transient as error:
                log.warning("The notifier waits", event_name="notifier_trouble", reason=str(error))
                await sleep_unless(stop, error.retry_after_s or _PAUSE_S, self._clock)
        return None

"""The canary: drift that we plant ourselves, again and again, to see that drift is seen in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from app.clock import Clock, sleep_unless
from app.detector.values import format_time
from app.errors import Transient
from app.rules.canonical import microseconds
from app.telemetry import get_logger

log = get_logger(__name__)

RULE: Final = "canary"
OUTCOMES: Final = ("seen", "missed", "wrong", "not_planted")
_SECOND: Final = 1_000_000
_PAUSE_S: Final = 1.0


class Planting(Protocol):
    """The table in which rows are planted; a row is committed when a call returns. Raises `Transient`."""

    async def plant(self, name: str) -> None: ...
    async def heal(self, name: str) -> None: ...
    async def heal_all(self) -> None: ...


class Told(Protocol):
    """A transition that was told."""

    @property
    def rule(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def value(self) -> Mapping[str, Any]: ...


class Telling(Protocol):
    """What is told from now on."""

    def __aiter__(self) -> AsyncIterator[Told]: ...


@dataclass(frozen=True, slots=True)
class CanaryOptions:
    """A round each `every_s`; a transition that takes longer than `within_s` is missed. `clocks_us`: how far
    the database's clock may be from ours before its times are called wrong."""

    every_s: float = 60.0
    within_s: float = 60.0
    clocks_us: int = 5 * _SECOND


class CanaryMetrics:
    """All `driftwatch_canary_*`."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.rounds = Counter(
            "driftwatch_canary_rounds",
            "Rounds, by what became of them: seen, missed, told with another time, or not planted",
            ["outcome"],
            registry=registry,
        )
        for outcome in OUTCOMES:
            self.rounds.labels(outcome)
        self.delay = Histogram(
            "driftwatch_canary_delay_seconds",
            "From the commit of a planted row, or of its removal, to the event that tells it",
            ["transition"],
            buckets=(1, 2, 3, 4, 5, 7.5, 10, 15, 20, 30, 60),
            registry=registry,
        )
        self.last_seen = Gauge(
            "driftwatch_canary_last_seen_timestamp_seconds", "The last round that was seen", registry=registry
        )


class CanaryRounds:
    """Plants, waits until it is told, heals, waits until that is told. What was planted is healed however a
    round ends; what could not be (no database, a canary that was killed) before the next one."""

    def __init__(
        self,
        planting: Planting,
        telling: Telling,
        clock: Clock,
        metrics: CanaryMetrics,
        options: CanaryOptions,
    ) -> None:
        self._planting, self._telling, self._clock = planting, telling, clock
        self._metrics, self._options = metrics, options
        self._seen: dict[tuple[str, str], asyncio.Future[Told]] = {}
        self._has_begun = self._is_clean = False
        self._last = ""

    @property
    def why_not_ready(self) -> str | None:
        """None once the first round is over and as long as the last one was seen."""
        if not self._has_begun:
            return "the first round is not over"
        return None if self._last == "seen" else f"the last round was {self._last}"

    async def run(self, stop: asyncio.Event) -> None:
        """Rounds until told to stop."""
        listening = asyncio.create_task(self._listen())
        try:
            while not stop.is_set():
                began = self._clock.monotonic_s()
                if listening.done():
                    listening.result()
                if not self._is_clean:
                    await self._heal_all(stop)
                    continue
                await self._round(f"canary-{self._clock.now_us()}", stop)
                left_s = self._options.every_s - (self._clock.monotonic_s() - began)
                await sleep_unless(stop, max(left_s, 0.0), self._clock)
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    async def _heal_all(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._planting.heal_all()
                self._is_clean = True
                return
            except Transient as error:
                log.warning("The canary waits", event_name="canary_waiting", reason=str(error))
                await sleep_unless(stop, _PAUSE_S, self._clock)

    async def _listen(self) -> None:
        async for told in self._telling:
            if told.rule == RULE:
                waiting = self._seen.get((told.key, str(told.value["transition"])))
                if waiting is not None and not waiting.done():
                    waiting.set_result(told)

    async def _round(self, name: str, stop: asyncio.Event) -> None:
        try:
            outcome = await self._plant_and_heal(name, stop)
        except Transient as error:
            log.warning("The canary could not plant", event_name="canary_not_planted", reason=str(error))
            outcome, self._is_clean = "not_planted", False
        if outcome is None:
            return
        self._has_begun, self._last = True, outcome
        self._metrics.rounds.labels(outcome).inc()
        if outcome == "seen":
            self._metrics.last_seen.set(self._clock.now_us() / _SECOND)
        else:
            log.error("Planted drift was not told as it is", event_name=f"canary_{outcome}", key=name)

    async def _plant_and_heal(self, name: str, stop: asyncio.Event) -> str | None:
        """What became of the round; None where it was stopped."""
        opened, resolved = (self._expect(name, what) for what in ("opened", "resolved"))
        try:
            planted = self._clock.now_us()
            await self._planting.plant(name)
            found = await self._await(opened, stop, "opened")
            healed = self._clock.now_us()
            await self._planting.heal(name)
            if found is None:
                return None if stop.is_set() else "missed"
            ended = await self._await(resolved, stop, "resolved")
            if ended is None:
                return None if stop.is_set() else "missed"
            times = (found.value["since"], planted), (ended.value["until"], healed)
            if all(self._is_near(*each) for each in times):
                return "seen"
            told = ", ".join(f"{said} instead of {format_time(at)}" for said, at in times)
            log.error("It was told with other times", event_name="canary_times", key=name, times=told)
            return "wrong"
        finally:
            for what in ("opened", "resolved"):
                self._seen.pop((name, what), None)

    def _expect(self, name: str, what: str) -> asyncio.Future[Told]:
        waiting = self._seen[name, what] = asyncio.get_running_loop().create_future()
        return waiting

    async def _await(self, waiting: asyncio.Future[Told], stop: asyncio.Event, what: str) -> Told | None:
        began = self._clock.monotonic_s()
        stopped = asyncio.create_task(stop.wait())
        try:
            wanted: set[asyncio.Future[Any]] = {waiting, stopped}
            await asyncio.wait(wanted, timeout=self._options.within_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if not waiting.done():
            return None
        self._metrics.delay.labels(what).observe(self._clock.monotonic_s() - began)
        return waiting.result()

    def _is_near(self, said: object, at_us: int) -> bool:
        told = microseconds(str(said))
        return told is not None and abs(told - at_us) <= self._options.clocks_us

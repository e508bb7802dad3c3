"""One demo from start to score: the parts started in order, the load, and what was told of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from prometheus_client.parser import text_string_to_metric_families

from app.clock import Clock
from app.demo.load import Load
from app.demo.rows import Lane
from app.demo.scenario import Scenario
from app.demo.score import Period, Score, count_second_ids, percentile, score
from app.demo.steps import SECOND_US
from app.demo.system import CANARY, System
from app.errors import Fatal
from connectors.kafka.mismatches import Mismatch, open_feed
from schemas.topics import MISMATCHES

LANES = 6
SHOWN = 14
SETTLE_S = 45.0
"""How long after the load the last verdicts may take."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """`seconds` None: until `stop` is set."""

    seconds: float | None
    chaos: bool
    ledger_s: int


@dataclass(slots=True)
class Progress:
    """What a person sees while it runs."""

    phase: str = "starting"
    startup_s: float | None = None
    planted: int = 0
    written: int = 0
    ledgers: int = 0
    passed_s: float = 0.0
    verified_age_s: float | None = None
    latest: deque[Mismatch] = field(default_factory=lambda: deque(maxlen=SHOWN))
    opened_keys: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


class Demo:
    """Runs once. `progress` may be looked at all the while; `stop` ends the load early. `at_end` is called
    with everything told and nothing stopped yet."""

    def __init__(self, options: DemoOptions, scenario: Scenario, system: System, clock: Clock) -> None:
        self.options, self.scenario, self.system, self.clock = options, scenario, system, clock
        self.world = scenario.world
        self.at_end: Callable[[], Awaitable[None]] | None = None
        self.progress, self.stop = Progress(), asyncio.Event()
        self.events: list[Mismatch] = []
        self.ages_ms: list[float] = []
        self.duplicates = self.changed = 0

    @property
    def has_canary(self) -> bool:
        """Is drift of its own planted all the while?"""
        return self.system.options.canary

    async def run(self) -> dict[str, Any]:
        """Start, load, settle, score; leaves nothing running. Raises what a part failed with."""
        began = self.clock.monotonic_s()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.system)
            load = await stack.enter_async_context(self._world_running())
            await self.system.start_pipeline(self._say)
            feed = await stack.enter_async_context(open_feed(self.system.kafka, MISMATCHES, self.clock))
            tasks = [asyncio.create_task(self._collect(feed)), asyncio.create_task(self._measure(load))]
            try:
                self.progress.startup_s = self.clock.monotonic_s() - began
                return await self._play(load)
            finally:
                self.duplicates, self.changed = feed.duplicates, feed.changed
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _say(self, phase: str) -> None:
        self.progress.phase = phase

    @asynccontextmanager
    async def _world_running(self) -> AsyncIterator[Load]:
        """The world as it was before driftwatch came, and from then on as it changes."""
        self._say("making the world")
        connections = [await asyncpg.connect(self.system.database) for _ in range(LANES)]
        try:
            chain = self.system.chain
            lanes = [Lane(connection, self.clock, self.scenario.table) for connection in connections]
            load = Load(self.scenario, chain, lanes, self.clock, self.options.ledger_s)
            now_us = self.clock.now_us() // SECOND_US * SECOND_US
            await self.scenario.prepare(connections[0], chain, now_us)
            async with load.going_on():
                yield load
        finally:
            for connection in connections:
                with suppress(asyncpg.PostgresError, OSError):
                    await connection.close()

    # ---- while it runs

    async def _collect(self, feed: Any) -> None:
        async for mismatch in feed:
            if mismatch.rule == CANARY:
                continue
            self.events.append(mismatch)
            self.progress.latest.append(mismatch)
            self.progress.opened_keys.add(mismatch.key)

    async def _measure(self, load: Load) -> None:
        while True:
            await self.clock.sleep(1.0)
            age_s = verified_age_s(await self.system.supervisor.metrics("worker"))
            self.progress.verified_age_s = age_s
            if age_s is not None:
                self.ages_ms.append(age_s * 1000)
            self.progress.written = sum(lane.written for lane in load.lanes)
            self.progress.ledgers = load.ledgers
            self.progress.planted = sum(plant.planted_us is not None for plant in self.world.plants)

    async def _play(self, load: Load) -> dict[str, Any]:
        started = self.clock.now_us()
        self._say("running")
        chaos = asyncio.create_task(self._kill_parts()) if self.options.chaos else None
        try:
            await load.change(self.options.seconds or float("inf"), self.stop)
        finally:
            if chaos is not None:
                chaos.cancel()
                with suppress(asyncio.CancelledError):
                    await chaos
        ended = self.clock.now_us()
        written = sum(lane.written for lane in load.lanes)
        ages_ms = list(self.ages_ms)
        self._say("waiting for the last verdicts")
        verified_us = await self._settle(ended)
        self._say("scoring")
        if self.at_end is not None:
            await self.at_end()
        result = score(self.world, self.events, Period(started, min(ended, verified_us)))
        seconds = (ended - started) / SECOND_US
        canary = count_rounds(await self.system.supervisor.metrics(CANARY)) if self.has_canary else None
        load_figures = {"changes_per_s": round(written / seconds, 1), "canary": canary}
        return self._report(result, load_figures, ages_ms)

    async def _settle(self, ended_us: int) -> int:
        """Wait until every drift that began before `ended_us` has been judged; the time verified through."""
        window = self.world.shape.window
        wanted = ended_us + window.lag_us + window.decided_after_us
        deadline = self.clock.monotonic_s() + SETTLE_S
        verified_us = 0
        while self.clock.monotonic_s() < deadline:
            self.system.supervisor.raise_refusal()
            age_s = verified_age_s(await self.system.supervisor.metrics("worker"))
            if age_s is not None:
                verified_us = self.clock.now_us() - int(age_s * SECOND_US)
            if verified_us > wanted:
                await self.clock.sleep(1.0)
                return verified_us
            await self.clock.sleep(0.2)
        raise Fatal(
            "waiting for",
            "the last verdicts",
            f"not judged up to the load's end after {SETTLE_S:g} s",
            "the logs of the parts stand in the demo's folder (--folder)",
        )

    async def _kill_parts(self) -> None:
        """kill -9 of each part in the middle of the load, one after the other."""
        seconds = self.options.seconds or 60.0
        await self.clock.sleep(0.25 * seconds)
        for name in ("worker", "poller", "connect"):
            self.system.supervisor.kill(name)
            self.progress.notes.append(f"killed {name}")
            await self.clock.sleep(0.2 * seconds)

    def _report(self, result: Score, load: dict[str, Any], ages_ms: Sequence[float]) -> dict[str, Any]:
        return {
            "planted": result.planted,
            "found": result.found,
            "missed": len(result.missed),
            "false_alarms": len(result.false_alarms),
            "by_kind": result.by_kind,
            "harmless": result.harmless,
            "detection_p50_ms": percentile(result.detection_ms, 0.5),
            "detection_p99_ms": percentile(result.detection_ms, 0.99),
            "drift_to_event_p50_ms": percentile(result.drift_to_event_ms, 0.5),
            "events": len(self.events),
            "duplicates": self.duplicates,
            "second_ids": count_second_ids(self.events) + self.changed,
            "verified_through_age_ms": percentile(ages_ms, 0.5),
            "startup_s": round(self.progress.startup_s or 0.0, 1),
            "unplanned": result.unplanned,
            "unplanned_missed": len(result.unplanned_missed),
            self.world.noun: len(self.world.subjects),
            **load,
            "restarts": self.system.supervisor.restarts,
            "seed": self.world.shape.seed,
            "details": {
                "missed": result.missed[:SHOWN],
                "false_alarms": result.false_alarms[:SHOWN],
                "unplanned_missed": result.unplanned_missed[:SHOWN],
            },
        }


def verified_age_s(metrics: str) -> float | None:
    """The oldest verified-through age of any rule on a worker's `/metrics`; None where there is none."""
    ages = [
        sample.value
        for family in text_string_to_metric_families(metrics)
        if family.name == "driftwatch_verified_through_age_seconds"
        for sample in family.samples
    ]
    return max(ages, default=None)


def count_rounds(metrics: str) -> dict[str, int]:
    """A canary's rounds that are over, by its `/metrics`: all, those that were seen, and the others."""
    counts = {
        sample.labels["outcome"]: int(sample.value)
        for family in text_string_to_metric_families(metrics)
        if family.name == "driftwatch_canary_rounds"
        for sample in family.samples
        if sample.name.endswith("_total")
    }
    rounds, seen = sum(counts.values()), counts.get("seen", 0)
    return {"rounds": rounds, "seen": seen, "missed": rounds - seen}

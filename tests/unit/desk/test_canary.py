"""Planted drift: what is told in time and as it was is seen; everything else is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import build
from app.desk.canary import CanaryMetrics, CanaryOptions, CanaryRounds
from app.detector.values import format_time
from app.errors import Fatal, Transient
from app.settings import RULES_FOLDER
from tests.support.clocks import SleepingClock

START_US = 1_790_000_000_000_000


class SteppingClock(SleepingClock):
    """Ends the run once there was a round."""

    def __init__(self) -> None:
        super().__init__(START_US)
        self.world: World | None = None
        self.ends_after = 1

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if self.world is not None and self.world.rounds >= self.ends_after:
            self.world.stop.set()


@dataclass(frozen=True)
class Told:
    key: str
    value: Mapping[str, Any]
    rule: str = "canary"


@dataclass
class World:
    """A table whose rows are told at once, as `tell` says."""

    clock: SteppingClock
    tell: Callable[[str, Mapping[str, Any]], list[Told]]
    rows: set[str] = field(default_factory=lambda: {"left by another"})
    failures: int = 0
    failing: str = "plant"
    told: asyncio.Queue[Told] = field(default_factory=asyncio.Queue)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    rounds: int = 0

    async def plant(self, name: str) -> None:
        self.rounds += 1
        self._fail("plant", name)
        self.rows.add(name)
        self._say(name, {"transition": "opened", "since": format_time(self.clock.now)})

    async def heal(self, name: str) -> None:
        self._fail("heal", name)
        self.rows.discard(name)
        self._say(name, {"transition": "resolved", "until": format_time(self.clock.now)})

    async def heal_all(self) -> None:
        self.rows.clear()

    def _fail(self, what: str, name: str) -> None:
        if self.failures and what == self.failing:
            self.failures -= 1
            raise Transient("planting", name, "no database")

    def _say(self, name: str, value: Mapping[str, Any]) -> None:
        for told in self.tell(name, value):
            self.told.put_nowait(told)

    async def __aiter__(self) -> AsyncIterator[Told]:
        while True:
            yield await self.told.get()


async def run(
    tell: Callable[[str, Mapping[str, Any]], list[Told]], failures: int = 0
) -> tuple[World, CanaryMetrics, CanaryRounds]:
    """One round to its end."""
    clock, metrics = SteppingClock(), CanaryMetrics()
    world = World(clock, tell, failures=failures)
    clock.world = world
    rounds = CanaryRounds(world, world, clock, metrics, CanaryOptions(within_s=0.2))
    async with asyncio.timeout(5):
        await rounds.run(world.stop)
    return world, metrics, rounds


def count(metrics: CanaryMetrics, outcome: str) -> float:
    found = metrics.registry.get_sample_value("driftwatch_canary_rounds_total", {"outcome": outcome})
    assert found is not None
    return found


async def test_a_round_that_is_told_with_its_times_is_seen_and_leaves_nothing() -> None:
    world, metrics, _ = await run(lambda name, value: [Told("GA", value, "credit-line"), Told(name, value)])

    assert count(metrics, "seen") == 1
    assert world.rows == set(), "what another canary left is healed, too"
    assert world.rounds == 1


async def test_what_is_told_of_another_time_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    late = format_time(START_US + 9_000_000)

    def tell(name: str, value: Mapping[str, Any]) -> list[Told]:
        return [Told(name, {**value, "since": late})]

    world, metrics, rounds = await run(tell)

    assert count(metrics, "wrong") == 1
    assert rounds.why_not_ready == "the last round was wrong"
    assert late in capsys.readouterr().out
    assert world.rows == set()


async def test_what_is_not_told_is_missed_and_healed_all_the_same() -> None:
    world, metrics, rounds = await run(lambda name, value: [])

    assert count(metrics, "missed") == 1
    assert count(metrics, "seen") == 0
    assert rounds.why_not_ready == "the last round was missed"
    assert world.rows == set()


async def test_a_seen_round_makes_it_ready_and_is_measured() -> None:
    _, metrics, rounds = await run(lambda name, value: [Told(name, value)])

    assert count(metrics, "seen") == 1
    assert rounds.why_not_ready is None
    delays = metrics.registry.get_sample_value(
        "driftwatch_canary_delay_seconds_count", {"transition": "resolved"}
    )
    assert delays == 1


async def test_a_database_that_is_away_is_no_miss() -> None:
    _, metrics, rounds = await run(lambda name, value: [Told(name, value)], failures=1)

    assert count(metrics, "not_planted") == 1
    assert rounds.why_not_ready == "the last round was not_planted"


async def test_a_row_that_could_not_be_healed_is_healed_before_the_next_round() -> None:
    clock, metrics = SteppingClock(), CanaryMetrics()
    world = World(clock, lambda name, value: [Told(name, value)], failures=1, failing="heal")
    rounds = CanaryRounds(world, world, clock, metrics, CanaryOptions(within_s=0.2))
    clock.world = world
    clock.ends_after = 2
    async with asyncio.timeout(5):
        await rounds.run(world.stop)

    assert (count(metrics, "not_planted"), count(metrics, "seen")) == (1, 1)
    assert world.rows == set()


def test_the_table_can_be_made_by_somebody_else() -> None:
    printed = CliRunner().invoke(build(), ["canary", "--sql"])

    assert printed.exit_code == 0
    assert "CREATE TABLE IF NOT EXISTS public.driftwatch_canary" in printed.output


def test_it_does_not_plant_what_nobody_looks_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTWATCH_RULES", str(RULES_FOLDER / "credit.yaml"))

    refused = CliRunner().invoke(build(), ["canary"])

    assert isinstance(refused.exception, Fatal)
    assert "app/rules/canary.yaml" in str(refused.exception)

"""The order of taking in: kept first, acknowledged afterwards; and how the whole ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from app.desk.notifier.deciding import Decider
from app.desk.notifier.metrics import NotifierMetrics
from app.desk.notifier.service import Notifier, Parts
from app.errors import Fatal, Transient
from app.notices import Decide, DecideCalm, Transition
from tests.unit.desk.notifier.transitions import at

GONE = Transient("keeping", "notices", "the database is away")


class PatientClock:
    """Sleeps end at once, and take their time."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def now_us(self) -> int:
        return int(self.now_s * 1_000_000)

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@dataclass
class World:
    """Feed and outbox in one, so that the order of calls is seen. `batches`: what comes, an error is
    raised; when there is no more the notifier is stopped."""

    batches: list[Sequence[Transition] | Exception]
    trouble: list[Exception] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    clock: PatientClock = field(default_factory=PatientClock)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, within_s: float) -> Sequence[Transition]:
        self.clock.now_s += within_s
        if not self.batches:
            self.stop.set()
            return ()
        found = self.batches.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def done(self) -> None:
        self.calls.append("done")

    async def admit(self, arrived: Sequence[Transition], decide: Decide) -> int:
        self.calls.append(f"admit {len(arrived)}")
        if self.trouble:
            raise self.trouble.pop(0)
        return 1

    async def calm(self, decide: DecideCalm) -> int:
        self.calls.append("calm")
        return 0

    async def forget(self) -> None:
        self.calls.append("forget")

    async def run(self) -> Notifier:
        self.metrics = NotifierMetrics()
        service = Notifier(Parts(self, self, Decider((), {}), ()), self.clock, self.metrics)
        await asyncio.wait_for(service.run(self.stop), 5)
        return service


BATCH = [at(0, "opened"), at(1, "resolved", 1)]


async def test_what_came_is_acknowledged_once_it_is_kept() -> None:
    world = World([BATCH, BATCH])
    service = await world.run()
    assert world.calls == ["admit 2", "done"] * 2
    assert service.why_not_ready is None
    count = world.metrics.registry.get_sample_value
    assert count("driftwatch_webhook_transitions_total", {"what": "new"}) == 2
    assert count("driftwatch_webhook_transitions_total", {"what": "again"}) == 2


async def test_while_the_database_is_away_the_same_is_kept_again_and_nothing_acknowledged() -> None:
    world = World([BATCH], trouble=[GONE, GONE])
    await world.run()
    assert world.calls == ["admit 2", "admit 2", "admit 2", "done"]


async def test_a_broker_that_is_away_is_waited_for() -> None:
    world = World([Transient("reading", "drift.mismatches", "gone"), BATCH])
    await world.run()
    assert world.calls == ["admit 2", "done"]


async def test_keys_are_called_calm_when_nothing_is_left_to_read_and_tidying_is_rare() -> None:
    world = World([BATCH] * 20 + [[]] * 12)
    await world.run()
    busy, idle = world.calls[:40], world.calls[40:]
    assert busy == ["admit 2", "done"] * 20
    assert idle[:2] == ["calm", "forget"]
    assert set(idle[2:]) == {"calm"}


async def test_it_ends_with_the_reason_that_a_person_must_see_to() -> None:
    world = World([BATCH], trouble=[Fatal("keeping", "notices", "no such table", "run driftwatch migrate")])
    with pytest.raises(Fatal, match="driftwatch migrate"):
        await world.run()
    assert "done" not in world.calls

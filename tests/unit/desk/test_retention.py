"""What is over for long enough is deleted a little at a time, and looked for again after an hour."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from app.desk.recorder_metrics import RecorderMetrics
from app.desk.retention import Retention
from tests.support.recording import MemoryStore
from tests.support.sweeping import HandClock

DAY_US = 86_400_000_000


def deleted(registry: CollectorRegistry, table: str) -> float | None:
    return registry.get_sample_value("driftwatch_recorder_forgotten_total", {"table": table})


async def test_a_batch_a_look_until_nothing_is_left_and_again_after_an_hour() -> None:
    store, clock = MemoryStore(old={"episodes": 2300, "runs": 3}), HandClock()
    metrics = RecorderMetrics(clock, {})
    retention = Retention(store, metrics, clock, DAY_US)
    left = []
    for _ in range(4):
        await retention.look()
        left.append(store.old["episodes"])
    assert left == [1300, 300, 0, 0]
    assert deleted(metrics.registry, "episodes") == 2300
    assert deleted(metrics.registry, "runs") == 3
    assert deleted(metrics.registry, "audit") == 0

    store.old = {"episodes": 1}
    await retention.look()
    assert store.old == {"episodes": 1}, "it was looked for just now"
    await clock.sleep(3600.0)
    await retention.look()
    assert store.old == {"episodes": 0}


async def test_without_an_age_everything_is_kept() -> None:
    store, clock = MemoryStore(old={"episodes": 5}), HandClock()
    await Retention(store, RecorderMetrics(clock, {}), clock, None).look()
    assert store.old == {"episodes": 5}

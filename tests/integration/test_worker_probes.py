"""What a worker shows of itself, how it refuses to start, and how it stops."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from schemas.topics import CHAIN_EVENTS, DB_CHANGES
from tests.support.commands import Running, run_command
from tests.support.credit_stream import CreditStream
from tests.support.services import Services
from tests.support.waiting import eventually
from tests.support.worker import CLOCK, WorkerWorld, measured, replay


async def test_ready_means_that_marks_arrive_and_open_episodes_survive_a_restart(
    services: Services, tmp_path: Path
) -> None:
    world = WorkerWorld(services.kafka, tmp_path)
    await world.make_topics()
    stream = CreditStream(keys=60, start_us=CLOCK.now_us() - 400_000_000)
    told = [*stream.birth(), *stream.ledgers(79, 10)]

    async with world.worker() as worker:
        assert "marks of credit-line do not arrive" in await worker.readiness()
        assert await _get(worker, "healthz") == (200, "ok\n")
        await world.tell(told)
        await worker.until_ready()
        await world.until_caught_up()
        found = measured(await worker.metrics())
        assert await worker.stop() == 0

    expected = replay(told)
    assert found["driftwatch_mismatches_total"] == len(expected)
    assert found["driftwatch_detection_latency_seconds_count"] == len(expected)
    for topic in (DB_CHANGES, CHAIN_EVENTS):
        count = sum(one.topic == topic for one in told)
        assert found[f'driftwatch_events_total{{topic="{world.prefix}{topic}"}}'] == count
    assert found["driftwatch_keys"] == 60
    last = {value["key"]: value for value in expected.values()}
    active = sum(value["transition"] != "resolved" for value in last.values())
    assert active > 0
    assert found["driftwatch_open_episodes"] == active

    async with world.worker() as worker:
        again = measured(await worker.metrics())
        assert again["driftwatch_open_episodes"] == active, "before any new mark"
        assert again["driftwatch_keys"] == 60
        assert again["driftwatch_mismatches_total"] == 0
        assert again["driftwatch_verified_through_age_seconds"] < 400
        statuses = await eventually(lambda: _all_live(world), 20, every=0.3)
        assert sum(sum(one["open"].values()) for one in statuses) == active  # type: ignore[attr-defined]


async def _all_live(world: WorkerWorld) -> list[dict[str, object]]:
    """The statuses, once every partition is live."""
    found = [value for key, value in (await world.statuses()).items() if key.startswith("status|")]
    wanted = len(found) == world.partitions and all(one["state"] == "live" for one in found)
    return found if wanted else []


async def _get(worker: Running, page: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{worker.port}/{page}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_another_partition_count_is_refused_with_what_to_do(services: Services, tmp_path: Path) -> None:
    world = WorkerWorld(services.kafka, tmp_path)
    await world.make_topics()

    ended = await run_command("worker", environment=world.environment(0, DRIFTWATCH_PARTITIONS="5"))

    assert ended.code == 2
    assert f"{world.prefix}db.changes has 4 partitions instead of 5" in ended.err
    assert "DRIFTWATCH_PARTITIONS" in ended.err


async def test_a_slot_that_is_taken_is_refused(services: Services, tmp_path: Path) -> None:
    world = WorkerWorld(services.kafka, tmp_path)
    await world.make_topics()

    async with world.worker(DRIFTWATCH_WORKER_SLOT="3"):
        environment = world.environment(0, DRIFTWATCH_WORKER_SLOT="3")
        ended = await run_command("worker", environment=environment)

    assert ended.code == 2
    assert "another process holds it" in ended.err

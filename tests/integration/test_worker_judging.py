"""The worker on a real broker tells what the core alone tells, whatever happens to it (invariant I16)."""

from __future__ import annotations

import signal
from pathlib import Path

from schemas.topics import EPISODES
from tests.support.commands import Running, run_command
from tests.support.credit_stream import CreditStream
from tests.support.services import Services
from tests.support.worker import WorkerWorld, measured, replay, split


async def test_a_worker_tells_what_a_replay_of_the_same_records_tells(
    services: Services, tmp_path: Path
) -> None:
    world = WorkerWorld(services.kafka, tmp_path)
    await world.make_topics()
    stream = CreditStream(keys=200)
    told = [*stream.birth(), *stream.ledgers(150, 40)]
    await world.tell(told)

    async with world.worker() as worker:
        await world.until_caught_up()
        assert await worker.stop() == 0

    expected = replay(told)
    assert len(expected) > 50
    assert await world.mismatches() == expected
    last = {record.key: record.value for record in await world.read(EPISODES)}
    open_keys = {value["key"] for value in expected.values() if value["transition"] == "opened"}
    assert {key.partition(b"|")[2].decode() for key in last} == open_keys
    await assert_explained(world, tmp_path)


async def assert_explained(world: WorkerWorld, folder: Path) -> None:
    """`driftwatch explain` draws from the topics what was told."""
    told = next(value for value in (await world.mismatches()).values() if value["transition"] == "opened")
    picture = folder / "verdict.svg"
    words = ("explain", told["rule"], told["key"], "--svg", str(picture))
    explained = await run_command(*words, environment=world.environment(0))
    assert explained.code == 0, explained.err
    assert "  opened  " in explained.out
    assert "expected: " in explained.out
    assert picture.read_text(encoding="utf-8").startswith("<svg ")


async def test_kills_in_the_middle_change_no_event(services: Services, tmp_path: Path) -> None:
    world = WorkerWorld(services.kafka, tmp_path)
    await world.make_topics()
    stream = CreditStream(keys=300)
    told = [*stream.birth(), *stream.ledgers(150, 100)]
    parts = split(told, 4)
    await world.tell(parts[0])

    for part in parts[1:]:
        async with world.worker(DRIFTWATCH_WORKER_SLOT="0") as worker:
            await world.tell(part)
            await world.until_told_more()
            await worker.stop(signal.SIGKILL)
    async with world.worker(DRIFTWATCH_WORKER_SLOT="0") as worker:
        await world.until_caught_up()
        assert await worker.stop() == 0

    assert await world.mismatches() == replay(told)


async def test_two_workers_share_the_partitions_and_take_them_over(
    services: Services, tmp_path: Path
) -> None:
    world = WorkerWorld(services.kafka, tmp_path)
    await world.make_topics()
    stream = CreditStream(keys=200)
    told = [*stream.birth(), *stream.ledgers(100, 40)]
    first, second, third = split(told, 3)
    await world.tell(first)

    async with world.worker() as one:
        await world.until_caught_up()
        assert await _keys_of(one) == stream.keys
        async with world.worker() as two:
            await world.tell(second)
            await world.until_caught_up()
            shares = [await _keys_of(one), await _keys_of(two)]
            assert sum(shares) == stream.keys, "no ghost keys, and none twice"
            assert min(shares) > 0
            await two.stop(signal.SIGKILL)
        await world.tell(third)
        await world.until_caught_up()
        assert await _keys_of(one) == stream.keys

    assert await world.mismatches() == replay(told)


async def _keys_of(worker: Running) -> int:
    return int(measured(await worker.metrics())["driftwatch_keys"])

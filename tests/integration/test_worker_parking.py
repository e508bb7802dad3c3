"""A bug parks one partition, loudly, and never skips; whoever has no bug goes on from there."""

from __future__ import annotations

from pathlib import Path

from schemas.topics import DB_CHANGES
from tests.support.credit_stream import CreditStream, key_of, partition_of
from tests.support.kafka import committed_offsets
from tests.support.services import Services
from tests.support.waiting import eventually
from tests.support.worker import WorkerWorld, measured, replay


async def test_a_bug_parks_its_partition_and_the_others_go_on(services: Services, tmp_path: Path) -> None:
    world = WorkerWorld(services.kafka, tmp_path)
    await world.make_topics()
    stream = CreditStream(keys=100)
    told = [*stream.birth(), *stream.ledgers(80, 20)]
    key = key_of(7)
    partition = partition_of(key, world.partitions)
    offset = next(
        at
        for at, one in enumerate(one for one in told if one[:2] == (DB_CHANGES, partition))
        if one.key == key.encode()
    )
    expected = replay(told)
    elsewhere = {
        id_: value
        for id_, value in expected.items()
        if partition_of(value["key"], world.partitions) != partition
    }
    assert 0 < len(elsewhere) < len(expected)
    await world.tell(told)
    place = f"{world.prefix}{DB_CHANGES}/{partition}@{offset}"
    name = f"status|credit-line|{partition}"

    command = ("-m", "tests.support.parking_worker", key)
    async with world.worker(command) as worker:

        async def others_are_done() -> bool:
            return (await world.mismatches()).keys() >= elsewhere.keys()

        await eventually(others_are_done, 60, every=0.3)
        assert f"parked: [{partition}]" in await worker.readiness()
        assert measured(await worker.metrics())["driftwatch_parked_partitions"] == 1
        assert await worker.stop() == 0
    statuses = await world.statuses()
    assert statuses[name]["state"] == "parked"
    assert place in statuses[name]["cause"]
    [incident] = await world.incidents()
    assert (incident["cause"], incident["state"]) == ("parked", "open")
    assert place in incident["detail"]
    committed = await committed_offsets(world.brokers, world.app_id)
    assert committed.get((world.prefix + DB_CHANGES, partition), 0) <= offset
    assert await world.mismatches() == elsewhere

    async with world.worker() as worker:
        await world.until_caught_up()
        assert await worker.stop() == 0
    assert await world.mismatches() == expected
    [closed] = await world.incidents()
    assert (closed["id"], closed["state"]) == (incident["id"], "closed")
    assert (await world.statuses())[name]["state"] != "parked"

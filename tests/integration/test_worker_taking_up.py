"""A worker whose changelogs are gone: what was told goes on, under the ids under which it began."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from aiokafka.admin import AIOKafkaAdminClient

from app.stream.worker import changelogs_of
from schemas.topics import EPISODES, MISMATCHES, REQUESTS
from tests.support.credit_stream import CreditStream
from tests.support.services import Services
from tests.support.waiting import eventually
from tests.support.worker import WorkerWorld


async def test_open_episodes_go_on_after_the_changelogs_were_deleted(
    services: Services, tmp_path: Path
) -> None:
    world = WorkerWorld(services.kafka, tmp_path)
    await world.make_topics()
    stream = CreditStream(keys=60, partitions=world.partitions, drift_every=4)
    await world.tell([*stream.birth(), *stream.ledgers(30, 6)])
    async with world.worker():
        await world.until_caught_up()
        await eventually(lambda: has_open(world), 30)
    before = await open_now(world)
    told = len(await world.read(MISMATCHES))
    await delete_changelogs(world)

    stream.drift_every = 10**9
    async with world.worker() as running:
        await world.tell(stream.ledgers(40, 20))
        await world.until_caught_up()
        await eventually(lambda: has_none_open(world), 60)
        assert "episodes_taken_up" in running.log.read_text()

    events = [orjson.loads(record.value) for record in await world.read(MISMATCHES)]
    later = {value["key"]: value for value in events[told:] if value["key"] in before}
    assert {value["transition"] for value in later.values()} == {"resolved"}
    for key, value in later.items():
        assert value["episode"] == before[key]["episode"]
        assert value["since"] == before[key]["since"]
    opened = [value["key"] for value in events if value["transition"] == "opened"]
    doubled = {key for key in before if opened.count(key) > 1 and later[key]["sequence"] < 2}
    assert doubled == set()
    asked = [orjson.loads(record.value) for record in await world.read(REQUESTS)]
    assert {request["request"] for request in asked} == {"sweep"}


async def open_now(world: WorkerWorld) -> dict[str, Any]:
    """The open episodes by key, as `drift.episodes` has them."""
    last: dict[bytes, Any] = {}
    for record in await world.read(EPISODES):
        last[record.key] = None if record.value is None else orjson.loads(record.value)
    return {value["key"]: value for value in last.values() if value and value["transition"] != "resolved"}


async def has_open(world: WorkerWorld) -> bool:
    return len(await open_now(world)) > 5


async def has_none_open(world: WorkerWorld) -> bool:
    return await open_now(world) == {}


async def delete_changelogs(world: WorkerWorld) -> None:
    """And make them again, empty."""
    admin = AIOKafkaAdminClient(bootstrap_servers=world.brokers)
    await admin.start()
    try:
        names = changelogs_of(world.app_id)
        await admin.delete_topics(names)

        async def are_gone() -> bool:
            return not set(names) & set(await admin.list_topics())

        await eventually(are_gone, 30, every=0.2)
    finally:
        await admin.close()
    await world.make_topics()

"""What cannot be understood, and what never came: told aloud, and the stream goes on."""

from __future__ import annotations

from pathlib import Path

import orjson

from schemas.topics import DB_CHANGES, DEAD_LETTERS, OBSERVATIONS
from tests.support.credit_stream import CreditStream, Told
from tests.support.kafka import committed_offsets, delete_before, open_sender
from tests.support.services import Services
from tests.support.waiting import eventually
from tests.support.worker import WorkerWorld, measured, replay, split


async def test_an_undecodable_record_becomes_a_dead_letter_and_the_stream_goes_on(
    services: Services, tmp_path: Path
) -> None:
    world = WorkerWorld(services.kafka, tmp_path)
    await world.make_topics()
    stream = CreditStream(keys=50)
    told = [*stream.birth(), *stream.ledgers(60, 20)]
    before, after = split(told, 2)
    raw = b"\xff\x00{not json"
    await world.tell(before)
    async with open_sender(world.brokers, world.partitions) as sender:
        sent = await sender.producer.send_and_wait(
            world.prefix + DB_CHANGES, raw, key=b"k", partition=1, headers=[("mine", b"1")], timestamp_ms=1234
        )
    await world.tell(after)

    async with world.worker() as worker:
        await world.until_caught_up()
        assert measured(await worker.metrics())['driftwatch_dead_letters_total{stage="decode"}'] == 1

    [dead] = await world.read(DEAD_LETTERS)
    assert (dead.key, dead.value, dead.partition) == (b"k", raw, 1)
    headers = {name: value.decode() for name, value in dead.headers}
    assert headers.pop("__drift.errors.message")
    assert headers == {
        "mine": "1",
        "__drift.errors.topic": world.prefix + DB_CHANGES,
        "__drift.errors.partition": "1",
        "__drift.errors.offset": str(sent.offset),
        "__drift.errors.timestamp": "1234",
        "__drift.errors.stage": "decode",
        "__drift.errors.class": "Poison",
    }
    assert await world.mismatches() == replay(told)


async def test_records_that_were_deleted_before_they_were_read_are_lost_input(
    services: Services, tmp_path: Path
) -> None:
    """Kafka says nothing: `earliest` silently goes on where the log begins now."""
    world = WorkerWorld(services.kafka, tmp_path)
    await world.make_topics()
    stream = CreditStream(keys=50)
    before, after = split([*stream.birth(), *stream.ledgers(80, 20)], 2)
    await world.tell(before)
    async with world.worker(DRIFTWATCH_WORKER_SLOT="0") as worker:
        await world.until_caught_up()
        assert await worker.stop() == 0
    topic = world.prefix + DB_CHANGES
    committed = (await committed_offsets(world.brokers, world.app_id))[topic, 2]
    await world.tell(after)
    await delete_before(world.brokers, topic, 2, committed + 10)

    async with world.worker(DRIFTWATCH_WORKER_SLOT="0") as worker:
        await world.until_caught_up()
        found = measured(await worker.metrics())

    assert found["driftwatch_lost_offsets_total"] == 10
    assert found['driftwatch_incidents_total{cause="offsets"}'] == 1
    [incident] = [one for one in await world.incidents() if one["cause"] == "offsets"]
    assert (incident["source"], incident["rule"]) == ("db", "credit-line")
    assert incident["from"] < incident["until"]


async def test_a_truncated_table_is_told_to_every_partition(services: Services, tmp_path: Path) -> None:
    """The record stands in one partition, without a key; the worker that meets it tells the others."""
    world = WorkerWorld(services.kafka, tmp_path)
    await world.make_topics()
    stream = CreditStream(keys=50)
    before, after = split([*stream.birth(), *stream.ledgers(40, 20)], 2)
    at = stream.start_us + 101_000_000
    source = {"name": "db", "schema": "public", "table": "credit_lines", "ts_us": at, "lsn": 5, "txId": 5}
    truncate = Told(DB_CHANGES, 2, b"", orjson.dumps({"op": "t", "source": source}))
    await world.tell([*before, truncate])

    async with world.worker() as worker:

        async def gaps() -> float:
            return measured(await worker.metrics())[
                'driftwatch_observed_total{rule="credit-line",what="gaps"}'
            ]

        async def all_know() -> bool:
            return await gaps() == world.partitions

        await eventually(all_know, 30)
        await world.tell(after)
        await world.until_caught_up()
        assert await gaps() == world.partitions, "nobody tells it twice"

    told = await world.read(OBSERVATIONS)
    assert sorted(record.partition for record in told) == [0, 1, 3]
    assert {orjson.loads(record.value)["gap"]["cause"] for record in told} == {"truncate"}
    assert {one["cause"] for one in await world.incidents()} == {"truncate"}

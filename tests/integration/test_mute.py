"""`driftwatch mute`: a record in every partition, and a worker that judges, counts, and tells nothing."""

from __future__ import annotations

import json
from pathlib import Path

from app.detector.model import INFINITY, Mute
from connectors.kafka.controls import tell_every_partition
from connectors.kafka.observations import encode_mute
from schemas.topics import OBSERVATIONS
from tests.support.commands import run_command
from tests.support.credit_stream import CreditStream
from tests.support.services import Services
from tests.support.waiting import eventually
from tests.support.worker import WorkerWorld, measured, replay


async def test_a_muted_rule_is_judged_and_counted_and_nothing_of_it_is_told(
    services: Services, tmp_path: Path
) -> None:
    world = WorkerWorld(services.kafka, tmp_path)
    await world.make_topics()
    stream = CreditStream(keys=100)
    told = [*stream.birth(), *stream.ledgers(150, 30)]
    assert replay(told), "without a mute there is something to tell"
    await tell_every_partition(world.settings, encode_mute(Mute("credit-line", None, 0, INFINITY, "a test")))

    async with world.worker() as worker:

        async def is_muted() -> bool:
            found = measured(await worker.metrics())
            topic = f'driftwatch_events_total{{topic="{world.prefix}{OBSERVATIONS}"}}'
            return found.get(topic, 0.0) >= world.partitions

        await eventually(is_muted, 30)
        await world.tell(told)
        await world.until_caught_up()
        found = measured(await worker.metrics())

    assert await world.mismatches() == {}
    assert found['driftwatch_observed_total{rule="credit-line",what="exempt"}'] > 0


async def test_the_command_tells_every_partition_who_is_muted_until_when_and_why(
    services: Services, tmp_path: Path
) -> None:
    world = WorkerWorld(services.kafka, tmp_path)
    await world.make_topics()
    words = ("mute", "credit-line", "--for", "30m", "--reason", "a migration", "--key", "G1")
    muted = await run_command(*words, environment=world.environment(0))
    assert muted.code == 0, muted.err
    records = await world.read(OBSERVATIONS)
    assert sorted(record.partition for record in records) == list(range(world.partitions))
    [body] = {record.value for record in records}
    mute = json.loads(body)["mute"]
    assert (mute["rule"], mute["key"], mute["reason"]) == ("credit-line", "G1", "a migration")
    assert mute["until"] in muted.out

    refused = await run_command(
        "mute", "credit-line", "--for", "30m", "--reason", " ", environment=world.environment(0)
    )
    assert (refused.code, "say why" in refused.err) == (2, True)

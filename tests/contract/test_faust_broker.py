"""The internals that app/stream relies on and that only a real broker shows; see test_faust_shapes.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata
from faust.types import TP

from app.stream.consumer import BatchConsumer, as_message
from app.stream.failure import FailStop
from app.stream.table import PartitionedStore
from app.stream.work import Batch
from tests.support.kafka import committed_offsets, open_sender, read_all
from tests.support.services import Services
from tests.support.stream_app import TABLE, TallyApp, running
from tests.support.waiting import eventually


@pytest.fixture
async def app(services: Services) -> AsyncIterator[TallyApp]:
    """An app that reads."""
    made = TallyApp(services.kafka)
    await made.make_topics(services.kafka)
    async with running(made):
        yield made


async def tell(app: TallyApp, brokers: str, count: int, value: bytes = b"v") -> None:
    """So many records into partition 0 of the left topic."""
    async with open_sender(brokers, 2) as sender:
        await sender.place((app.sources[0], 0, b"k%d" % number, value) for number in range(count))


async def test_01_a_running_app_reads_with_our_consumer(app: TallyApp) -> None:
    assert type(app.consumer) is BatchConsumer


async def test_05_a_batch_of_an_old_generation_is_dropped_without_an_ack(
    app: TallyApp, services: Services
) -> None:
    await tell(app, services.kafka, 10)
    await eventually(lambda: len(app.absorbed()) == 10)
    await app.consumer.commit()
    [channel] = [one for one in app.topics if app.sources[0] in one.topics]
    records = (await read_all(services.kafka, app.sources[:1], 2))[:5]
    tp = TP(app.sources[0], 0)
    stale = as_message(tp, Batch(records, 0.0), app.consumer_generation_id - 1)
    stale.incref()
    channel.queue.put_nowait(await channel.decode(stale, propagate=True))
    await eventually(channel.queue.empty)
    await tell(app, services.kafka, 1)
    await eventually(lambda: len(app.absorbed()) >= 11)

    assert app.absorbed() == list(range(11))
    assert stale.acked is False


async def test_06_a_batch_commits_the_offset_after_its_last_record(app: TallyApp, services: Services) -> None:
    await tell(app, services.kafka, 10)
    await eventually(lambda: len(app.absorbed()) == 10)

    async def is_committed() -> bool:
        return (await committed_offsets(services.kafka, app.conf.id)).get((app.sources[0], 0)) == 10

    await eventually(is_committed)


async def test_07_after_a_failure_no_commit_reaches_the_broker(app: TallyApp, services: Services) -> None:
    """Every commit ends in `_commit`; False means not committed; `crash` ends the app with an error."""
    app.failure.declare(FailStop("a test"))
    tp = TP(app.sources[0], 0)
    app.consumer._acked[tp].append(5)

    assert await app.consumer.commit() is False
    assert await committed_offsets(services.kafka, app.conf.id) == {}
    assert app.crashed
    assert isinstance(app._crash_reason, FailStop)


async def test_08_faust_acks_what_its_agent_failed_at_and_the_gate_is_closed_first(
    app: TallyApp, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(partition: int, batch: Batch) -> None:
        raise ZeroDivisionError(f"{partition} {len(batch.records)}")

    monkeypatch.setattr(app.step, "absorb", fail)
    await tell(app, services.kafka, 3)
    await eventually(lambda: app.consumer._acked.get(TP(app.sources[0], 0)))
    assert isinstance(app.failure.cause, ZeroDivisionError)
    await app.consumer.commit()

    assert await committed_offsets(services.kafka, app.conf.id) == {}


async def test_09_a_stop_waits_for_a_step_that_a_timer_began(services: Services) -> None:
    app = TallyApp(services.kafka)
    await app.make_topics(services.kafka)
    async with running(app):
        await app.step.lock.acquire()
        stopping = asyncio.ensure_future(app.consumer.wait_empty())
        await asyncio.wait({stopping}, timeout=0.3)
        assert not stopping.done()
        app.step.lock.release()
        await asyncio.wait_for(stopping, 5)
        calls: list[bool] = []
        wait_empty = app.consumer.wait_empty

        async def spy() -> None:
            calls.append(app.step.lock.locked())
            await wait_empty()

        app.consumer.wait_empty = spy
    assert calls, "the stop of an app calls it"


@pytest.mark.parametrize("most_polled", [1, 7, 4000])
async def test_13_recovery_ends_with_the_last_row_whatever_the_size_of_its_batches(
    services: Services, most_polled: int
) -> None:
    """It takes `message.offset` as the position held, ends at highwater - 1, and keeps `active_offsets`."""
    app = TallyApp(services.kafka, most_polled=most_polled)
    await app.make_topics(services.kafka)
    async with open_sender(services.kafka, 2) as sender:
        rows = [(app.changelog, number % 2, b"k%d" % (number % 30), b"%d" % number) for number in range(100)]
        await sender.place(rows)
    async with running(app):
        assert app.rows() == {key: value for _, _, key, value in rows}
        offsets = app.tables.recovery.active_offsets
        assert [offsets[TP(app.changelog, partition)] for partition in (0, 1)] == [49, 49]
        await tell(app, services.kafka, 5)
        await eventually(lambda: len(app.absorbed()) == 5)
        await eventually(lambda: offsets[TP(app.changelog, 0)] == 54)


async def test_12_a_store_hears_of_the_rebalance_then_of_rows_then_of_the_end(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    def spy(name: str) -> None:
        hook = getattr(PartitionedStore, name)

        def call(self: Any, *arguments: Any, **named: Any) -> Any:
            heard.append(name)
            return hook(self, *arguments, **named)

        monkeypatch.setattr(PartitionedStore, name, call)

    for name in ("on_rebalance", "apply_changelog_batch", "on_recovery_completed"):
        spy(name)
    app = TallyApp(services.kafka)
    await app.make_topics(services.kafka)
    async with open_sender(services.kafka, 2) as sender:
        await sender.place([(app.changelog, 0, b"k", b"v")])
    async with running(app):
        pass

    assert list(dict.fromkeys(heard)) == ["on_rebalance", "apply_changelog_batch", "on_recovery_completed"]


async def test_16_the_producer_sends_closed_batches_in_order(app: TallyApp, services: Services) -> None:
    """`create_batch`; `append` gives None when full; `send_batch` a future of the base offset."""
    producer = app.producer._producer
    assert isinstance(producer, AIOKafkaProducer)
    sent = []
    for first in (0, 10, 20):
        batch = producer.create_batch()
        for number in range(first, first + 10):
            assert batch.append(key=b"%d" % number, value=b"v", timestamp=1) is not None
        batch.close()
        sent.append(await producer.send_batch(batch, app.changelog, partition=1))
    answers = [await one for one in sent]

    assert all(isinstance(answer, RecordMetadata) for answer in answers)
    assert [answer.offset for answer in answers] == [0, 10, 20]
    found = await read_all(services.kafka, [app.changelog], 2)
    assert [int(record.key) for record in found] == list(range(30))
    full = producer.create_batch()
    assert full.append(key=b"k", value=b"x" * 500_000, timestamp=1) is not None
    assert full.append(key=b"k", value=b"x" * 500_000, timestamp=1) is None


async def test_17_a_ready_app_knows_its_partitions(app: TallyApp) -> None:
    assert {tp for tp in app.assignor.assigned_actives() if tp.topic == app.changelog} == {
        TP(app.changelog, 0),
        TP(app.changelog, 1),
    }
    assert app.owned_partitions() == {0, 1}
    app.rebalancing = True
    assert app.owned_partitions() == set()
    app.rebalancing = False
    app.tables.on_rebalance_start()
    assert app.owned_partitions() == set()
    app.tables.on_actives_ready()


async def test_18_records_of_aborted_transactions_are_not_read(app: TallyApp, services: Services) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=services.kafka, transactional_id=f"{app.conf.id}-t")
    await producer.start()
    try:
        for value in (b"aborted", b"committed"):
            await producer.begin_transaction()
            await producer.send_and_wait(app.sources[0], value, key=value, partition=0)
            if value == b"aborted":
                await producer.abort_transaction()
            else:
                await producer.commit_transaction()
    finally:
        await producer.stop()
    await eventually(app.absorbed)

    assert app.rows() == {b"committed": b"committed"}
    assert app.consumer._thread._consumer._isolation_level == "read_committed"


async def test_19_a_group_that_never_committed_reads_from_the_first_record_after_recovery(
    services: Services,
) -> None:
    """Stock loses what it polls between the end of recovery and `flow_control.resume`."""
    app = TallyApp(services.kafka)
    await app.make_topics(services.kafka)
    async with open_sender(services.kafka, 2) as sender:
        await sender.place((app.changelog, 0, b"old%d" % number, b"v" * 500) for number in range(20_000))
        await sender.place((app.sources[0], 0, b"k%d" % number, b"v" * 500) for number in range(20_000))
    async with running(app):
        await eventually(lambda: app.absorbed()[-1:] == [19_999], 20)
        assert app.absorbed() == list(range(20_000))
        assert app.batch_tables[TABLE].part(0).keys() >= {b"old0", b"k0", b"k19999"}

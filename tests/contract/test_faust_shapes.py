"""The internals of Faust 0.15.3, mode 0.7.1 and aiokafka 0.14.0 that app/stream relies on, without a broker.

Each test names by number what it pins; test_faust_broker.py has those that need a broker.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from app.stream.consumer import BatchConsumer, as_message
from app.stream.table import RECOVERY_BUFFER, PartitionedStore
from app.stream.work import Batch
from tests.support.stream_app import TABLE, TallyApp

SOURCE = TP("source", 0)


@pytest.fixture
async def app() -> AsyncIterator[TallyApp]:
    """Made on the test's own loop: elsewhere Faust makes one, and leaves it open."""
    app = TallyApp("127.0.0.1:1", "shapes")
    made: list[BatchConsumer] = []
    app.made_consumers = made
    yield app
    for consumer in made:
        consumer._thread.thread_loop.close()


def consumer_of(app: TallyApp, seen: list[ConsumerMessage]) -> BatchConsumer:
    async def see(message: ConsumerMessage) -> None:
        seen.append(message)

    async def nothing(*_: Any) -> None:
        pass

    made = app.transport.create_consumer(see, on_partitions_revoked=nothing, on_partitions_assigned=nothing)
    app.made_consumers.append(made)
    return made


def subscribe(app: TallyApp) -> Any:
    """The agent's channel among the topics, as it is in a worker that runs."""
    [agent] = app.agents.values()
    app.topics.add(agent.channel)
    return agent.channel


def batch_at(first: int, last: int) -> ConsumerMessage:
    records = [SimpleNamespace(offset=offset, timestamp=5000) for offset in range(first, last + 1)]
    return as_message(SOURCE, Batch(records, 0.0), generation=3)


def test_00_the_versions_are_the_pinned_ones() -> None:
    """What follows holds for these."""
    assert version("faust-streaming") == "0.15.3"
    assert version("mode-streaming") == "0.7.1"
    assert version("aiokafka") == "0.14.0"


async def test_01_the_consumer_comes_from_the_new_transport(app: TallyApp) -> None:
    assert type(consumer_of(app, [])) is BatchConsumer
    assert type(app.transport) is type(app._new_transport())


async def test_02_draining_takes_each_message_by_its_offset_and_tells_of_jumps(app: TallyApp) -> None:
    """`_drain_messages` iterates `getmany`, hands each message on, and calls `_add_gap` for a jump."""
    seen: list[ConsumerMessage] = []
    consumer = consumer_of(app, seen)
    polls = iter([[batch_at(0, 9)], [batch_at(10, 19)], [batch_at(30, 39)]])
    gaps = []

    async def getmany(timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109
        assert timeout == 1.0
        for message in next(polls, []):
            yield SOURCE, message
        if len(seen) == 3:
            consumer._stopped.set()

    async def add_gap(tp: TP, start: int, until: int) -> None:
        gaps.append((tp, start, until))

    consumer.getmany, consumer._add_gap = getmany, add_gap
    app.topics._acking_topics.add("source")
    app.topics.acks_enabled_for = lambda topic: topic == "source"
    await asyncio.wait_for(consumer._drain_messages(SimpleNamespace(_stopped=asyncio.Event())), 5)

    assert [message.offset for message in seen] == [9, 19, 39]
    assert consumer._read_offset[SOURCE] == 39
    assert gaps[-1] == (SOURCE, 20, 39), "a batch looks like a jump: our `_add_gap` ignores it"


async def test_03_a_poll_gives_records_by_partition_and_the_active_set(app: TallyApp) -> None:
    consumer = consumer_of(app, [])
    records = {TopicPartition("source", 0): ["a", "b"]}
    asked = []

    async def getmany(active_partitions: set[TP], timeout: float) -> Any:  # noqa: ASYNC109
        asked.append((set(active_partitions), timeout))
        return records

    consumer._getmany = getmany
    consumer._active_partitions = {SOURCE}
    polled, active = await consumer._wait_next_records(0.5)

    assert polled is records
    assert active == {SOURCE}
    assert asked == [({SOURCE}, 0.5)]
    assert consumer.flow_active is True
    assert consumer._buffered_partitions == set()
    assert inspect.iscoroutinefunction(consumer.perform_seek)
    assert list(inspect.signature(BatchConsumer._getmany).parameters) == list(
        inspect.signature(Consumer._getmany).parameters
    )


def test_04_a_consumer_message_takes_its_parts_in_this_order() -> None:
    message = batch_at(7, 9)

    assert (message.topic, message.partition, message.offset, message.timestamp) == ("source", 0, 9, 5.0)
    assert (message.key, message.headers, message.checksum) == (None, [], None)
    assert isinstance(message.value, Batch)
    assert (message.tp, message.generation_id) == (SOURCE, 3)


async def test_06_acks_fill_the_lists_that_a_commit_asks_for(app: TallyApp) -> None:
    """A batch commits its last offset + 1, a parked partition nothing."""
    consumer = consumer_of(app, [])
    consumer.app.topics.acks_enabled_for = lambda topic: True
    for message in (batch_at(0, 9), batch_at(10, 19)):
        message.incref()
        message.ack(consumer)
    assert consumer._acked[SOURCE] == [9, 19]
    assert consumer._acked_index[SOURCE] == {9, 19}

    app.parked.add(0)
    assert consumer._new_offset(SOURCE) is None
    app.parked.clear()
    assert consumer._new_offset(SOURCE) == 20
    assert consumer._new_offset(SOURCE) is None
    source = inspect.getsource(Consumer._commit_tps)
    assert "_filter_committable_offsets" in source
    assert "_new_offset" in inspect.getsource(Consumer._filter_committable_offsets)


async def test_10_a_topic_hands_a_batch_on_as_it_is(app: TallyApp) -> None:
    """`schema.compile(app, …)(message, propagate=)`; the event's value is the same object."""
    [agent] = app.agents.values()
    message = batch_at(0, 3)
    event = await agent.channel.decode(message, propagate=True)

    assert event.value is message.value
    assert event.message is message


async def test_11_the_topics_are_channels_with_a_queue(app: TallyApp) -> None:
    channel = subscribe(app)
    assert channel.queue.qsize() == 0
    channel.queue.put_nowait("batch")

    assert max(one.queue.qsize() for one in app.topics) == 1
    assert consumer_of(app, [])._is_full() is False


async def test_12_a_table_makes_its_store_from_our_hook(app: TallyApp) -> None:
    """Rows come in by `apply_changelog_batch`, and go by `on_rebalance` and `on_recovery_completed`."""
    table = app.batch_tables[TABLE]
    store = table.data
    assert type(store) is PartitionedStore
    changelog = [TP(app.changelog, 0), TP(app.changelog, 1)]
    record = SimpleNamespace(offset=0, timestamp=0, key=b"k", value=b"v")
    for tp in changelog:
        message = as_message(tp, Batch([record], 0.0), 1)
        table.apply_changelog_batch([SimpleNamespace(message=message)])
    assert store.parts == {0: {b"k": b"v"}, 1: {b"k": b"v"}}

    await table.on_rebalance(set(changelog[:1]), set(changelog[1:]), set(), 2)
    assert store.parts == {0: {b"k": b"v"}}, "no ghost keys"
    await table.on_recovery_completed(set(), set())
    assert store.parts == {}


def test_14_a_recovery_buffer_of_one_means_something_else(app: TallyApp) -> None:
    """`recovery_buffer_size == 1` keeps reading the changelog for ever."""
    assert "recovery_buffer_size == 1" in inspect.getsource(Recovery)
    assert RECOVERY_BUFFER > 1
    assert app.batch_tables[TABLE].recovery_buffer_size == RECOVERY_BUFFER


def test_15_a_changelog_is_named_after_app_and_table_and_is_not_acked(app: TallyApp) -> None:
    table = app.batch_tables[TABLE]
    assert table.changelog_topic_name == "shapes-seen-changelog"
    assert table.changelog_topic.acks is False


async def test_19_resuming_the_flow_empties_the_queues(app: TallyApp) -> None:
    """Recovery ends with it: whatever source record was queued before is gone."""
    channel = subscribe(app)
    channel.queue.put_nowait("batch")
    app.flow_control.resume()

    assert channel.queue.empty()
    source = inspect.getsource(Recovery.on_recovery_completed)
    resumed = source.index("resume_partitions")
    assert resumed < source.index("perform_seek") < source.index("flow_control.resume")
    assert source.index("flow_control.resume") < source.index("on_actives_ready")


async def test_19_no_source_is_polled_before_the_tables_are_recovered(app: TallyApp) -> None:
    consumer = consumer_of(app, [])
    asked: list[set[TP]] = []

    async def getmany(active_partitions: set[TP], timeout: float) -> Any:  # noqa: ASYNC109
        del timeout
        asked.append(set(active_partitions))
        return {}

    consumer._thread.getmany = getmany
    changelog = TP(app.changelog, 0)
    await consumer._getmany({SOURCE, changelog}, 1.0)
    await consumer._getmany({SOURCE}, 1.0)
    app.tables.on_actives_ready()
    await consumer._getmany({SOURCE, changelog}, 1.0)

    assert asked == [{changelog}, {SOURCE, changelog}]

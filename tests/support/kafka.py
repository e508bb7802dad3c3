"""Topics, records and offsets of a real broker, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.partitioner import murmur2

COMPACT = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1", "segment.bytes": "16777216"}


async def create_topics(
    brokers: str, names: Iterable[str], partitions: int, config: Mapping[str, str] | None = None
) -> None:
    """Create topics; AssertionError with the broker's word for each that could not be."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        topics = [NewTopic(name, partitions, 1, topic_configs=dict(config or {})) for name in names]
        answer = await admin.create_topics(topics)
        assert not [error for error in answer.topic_errors if error[1]], answer.topic_errors
    finally:
        await admin.close()


async def read_all(brokers: str, topics: Sequence[str], partitions: int) -> list[Any]:
    """Every record now in these topics, by topic, partition and offset."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=brokers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        sources = [TopicPartition(topic, partition) for topic in topics for partition in range(partitions)]
        consumer.assign(sources)
        ends = await consumer.end_offsets(sources)
        await consumer.seek_to_beginning(*sources)
        found: list[Any] = []
        left = {source for source in sources if ends[source] > 0}
        while left:
            for records in (await consumer.getmany(timeout_ms=500, max_records=20_000)).values():
                found += records
            for source in list(left):
                if await consumer.position(source) >= ends[source]:
                    left.discard(source)
    finally:
        await consumer.stop()
    return sorted(found, key=lambda record: (record.topic, record.partition, record.offset))


@asynccontextmanager
async def open_sender(brokers: str, partitions: int) -> AsyncIterator[Sender]:
    """A sender with a producer of its own; a lost connection makes it send nothing twice."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers, max_batch_size=500_000, enable_idempotence=True)
    await producer.start()
    try:
        yield Sender(producer, partitions)
    finally:
        await producer.stop()


async def delete_before(brokers: str, topic: str, partition: int, offset: int) -> None:
    """Delete the records of a partition that come before an offset, as retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(offset)})
    finally:
        await admin.close()


async def committed_offsets(brokers: str, group: str) -> dict[tuple[str, int], int]:
    """What a group has committed, by topic and partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    return {(tp.topic, tp.partition): held.offset for tp, held in found.items()}


async def count_behind(brokers: str, group: str, topics: Sequence[str], partitions: int) -> int:
    """Records that the group has not committed (control records count as well)."""
    committed = await committed_offsets(brokers, group)
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers)
    await consumer.start()
    try:
        sources = [TopicPartition(topic, partition) for topic in topics for partition in range(partitions)]
        ends = await consumer.end_offsets(sources)
    finally:
        await consumer.stop()
    return sum(ends[source] - committed.get((source.topic, source.partition), 0) for source in sources)


class Sender:
    """Sends many records as whole batches, keyed by Kafka's default partitioner."""

    def __init__(self, producer: AIOKafkaProducer, partitions: int) -> None:
        self.producer, self.partitions = producer, partitions
        self._partition_of: dict[bytes, int] = {}

    async def send(self, topic: str, records: Iterable[tuple[bytes, bytes | None]]) -> None:
        """All of them acknowledged."""
        await self.place((topic, self._find_partition(key), key, value) for key, value in records)

    def _find_partition(self, key: bytes) -> int:
        partition = self._partition_of.get(key)
        if partition is None:
            partition = self._partition_of[key] = (murmur2(key) & 0x7FFFFFFF) % self.partitions
        return partition

    async def place(self, records: Iterable[tuple[str, int, bytes | None, bytes | None]]) -> None:
        """(topic, partition, key, value) records, each partition in order; all of them acknowledged."""
        batches: dict[tuple[str, int], Any] = {}
        sent = []
        for topic, partition, key, value in records:
            batch = batches.get((topic, partition))
            if batch is None:
                batch = batches[topic, partition] = self.producer.create_batch()
            if batch.append(key=key, value=value, timestamp=None) is None:
                sent.append(await self._send(topic, partition, batch))
                batch = batches[topic, partition] = self.producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
        sent += [await self._send(topic, partition, batch) for (topic, partition), batch in batches.items()]
        for acknowledgement in sent:
            await acknowledgement

    async def _send(self, topic: str, partition: int, batch: Any) -> Any:
        batch.close()
        return await self.producer.send_batch(batch, topic, partition=partition)

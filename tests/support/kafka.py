"""Topics, records and offsets of a real broker, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
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


async def count_behind(brokers: str, group: str, topics: Sequence[str], partitions: int) -> int:
    """Records that the group has not committed (control records count as well)."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        committed = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers)
    await consumer.start()
    try:
        sources = [TopicPartition(topic, partition) for topic in topics for partition in range(partitions)]
        ends = await consumer.end_offsets(sources)
    finally:
        await consumer.stop()
    return sum(ends[source] - (committed[source].offset if source in committed else 0) for source in sources)


class Sender:
    """Sends many records as whole batches, keyed by Kafka's default partitioner."""

    def __init__(self, producer: AIOKafkaProducer, partitions: int) -> None:
        self.producer, self.partitions = producer, partitions
        self._partition_of: dict[bytes, int] = {}

    async def send(self, topic: str, records: Iterable[tuple[bytes, bytes | None]]) -> None:
        """All of them acknowledged."""
        batches: dict[int, Any] = {}
        sent = []
        for key, value in records:
            partition = self._partition_of.get(key)
            if partition is None:
                partition = self._partition_of[key] = (murmur2(key) & 0x7FFFFFFF) % self.partitions
            batch = batches.setdefault(partition, self.producer.create_batch())
            if batch.append(key=key, value=value, timestamp=None) is None:
                sent.append(await self._send(topic, partition, batch))
                batch = batches[partition] = self.producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
        sent += [await self._send(topic, partition, batch) for partition, batch in batches.items()]
        for acknowledgement in sent:
            await acknowledgement

    async def _send(self, topic: str, partition: int, batch: Any) -> Any:
        batch.close()
        return await self.producer.send_batch(batch, topic, partition=partition)

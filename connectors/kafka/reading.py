"""Reads a topic once, from its beginning to its present end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.errors import Transient

_POLL_MS: Final = 500


def read_all(brokers: str, topic: str, partitions: int) -> AsyncIterator[Any]:
    """Every record up to the present end of a topic, partition by partition in order; of no group. Raises
    `Transient`."""
    return _read(brokers, topic, range(partitions))


def read_partition(brokers: str, topic: str, partition: int) -> AsyncIterator[Any]:
    """The same of one partition."""
    return _read(brokers, topic, (partition,))


async def _read(brokers: str, topic: str, partitions: Iterable[int]) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=brokers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    try:
        await consumer.start()
        places = [TopicPartition(topic, one) for one in partitions]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        left = {place for place in places if ends[place] > 0}
        while left:
            for records in (await consumer.getmany(*left, timeout_ms=_POLL_MS)).values():
                for record in records:
                    yield record
            left = {place for place in left if await consumer.position(place) < ends[place]}
    except KafkaError as error:
        raise Transient("reading", topic, f"{type(error).__name__} {error}".strip()) from error
    finally:
        await consumer.stop()

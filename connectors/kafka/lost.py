"""Tells every partition that input of a source was lost."""

from __future__ import annotations

from typing import Final

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.clock import Clock
from app.detector.values import format_time
from app.errors import Transient
from app.settings import Settings
from connectors.kafka.controls import tell_every_partition
from schemas.topics import DB_CHANGES

MOST_READ: Final = 20_000
"""Records; a mark is written every second, and rows stand between them."""


async def tell_slot_lost(settings: Settings, clock: Clock, cause: str = "slot") -> bool:
    """Before a slot is made anew: what was committed since the last change in Kafka will never come. `cause`:
    the slot was lost, or the database is another one (`epoch`).

    One gap record a partition of `drift.observations`, acknowledged; False where no change was ever streamed,
    so that nothing can be missing. Raises `Transient`.
    """
    try:
        if not await _holds_changes(settings):
            return False
    except KafkaError as error:
        raise Transient("telling a gap at", settings.kafka, error, "is the broker up?") from error
    now = format_time(clock.now_us())
    gap = {"gap": {"source": settings.source, "from": None, "until": now, "cause": cause}}
    await tell_every_partition(settings, orjson.dumps(gap))
    return True


async def _holds_changes(settings: Settings) -> bool:
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        topic = settings.topic(DB_CHANGES)
        ends = await consumer.end_offsets([TopicPartition(topic, n) for n in range(settings.partitions)])
    finally:
        await consumer.stop()
    return any(ends.values())


async def find_last(settings: Settings, key_prefix: bytes) -> bytes | None:
    """The value of the newest record in the first partition of `db.changes` whose key begins so; None where
    none of the last `MOST_READ` is one. Raises `Transient`."""
    place = TopicPartition(settings.topic(DB_CHANGES), 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False)
    found: bytes | None = None
    try:
        await consumer.start()
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        first = (await consumer.beginning_offsets([place]))[place]
        consumer.seek(place, max(first, end - MOST_READ))
        while await consumer.position(place) < end:
            for record in (await consumer.getmany(place, timeout_ms=500)).get(place, ()):
                if record.key is not None and record.key.startswith(key_prefix):
                    found = record.value
    except KafkaError as error:
        raise Transient("reading", place.topic, error, "is the broker up?") from error
    finally:
        await consumer.stop()
    return found

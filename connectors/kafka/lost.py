"""Tells every partition that input of a source was lost."""

from __future__ import annotations

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.clock import Clock
from app.detector.values import format_time
from app.errors import Transient
from app.settings import Settings
from connectors.kafka.controls import tell_every_partition
from schemas.topics import DB_CHANGES


async def tell_slot_lost(settings: Settings, clock: Clock) -> bool:
    """Before a slot is made anew: what was committed since the last change in Kafka will never come.

    One gap record a partition of `drift.observations`, acknowledged; False where no change was ever streamed,
    so that nothing can be missing. Raises `Transient`.
    """
    try:
        if not await _holds_changes(settings):
            return False
    except KafkaError as error:
        raise Transient("telling a gap at", settings.kafka, error, "is the broker up?") from error
    now = format_time(clock.now_us())
    gap = {"gap": {"source": settings.source, "from": None, "until": now, "cause": "slot"}}
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

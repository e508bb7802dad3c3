"""Control records: what every partition of `drift.observations` must be told."""

from __future__ import annotations

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.errors import Transient
from app.settings import Settings
from schemas.topics import OBSERVATIONS


async def tell_every_partition(settings: Settings, record: bytes) -> None:
    """The record stands in each partition, acknowledged, on return; sent twice it says the same again. Raises
    `Transient`."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all")
    try:
        await producer.start()
        for partition in range(settings.partitions):
            await producer.send_and_wait(settings.topic(OBSERVATIONS), record, partition=partition)
    except KafkaError as error:
        raise Transient("telling every partition at", settings.kafka, error, "is the broker up?") from error
    finally:
        await producer.stop()

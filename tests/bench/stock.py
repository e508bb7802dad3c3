"""Stock Faust: an agent over events and its own tables, with the same detector."""

from __future__ import annotations

from typing import Any

import faust
import msgspec

from app.stream.failure import Failure
from app.stream.rule_partition import TABLES
from app.stream.work import Batch, PartitionWork
from schemas.topics import CHAIN_EVENTS, DB_CHANGES
from tests.bench.measured import Meter, Order, work_maker
from tests.bench.workload import PARTITIONS


def make_stock(order: Order) -> faust.App:
    """An agent over events and Faust's own tables, tuned, with the same detector."""
    app = faust.App(
        order.app_id,
        broker=f"kafka://{order.brokers}",
        topic_partitions=PARTITIONS,
        topic_disable_leader=True,
        table_standby_replicas=0,
        store="memory://",
        web_enabled=False,
        producer_linger=0.02,
        producer_max_batch_size=262_144,
        broker_max_poll_records=500,
        broker_commit_interval=1.0,
        stream_recovery_delay=0.0,
        datadir="/nonexistent",
    )
    raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    sources = app.topic(order.prefix + DB_CHANGES, order.prefix + CHAIN_EVENTS, **raw)
    tables = {
        name: app.Table(name, key_type=bytes, value_type=bytes, partitions=PARTITIONS) for name in TABLES
    }
    app._create_directories, app.failure = (lambda: None), Failure()
    meter, make_work = Meter(), work_maker(order)
    works: dict[int, PartitionWork] = {}
    parts = {name: table.data.data for name, table in tables.items()}

    async def judge(stream: Any) -> None:
        seen = 0
        async for event in stream.events():
            meter.begin()
            app.producer.buffer.max_messages = 5000
            message = event.message
            work = works.get(message.partition)
            if work is None:
                work = works[message.partition] = make_work(message.partition, parts)
            outcome = work.absorb(Batch([record_of(event)], 0.0))
            for told in outcome.messages:
                topic = app.topic(told.topic, **raw)
                await topic.send(key=told.key, value=told.value, headers=dict(told.headers))
            for stage in outcome.stages:
                for name, rows in stage.items():
                    for key, value in rows.items():
                        if value is None:
                            tables[name].pop(key, None)
                        else:
                            tables[name][key] = value
            seen += 1
            if seen == order.events:
                await app.consumer.commit()
                meter.end(seen)

    app.agent(sources, name="judge", concurrency=1)(judge)
    return app


class _Record(msgspec.Struct):
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def record_of(event: Any) -> _Record:
    message = event.message
    at_ms = int(message.timestamp * 1000)
    return _Record(message.topic, message.partition, message.offset, at_ms, event.key, event.value)

"""The yardstick: aiokafka by hand, without a framework."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from app.stream.app import MOST_FETCHED_BYTES
from app.stream.rule_partition import TABLES
from app.stream.work import Batch, Message, Part, PartitionWork, Rows
from app.stream.worker import collect_garbage_rarely
from schemas.topics import CHAIN_EVENTS, DB_CHANGES
from tests.bench.measured import CLOCK, Meter, Order, work_maker

PRODUCER = {"acks": "all", "linger_ms": 0, "max_batch_size": 512 * 1024}
MOST_POLLED = 4000


class Bare:
    """A loop by hand: `getmany`, the same work, messages awaited, rows by `send_batch`, a commit a second."""

    def __init__(self, order: Order) -> None:
        self.order, self.meter = order, Meter()
        self.make_work = work_maker(order)
        self.works: dict[int, PartitionWork] = {}
        self.parts: dict[int, dict[str, Part]] = {}
        self.producer = AIOKafkaProducer(bootstrap_servers=order.brokers, **PRODUCER)
        self.pending: list[asyncio.Future[Any]] = []

    async def run(self) -> None:
        order = self.order
        sources = [order.prefix + DB_CHANGES, order.prefix + CHAIN_EVENTS]
        consumer = AIOKafkaConsumer(
            *sources,
            bootstrap_servers=order.brokers,
            group_id=order.app_id,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level="read_committed",
            max_partition_fetch_bytes=MOST_FETCHED_BYTES,
        )
        await self.producer.start()
        await consumer.start()
        seen, committed_at = 0, CLOCK.monotonic_s()
        while seen < order.events:
            polled = await consumer.getmany(timeout_ms=500, max_records=MOST_POLLED)
            for source, records in polled.items():
                self.meter.begin()
                seen += len(records)
                await self.step(source.partition, Batch(records, CLOCK.monotonic_s()))
            if CLOCK.monotonic_s() - committed_at > 1.0:
                await self.settle(consumer)
                committed_at = CLOCK.monotonic_s()
        await self.settle(consumer)
        self.meter.end(seen)

    async def settle(self, consumer: AIOKafkaConsumer) -> None:
        await asyncio.gather(*self.pending)
        self.pending.clear()
        await consumer.commit()

    async def step(self, partition: int, batch: Batch) -> None:
        if partition not in self.works:
            self.parts[partition] = {table: {} for table in TABLES}
            self.works[partition] = self.make_work(partition, self.parts[partition])
        outcome = self.works[partition].absorb(batch)
        if outcome.messages:
            await asyncio.gather(*[await self.send(partition, message) for message in outcome.messages])
        for stage in outcome.stages:
            for table, rows in stage.items():
                if rows:
                    await self.write(partition, table, rows)

    async def send(self, partition: int, message: Message) -> asyncio.Future[Any]:
        target = partition if message.partition is None else message.partition
        topic, key, value, headers, _ = message
        sent: asyncio.Future[Any] = await self.producer.send(
            topic, value, key=key, partition=target, headers=list(headers)
        )
        return sent

    async def write(self, partition: int, table: str, rows: Rows) -> None:
        part, topic = self.parts[partition][table], f"{self.order.app_id}-{table}-changelog"
        now_ms = CLOCK.now_us() // 1000
        batch = self.producer.create_batch()
        for key, value in rows.items():
            if value is None:
                part.pop(key, None)
            else:
                part[key] = value
            if batch.append(key=key, value=value, timestamp=now_ms) is None:
                batch.close()
                self.pending.append(await self.producer.send_batch(batch, topic, partition=partition))
                batch = self.producer.create_batch()
                batch.append(key=key, value=value, timestamp=now_ms)
        batch.close()
        self.pending.append(await self.producer.send_batch(batch, topic, partition=partition))


async def run_bare(order: Order) -> None:
    """Made where its loop runs; with the worker's tuning, for a fair comparison."""
    collect_garbage_rarely()
    await Bare(order).run()

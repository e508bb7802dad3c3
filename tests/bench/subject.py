"""One measured process: drains the topics as a fresh group, says how fast, and ends.

`python -m tests.bench.subject '<Order as JSON>'` prints one JSON line. Kinds: `bare` and `worker` over either
work, `stock` and `recover` over the detector only.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import faust
import msgspec
import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from app.clock import SystemClock
from app.rules import load_rules
from app.settings import RULES_FOLDER, Settings
from app.stream.app import StreamApp, StreamSettings
from app.stream.failure import Failure
from app.stream.messages import TopicNames
from app.stream.metrics import WorkerMetrics
from app.stream.partition import DriftPartition
from app.stream.rule_partition import TABLES, WorkerPlan
from app.stream.work import Batch, Message, Outcome, Part, PartitionWork, Rows
from app.stream.worker import WorkerApp, build_worker, collect_garbage_rarely, run_app
from app.telemetry import configure_logging
from app.wiring import build_codecs
from schemas.topics import CHAIN_EVENTS, DB_CHANGES
from tests.bench.workload import PARTITIONS
from tests.support.credit_stream import ENVIRONMENT

CLOCK = SystemClock()
PRODUCER = {"acks": "all", "linger_ms": 0, "max_batch_size": 512 * 1024}
MOST_POLLED = 4000


class Order(msgspec.Struct):
    """What to run. `events`: how many until the end."""

    kind: str
    work: str
    brokers: str
    prefix: str
    app_id: str
    events: int


class Measured(msgspec.Struct):
    """From the first batch to the last commit."""

    events: int
    seconds: float
    cpu_s: float
    rss_mb: float


class Meter:
    """Begins with the first batch."""

    def __init__(self) -> None:
        self.began = self.cpu = 0.0

    def begin(self) -> None:
        if not self.began:
            self.began, self.cpu = CLOCK.monotonic_s(), time.process_time()

    def end(self, events: int) -> None:
        """Say it, and leave at once."""
        rss_mb = peak_mb()
        seconds, cpu_s = CLOCK.monotonic_s() - self.began, time.process_time() - self.cpu
        print(
            orjson.dumps(Measured(events, seconds, cpu_s, rss_mb), default=msgspec.to_builtins).decode(),
            flush=True,
        )
        os._exit(0)


def peak_mb() -> float:
    """The most memory that this process had; `getrusage` would tell its parent's, where that was more."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


class TrivialWork:
    """Reads the JSON and keeps one small row a key: what is left is the framework."""

    def __init__(self, partition: int, parts: Mapping[str, Part]) -> None:
        self.partition, self.part = partition, parts[TABLES[0]]

    def absorb(self, batch: Batch) -> Outcome:
        rows: Rows = {}
        for record in batch.records:
            value = orjson.loads(record.value)  # type: ignore[arg-type]
            if len(value) > 1 and record.key is not None:
                held = rows.get(record.key) or self.part.get(record.key) or b"0"
                rows[record.key] = b"%d %d" % (int(held.partition(b" ")[0]) + 1, record.offset)
        return Outcome([], [{TABLES[0]: rows}])

    def tick(self) -> Outcome:
        return Outcome()

    def published(self, outcome: Outcome) -> None:
        pass

    def park(self, cause: Exception) -> Outcome:
        raise cause

    def close(self) -> None:
        pass


def make_plan(order: Order) -> WorkerPlan:
    """The shipped credit rule, as the worker has it."""
    rules = load_rules([RULES_FOLDER / "credit.yaml"], ENVIRONMENT)
    codecs = build_codecs(rules, order.prefix)
    metrics = WorkerMetrics(CLOCK, codecs)
    return WorkerPlan(
        rules, codecs, CLOCK, metrics, PARTITIONS, "db", TopicNames(order.prefix), from_empty=True
    )


def work_maker(order: Order) -> Callable[[int, Mapping[str, Part]], PartitionWork]:
    if order.work == "trivial":
        return TrivialWork
    plan = make_plan(order)
    return lambda partition, parts: DriftPartition(plan, partition, parts)


# ---- bare aiokafka


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


# ---- the worker


def stop_at(app: StreamApp, order: Order) -> None:
    """Measure an app of ours from its first batch until all events are committed."""
    meter = Meter()
    absorb = app.step.absorb

    async def absorb_measured(partition: int, batch: Batch) -> None:
        meter.begin()
        await absorb(partition, batch)

    app.step.absorb = absorb_measured  # type: ignore[method-assign]

    async def look() -> None:
        if sum(app.events_total.values()) >= order.events:
            await app.consumer.commit()
            meter.end(sum(app.events_total.values()))

    app.timer(0.02)(look)


def make_worker(order: Order) -> StreamApp:
    if order.work == "trivial":
        settings = StreamSettings(order.app_id, order.brokers, PARTITIONS)
        sources = [order.prefix + DB_CHANGES, order.prefix + CHAIN_EVENTS]
        return StreamApp(settings, sources, TABLES, TrivialWork, CLOCK)
    rules = load_rules([RULES_FOLDER / "credit.yaml"], ENVIRONMENT)
    worker: WorkerApp = build_worker(
        Settings(
            kafka=order.brokers,
            topic_prefix=order.prefix,
            app_id=order.app_id,
            partitions=PARTITIONS,
            from_empty=True,
            worker_port=0,
        ),
        rules,
        build_codecs(rules, order.prefix),
        CLOCK,
    )
    return worker


def end_when_ready(app: StreamApp) -> None:
    """Measure from the assignment until the app may read: the tables are recovered, the works are built."""
    meter = Meter()
    ready = app.on_rebalance_end

    async def begin(*_: Any, **__: Any) -> None:
        meter.begin()

    def end() -> None:
        ready()
        meter.end(sum(len(table.data.data) for table in app.batch_tables.values()))

    app.on_partitions_assigned.connect(begin)
    app.on_rebalance_end = end


# ---- stock Faust


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


def main() -> None:
    """Run the order in the first argument."""
    order = msgspec.json.decode(sys.argv[1], type=Order)
    configure_logging("WARNING", as_json=True)
    if order.kind == "bare":
        uvloop.run(run_bare(order))
    elif order.kind == "worker":
        app = make_worker(order)
        stop_at(app, order)
        run_app(app)
    elif order.kind == "recover":
        app = make_worker(order)
        end_when_ready(app)
        run_app(app)
    else:
        run_app(make_stock(order))


if __name__ == "__main__":
    main()

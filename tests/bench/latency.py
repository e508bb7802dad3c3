"""From a record that is visible to the event that it causes, at 1,000 events a second."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from app.clock import SystemClock
from app.detector.values import format_time
from app.native.child import free_port
from app.rules.canonical import microseconds
from app.settings import RULES_FOLDER, Settings
from app.stream.worker import changelogs_of
from connectors.kafka.topics import ensure_topics
from schemas.topics import CHAIN_EVENTS, MISMATCHES
from tests.bench.workload import PARTITIONS
from tests.support.commands import Running
from tests.support.credit_stream import ENVIRONMENT, CreditStream, Told
from tests.support.waiting import eventually

CLOCK = SystemClock()
EVENTS_PER_S = 1_000
CHANGES = 300
LEDGERS = 30
WARM_UP = 12
"""Ledgers until the windows have passed; what is told before is not measured."""


class Latency:
    """Marks out, mismatches in. `seconds`: event visible less the later of the two marks that decided it."""

    def __init__(self, brokers: str, prefix: str) -> None:
        self.brokers, self.prefix = brokers, prefix
        self.visible: dict[tuple[int, str, str], float] = {}
        self.seconds: list[float] = []
        self.is_warm = False

    async def run(self) -> list[float]:
        producer = AIOKafkaProducer(bootstrap_servers=self.brokers, acks="all", linger_ms=0)
        consumer = AIOKafkaConsumer(
            self.prefix + MISMATCHES, bootstrap_servers=self.brokers, auto_offset_reset="earliest"
        )
        await producer.start()
        await consumer.start()
        reading = asyncio.create_task(self._read(consumer))
        try:
            await self._send(producer)
            await CLOCK.sleep(1.0)
        finally:
            reading.cancel()
            await producer.stop()
            await consumer.stop()
        return sorted(self.seconds)

    async def _send(self, producer: AIOKafkaProducer) -> None:
        stream = CreditStream(keys=2_000, partitions=PARTITIONS, drift_every=20)
        for told in stream.birth():
            await self._tell(producer, told)
        began, sent = CLOCK.monotonic_s(), 0
        for number in range(WARM_UP + LEDGERS):
            self.is_warm = number >= WARM_UP
            for told in stream.ledgers(1, CHANGES):
                await self._tell(producer, told)
                sent += 1
                ahead = sent / EVENTS_PER_S - (CLOCK.monotonic_s() - began)
                if ahead > 0.002:
                    await CLOCK.sleep(ahead)

    async def _tell(self, producer: AIOKafkaProducer, told: Told) -> None:
        topic, partition, key, value = told
        acknowledged = await producer.send(self.prefix + topic, value, key=key, partition=partition)
        if key == b"mark" or key.startswith(b"wm:"):
            mark = (partition, *mark_of(told))
            acknowledged.add_done_callback(lambda _: self.visible.setdefault(mark, CLOCK.monotonic_s()))

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        async for record in consumer:
            now = CLOCK.monotonic_s()
            headers = {name: value.decode() for name, value in record.headers}
            marks = [
                (record.partition, side, headers[f"drift_watermark_{side}"]) for side in ("left", "right")
            ]
            if self.is_warm and all(mark in self.visible for mark in marks):
                self.seconds.append(now - max(self.visible[mark] for mark in marks))


def mark_of(told: Told) -> tuple[str, str]:
    """(side, the watermark that the mark makes, as events show it)."""
    value = orjson.loads(told.value)
    if told.topic == CHAIN_EVENTS:
        return "right", format_time(micros(value["closed_at"]))
    content = orjson.loads(base64.b64decode(value["message"]["content"]))
    return "left", format_time(micros(content["at"]) - 1)


def micros(text: str) -> int:
    found = microseconds(text)
    assert found is not None
    return found


@asynccontextmanager
async def worker(brokers: str, prefix: str, folder: Path) -> AsyncIterator[Running]:
    """`driftwatch worker` with the shipped settings and rule, told at once: nobody confirms anything here."""
    rule = folder / "credit.yaml"
    rule.write_text(
        (RULES_FOLDER / rule.name).read_text(encoding="utf-8") + "\nconfirm: off\n", encoding="utf-8"
    )
    app_id, port = f"{prefix}latency", free_port()
    await ensure_topics(
        Settings(kafka=brokers, topic_prefix=prefix, partitions=PARTITIONS), changelogs_of(app_id)
    )
    environment = {
        **os.environ,
        **ENVIRONMENT,
        "DRIFTWATCH_KAFKA": brokers,
        "DRIFTWATCH_TOPIC_PREFIX": prefix,
        "DRIFTWATCH_APP_ID": app_id,
        "DRIFTWATCH_PARTITIONS": str(PARTITIONS),
        "DRIFTWATCH_RULES": str(rule),
        "DRIFTWATCH_FROM_EMPTY": "true",
        "DRIFTWATCH_WORKER_PORT": str(port),
    }
    log = folder / "latency.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app", "worker", env=environment, stdout=output, stderr=output
        )
    running = Running(process, log, port)

    async def reads() -> bool:
        assert process.returncode is None, log.read_text()
        return (await running.readiness()).startswith("marks of")

    try:
        await eventually(reads, 60)
        yield running
    finally:
        if process.returncode is None:
            await running.stop()


async def measure_latency(brokers: str, folder: Path) -> list[float]:
    """Seconds, sorted."""
    prefix = f"latency{os.getpid()}."
    async with worker(brokers, prefix, folder):
        found: list[float] = await Latency(brokers, prefix).run()
    return found

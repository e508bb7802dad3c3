"""Runs measured processes one after another, on topics of the benchmark's own broker."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
from dataclasses import dataclass, field

import msgspec
from aiokafka.admin import AIOKafkaAdminClient

from app.clock import SystemClock
from app.stream.worker import changelogs_of
from tests.bench.measured import Measured, Order
from tests.bench.workload import PARTITIONS, RULE
from tests.support.kafka import COMPACT, create_topics

CLOCK = SystemClock()
AGAIN = 3
"""Rounds; each figure is the median of them."""
STOCK_EVENTS = 12_000
WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured, and of how many of the events."""

    name: str
    kind: str
    work: str
    events: int | None = None


SUBJECTS = (
    Subject("bare, trivial", "bare", "trivial"),
    Subject("worker, trivial", "worker", "trivial"),
    Subject("bare, detector", "bare", RULE),
    Subject("worker, detector", "worker", RULE),
    Subject("stock Faust, detector", "stock", RULE, STOCK_EVENTS),
)


@dataclass(slots=True)
class Rates:
    """What every round measured of each subject."""

    rounds: dict[str, list[Measured]] = field(default_factory=dict)

    def rate(self, name: str) -> float:
        """Events a second: the median."""
        return statistics.median(one.events / one.seconds for one in self.rounds[name])

    def cpu_us(self, name: str) -> float:
        return statistics.median(one.cpu_s / one.events * 1e6 for one in self.rounds[name])

    def ratio(self, name: str, to: str) -> float:
        """The median of the rounds' ratios: neighbours in time share the machine's load."""
        pairs = zip(self.rounds[name], self.rounds[to], strict=True)
        return statistics.median((a.events / a.seconds) / (b.events / b.seconds) for a, b in pairs)

    def spread(self, name: str) -> tuple[float, float]:
        rates = [one.events / one.seconds for one in self.rounds[name]]
        return min(rates), max(rates)


async def measure_rates(brokers: str, prefix: str, events: int) -> Rates:
    """All subjects, in interleaved rounds."""
    rates = Rates()
    for number in range(AGAIN):
        for place, subject in enumerate(SUBJECTS):
            app_id = f"bench-{os.getpid()}-{number}-{place}"
            order = Order(subject.kind, subject.work, brokers, prefix, app_id, subject.events or events)
            measured = await run(order)
            rates.rounds.setdefault(subject.name, []).append(measured)
            report(f"round {number + 1}: {subject.name}: {measured.events / measured.seconds:,.0f} events/s")
    return rates


async def run(order: Order) -> Measured:
    """One process; its changelogs are made before and removed afterwards."""
    changelogs = changelogs_of(order.app_id)
    if order.kind != "recover":
        await create_topics(order.brokers, changelogs, PARTITIONS, COMPACT)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.subject",
        msgspec.json.encode(order).decode(),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), WITHIN_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{order.kind} ended with {process.returncode}"
    if order.kind != "recover":
        await remove_topics(order.brokers, changelogs)
    return msgspec.json.decode(out.splitlines()[-1], type=Measured)


async def remove_topics(brokers: str, names: list[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        await admin.delete_topics(names)
    finally:
        await admin.close()


def report(line: str) -> None:
    """Progress, on stderr."""
    print(line, file=sys.stderr, flush=True)

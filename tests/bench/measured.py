"""What every measured process shares: its order, its meter, and the work that it does."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import orjson

from app.clock import SystemClock
from app.rules import load_rules
from app.settings import RULES_FOLDER
from app.stream.messages import TopicNames
from app.stream.metrics import WorkerMetrics
from app.stream.partition import DriftPartition
from app.stream.rule_partition import TABLES, WorkerPlan
from app.stream.work import Batch, Outcome, Part, PartitionWork, Rows
from app.wiring import build_codecs
from tests.bench.workload import PARTITIONS
from tests.support.credit_stream import ENVIRONMENT

CLOCK = SystemClock()


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

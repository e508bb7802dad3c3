"""A worker's partition in memory: records in, messages out, no broker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app.rules import LoadedRule
from app.stream.messages import TopicNames
from app.stream.metrics import WorkerMetrics
from app.stream.partition import DriftPartition
from app.stream.rule_partition import TABLES, WorkerPlan
from app.stream.work import Part
from app.wiring import build_codecs, compile_version
from schemas import topics

NOW_US = 1_785_578_705_000_000


class FrozenClock:
    """Stands at one moment: five minutes after 10:00:05 of the first of August 2026."""

    def now_us(self) -> int:
        return NOW_US

    def monotonic_s(self) -> float:
        return 5.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nobody sleeps here ({seconds} s)")


class Arrived(NamedTuple):
    """A record as aiokafka gives it."""

    value: bytes | None
    offset: int = 0
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    topic: str = topics.DB_CHANGES
    partition: int = 0
    timestamp: int = 1_785_578_400_000


def make_partition(rules: Sequence[LoadedRule], parts: Mapping[str, Part] | None = None) -> DriftPartition:
    """Partition 0 of 4 upon these rows; both histories begin with the topics."""
    clock, codecs = FrozenClock(), build_codecs(rules)
    metrics = WorkerMetrics(clock, codecs)
    plan = WorkerPlan(rules, codecs, clock, metrics, 4, "db", TopicNames(), True, compile_version())
    return DriftPartition(plan, 0, parts or {table: {} for table in TABLES})

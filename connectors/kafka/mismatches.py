"""Reads `drift.mismatches` as another team would: in order per key, duplicates told by their id."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from app.clock import Clock
from app.errors import Transient

_REMEMBERED: Final = 100_000


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One transition of an episode, and when this consumer saw it (microseconds UTC)."""

    id: str
    type: str
    time: str
    rule: str
    key: str
    value: dict[str, Any]
    headers: dict[str, str]
    seen_us: int

    @property
    def transition(self) -> str:
        """`opened`, `updated`, `resolved` or `reopened`."""
        return self.type.rpartition(".")[2]


class MismatchFeed:
    """The transitions of all partitions. `duplicates` counts those that had been told before, among the last
    100,000; `changed` those of them that then said something else, which must never be."""

    def __init__(self, consumer: AIOKafkaConsumer, clock: Clock) -> None:
        self._consumer, self._clock = consumer, clock
        self._known: dict[str, bytes] = {}
        self.duplicates = self.changed = 0

    async def __aiter__(self) -> AsyncIterator[Mismatch]:
        async for record in self._consumer:
            mismatch = read_mismatch(record, self._clock.now_us())
            if mismatch is None:
                continue
            told = self._known.get(mismatch.id)
            if told is not None:
                self.duplicates += 1
                self.changed += told != record.value
                continue
            self._known[mismatch.id] = record.value
            if len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]
            yield mismatch


def read_mismatch(record: Any, seen_us: int) -> Mismatch | None:
    """A record of the topic; None for one that is no mismatch event."""
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers or ()}
    if record.value is None or not headers.get("ce_type", "").startswith("drift.mismatch."):
        return None
    value = orjson.loads(record.value)
    return Mismatch(
        headers["ce_id"],
        headers["ce_type"],
        headers["ce_time"],
        str(value["rule"]),
        str(value["key"]),
        value,
        headers,
        seen_us,
    )


@asynccontextmanager
async def open_feed(
    brokers: str, topic: str, clock: Clock, *, from_beginning: bool = True
) -> AsyncIterator[MismatchFeed]:
    """A feed of the topic, of no group: it commits nothing. Raises `Transient` without a broker."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=brokers,
        auto_offset_reset="earliest" if from_beginning else "latest",
        enable_auto_commit=False,
        fetch_max_wait_ms=50,
    )
    try:
        await consumer.start()
    except KafkaError as error:
        await consumer.stop()
        raise Transient("reading", topic, error, f"is the broker at {brokers} up?") from error
    try:
        yield MismatchFeed(consumer, clock)
    finally:
        await consumer.stop()

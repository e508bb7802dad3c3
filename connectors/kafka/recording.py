"""Topics as a recorded log: one JSON line a record, in the order of arrival."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from app.clock import Clock
from app.errors import Fatal, Transient
from app.ports import Record

_TURN_MS: Final = 200
_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Extent:
    """What to record: all that the topics hold or only what comes; for how long (None: until told to stop),
    or only up to what was there at the beginning."""

    from_beginning: bool = False
    to_end: bool = False
    seconds: float | None = None


class Recorder:
    """Reads committed records of whole topics and joins no group. `names` maps each topic to the name that
    stands in the log. Raises `Fatal` for a topic that is not there, `Transient` for trouble with Kafka."""

    def __init__(self, brokers: str, names: Mapping[str, str], clock: Clock) -> None:
        self._brokers, self._names, self._clock = brokers, dict(names), clock
        self.counts: Counter[str] = Counter()

    async def run(self, extent: Extent, write: Callable[[bytes], object], stop: asyncio.Event) -> None:
        """Write lines, whole ones at a time, until `stop` or the end of the extent."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._brokers,
            client_id="driftwatch-record",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        try:
            await consumer.start()
            try:
                sources = await self._sources()
                consumer.assign(sources)
                await self._read(consumer, sources, extent, write, stop)
            finally:
                await consumer.stop()
        except KafkaError as error:
            raise Transient("recording from", self._brokers, type(error).__name__, "is Kafka up?") from error

    async def _sources(self) -> list[TopicPartition]:
        client = AIOKafkaClient(bootstrap_servers=self._brokers)
        await client.bootstrap()
        try:
            known = await client.fetch_all_metadata()
        finally:
            await client.close()
        missing = sorted(set(self._names) - known.topics())
        if missing:
            raise Fatal("recording", ", ".join(missing), "no such topic", "see `driftwatch topics`")
        return [
            TopicPartition(topic, partition)
            for topic in self._names
            for partition in sorted(known.partitions_for_topic(topic) or ())
        ]

    async def _read(
        self,
        consumer: Any,
        sources: Sequence[TopicPartition],
        extent: Extent,
        write: Callable[[bytes], object],
        stop: asyncio.Event,
    ) -> None:
        ends: Mapping[TopicPartition, int] = await consumer.end_offsets(sources)
        for source in sources:
            if extent.from_beginning:
                await consumer.seek_to_beginning(source)
            else:
                consumer.seek(source, ends[source])
        left = {source for source in sources if ends[source] > 0}
        deadline = None if extent.seconds is None else self._clock.monotonic_s() + extent.seconds
        while not stop.is_set() and (deadline is None or self._clock.monotonic_s() < deadline):
            for source in list(left) if extent.to_end else ():
                if await consumer.position(source) >= ends[source]:
                    left.discard(source)
            if extent.to_end and not left:
                return
            fetched = await consumer.getmany(timeout_ms=_TURN_MS, max_records=_MOST)
            for source, records in fetched.items():
                name = self._names[source.topic]
                kept = [one for one in records if not extent.to_end or one.offset < ends[source]]
                write(b"".join(line_of(one, name) for one in kept))
                self.counts[name] += len(kept)


def line_of(record: Record, topic: str) -> bytes:
    """The line of a record (wire format, section 7). Its bytes are kept: as the JSON that they are, or else
    as base64."""
    line: dict[str, Any] = {
        "topic": topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        **_key(record.key),
        **_value(record.value),
        "headers": {name: value.decode("utf-8", "backslashreplace") for name, value in record.headers},
    }
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _key(raw: bytes | None) -> dict[str, Any]:
    try:
        return {"key": None if raw is None else raw.decode()}
    except UnicodeDecodeError:
        return {"key_b64": base64.b64encode(raw or b"").decode()}


def _value(raw: bytes | None) -> dict[str, Any]:
    if raw is None:
        return {"value": None}
    if raw != b"null" and not raw.isspace() and b"\n" not in raw and b"\r" not in raw:
        try:
            orjson.loads(raw)
            return {"value": orjson.Fragment(raw)}
        except orjson.JSONDecodeError:
            pass
    return {"value_b64": base64.b64encode(raw).decode()}

"""A seed's or a sweep's side of Kafka: observations and control records out, runs told and found again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.detector.model import EntryAsOf, RowAsOf, Rule, Seeded
from app.errors import Fatal, Transient
from app.partitioning import partition_of
from app.rules.canonical import microseconds
from app.settings import Settings
from connectors.kafka.observations import encode_read, encode_seeded
from connectors.kafka.reading import read_all
from schemas import topics

_LARGEST_BURIED: Final = 512 * 1024
"""Bytes of mismatches in a dead letter; a broker takes a megabyte unless it was told otherwise."""

_partition_of = lru_cache(maxsize=1 << 12)(partition_of)
"""The row and the entry of a key come one after the other."""


class SeedLog:
    """Writes to `drift.observations` and `drift.status`; what a call wrote is acknowledged by all replicas
    when it returns. Its producer is opened when it is needed and after each failure, so that a call that
    raised `Transient` may be repeated: duplicates say the same again."""

    def __init__(self, settings: Settings, network: str, origin: str = "seed") -> None:
        self._origin = origin
        self._brokers, self._network, self._partitions = settings.kafka, network, settings.partitions
        self._observations = settings.topic(topics.OBSERVATIONS)
        self._status = settings.topic(topics.STATUS)
        self._cursor = settings.topic(topics.CHAIN_CURSOR)
        self._episodes = settings.topic(topics.EPISODES)
        self._dead_letters = settings.topic(topics.DEAD_LETTERS)
        self._producer: Any = None

    async def close(self) -> None:
        """Close the producer; it is opened again when it is needed."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def check(self) -> None:
        """Are the topics there as they are expected? Raises `Fatal` where their partitions are others."""
        async with self._writing(self._observations):
            pass

    async def publish(self, rule: Rule, reads: Sequence[RowAsOf | EntryAsOf], run: str) -> None:
        """The observations, each in the partition of its key, in their order; as whole batches, which cost a
        third of single records."""
        async with self._writing(self._observations):
            producer, topic = self._producer, self._observations
            batches: dict[int, Any] = {}
            sent = []
            for read in reads:
                key = read.key.encode("utf-8", "surrogatepass")
                partition = _partition_of(key, self._partitions)
                body = encode_read(rule, read, run, self._origin)
                batch = batches.get(partition)
                if batch is None or batch.append(key=key, value=body, timestamp=None) is None:
                    if batch is not None:
                        sent.append(await self._send_batch(producer, batch, partition))
                    batch = batches[partition] = producer.create_batch()
                    if batch.append(key=key, value=body, timestamp=None) is None:
                        raise Fatal("writing to", topic, f"the value of {read.key[:80]!r} is too large")
            for partition, batch in batches.items():
                sent.append(await self._send_batch(producer, batch, partition))
            await asyncio.gather(*sent)

    async def _send_batch(self, producer: Any, batch: Any, partition: int) -> Any:
        batch.close()
        return await producer.send_batch(batch, self._observations, partition=partition)

    async def finish_side(self, seeded: Seeded, run: str) -> None:
        """The control record, behind all that was published before, in every partition."""
        body = encode_seeded(seeded, run)
        async with self._writing(self._observations) as send:
            everywhere = range(self._partitions)
            sent = [await send(self._observations, body, partition=one) for one in everywhere]
            await asyncio.gather(*sent)

    async def tell_run(self, run: Mapping[str, object]) -> None:
        """The present state of a run, in the place of the one before."""
        key = f"run|{run['rule']}|{run['run']}".encode()
        headers = [("content-type", b"application/json")]
        async with self._writing(self._status) as send:
            await (await send(self._status, orjson.dumps(dict(run)), key=key, headers=headers))

    async def find_runs(self, rule: str) -> list[dict[str, Any]]:
        """The last state of every run of a rule that the topic still holds."""
        prefix = f"run|{rule}|".encode()
        newest: dict[bytes, bytes | None] = {}
        async for record in read_all(self._brokers, self._status, self._partitions):
            if record.key is not None and record.key.startswith(prefix):
                newest[record.key] = record.value
        return [orjson.loads(value) for value in newest.values() if value is not None]

    async def followed_ledger(self) -> int | None:
        """Up to which ledger the poller has published the network; None before it has begun."""
        found: bytes | None = None
        async for record in read_all(self._brokers, self._cursor, 1):
            if record.key == self._network.encode():
                found = record.value
        return None if found is None else int(orjson.loads(found)["ledger"])

    async def open_episodes(self, rule: str) -> dict[str, dict[str, Any]]:
        """The last transition of every episode of a rule that is open now, by key."""
        prefix = f"{rule}|".encode()
        newest: dict[bytes, bytes | None] = {}
        async for record in read_all(self._brokers, self._episodes, self._partitions):
            if record.key is not None and record.key.startswith(prefix):
                newest[record.key] = record.value
        found = [orjson.loads(value) for value in newest.values() if value is not None]
        return {value["key"]: value for value in found if value["transition"] != "resolved"}

    async def forget_run(self, rule: str, run: str) -> None:
        """Nothing of an old run is kept."""
        async with self._writing(self._status) as send:
            await (await send(self._status, None, key=f"run|{rule}|{run}".encode()))

    async def tell_incident(self, incident: Mapping[str, object]) -> None:
        """The present state of an incident, in the place of the one before."""
        headers = [("content-type", b"application/json")]
        async with self._writing(self._status) as send:
            key = f"incident|{incident['id']}".encode()
            await (await send(self._status, orjson.dumps(dict(incident)), key=key, headers=headers))

    async def bury_run(self, run: Mapping[str, object], mismatches: Sequence[Mapping[str, Any]]) -> None:
        """A run that is given up, with the mismatches that it saw, among the dead letters; of very many the
        first ones, as a message must not be larger than a broker takes."""
        why = {
            "topic": topics.REQUESTS,
            "partition": 0,
            "offset": 0,
            "timestamp": (microseconds(str(run["requested_at"])) or 0) // 1000,
            "stage": "run",
            "class": "RunFailed",
            "message": str(run["why"])[:1000],
        }
        headers = [(f"__drift.errors.{name}", str(text).encode()) for name, text in why.items()]
        shown = _first_of(mismatches, _LARGEST_BURIED)
        body = orjson.dumps({"run": dict(run), "mismatches": shown})
        async with self._writing(self._dead_letters) as send:
            key = str(run["rule"]).encode()
            await (await send(self._dead_letters, body, key=key, headers=headers))

    @asynccontextmanager
    async def _writing(self, topic: str) -> AsyncIterator[Any]:
        try:
            if self._producer is None:
                self._producer = await self._open()
            yield self._producer.send
        except KafkaError as error:
            self._producer, failed = None, self._producer
            if failed is not None:
                await failed.stop()
            raise Transient("writing to", topic, _said(error)) from error

    async def _open(self) -> Any:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._brokers, acks="all", linger_ms=5, max_batch_size=256 * 1024
        )
        try:
            await producer.start()
            for topic in (self._observations, self._status):
                found = len(await producer.partitions_for(topic) or ())
                if found != self._partitions:
                    hint = "set DRIFTWATCH_PARTITIONS to what all co-partitioned topics have"
                    cause = f"{found} partitions instead of {self._partitions}"
                    raise Fatal("checking the topic", topic, cause, hint)
        except BaseException:
            await producer.stop()
            raise
        return producer


def _first_of(values: Sequence[Mapping[str, Any]], most_bytes: int) -> list[Mapping[str, Any]]:
    sizes = accumulate(len(orjson.dumps(value)) for value in values)
    return [value for value, size in zip(values, sizes, strict=True) if size <= most_bytes]


def _said(error: KafkaError) -> str:
    return f"{type(error).__name__} {error}".strip()

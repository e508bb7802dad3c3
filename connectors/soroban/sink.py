"""The poller's side of Kafka: one transaction a batch, and who of several pollers may write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError

from app.errors import DriftwatchError, Fatal
from connectors.soroban import cursor as cursors
from connectors.soroban.cursor import Cursor
from connectors.soroban.records import Batch, Keyed

TRANSACTION_TIMEOUT_MS: Final = 10_000
_TURN_MS: Final = 200


class SinkLost(DriftwatchError):
    """The transaction failed, or another poller has taken over: begin again at the stored cursor."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a network's records go: brokers, topics, the number of partitions, the network's name."""

    brokers: str
    events_topic: str
    cursor_topic: str
    partitions: int
    network: str
    group: str
    status_topic: str


class KafkaSink:
    """Batches as transactions. Entering it fences every earlier writer of this network and waits for the end
    of what that one had begun, so a cursor read afterwards is the last word."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._producer: Any = None
        self._one_at_a_time = asyncio.Lock()
        self._may_tell = self._is_lost = False

    async def __aenter__(self) -> Self:
        place = self._place
        self._producer = AIOKafkaProducer(
            bootstrap_servers=place.brokers,
            client_id=f"{place.group}-writer",
            transactional_id=place.group,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            acks="all",
            linger_ms=5,
            max_batch_size=256 * 1024,
            max_request_size=8 * 1024 * 1024,
        )
        try:
            await self._producer.start()
            await self._check_partitions()
        except KafkaError as error:
            await self._producer.stop()
            raise SinkLost("opening a writer to", place.brokers, _said(error)) from error
        except BaseException:
            await self._producer.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._producer.stop()
        except KafkaError as failed:
            if error is None:
                raise SinkLost("closing the writer to", self._place.brokers, _said(failed)) from failed

    async def publish(self, batch: Batch) -> None:
        """One transaction; acknowledged by the broker when this returns. Raises `SinkLost`."""
        async with self._transaction(self._place.events_topic):
            await asyncio.gather(*await self._send(batch))

    async def tell(self, status: Keyed) -> None:
        """Publish how far the network is followed; like a batch, only for who holds the seat. Nothing where
        there is no such topic. Raises `SinkLost`."""
        topic = self._place.status_topic
        if not self._may_tell:
            return
        async with self._transaction(topic):
            await (await self._producer.send(topic, status.value, key=status.key.encode()))

    @asynccontextmanager
    async def _transaction(self, topic: str) -> AsyncIterator[None]:
        """One at a time; after one that failed there is none any more: the fence may have fallen."""
        async with self._one_at_a_time:
            if self._is_lost:
                raise SinkLost("writing to", topic, "the transaction before this one failed")
            try:
                async with self._producer.transaction():
                    yield
            except KafkaError as error:
                self._is_lost = True
                raise SinkLost("writing to", topic, _said(error)) from error

    async def _send(self, batch: Batch) -> list[Any]:
        topic, everywhere = self._place.events_topic, range(self._place.partitions)
        name = batch.network.encode()
        records: list[tuple[str, bytes, bytes, int | None]] = []
        if batch.gap is not None:
            records += [(topic, batch.gap, name, one) for one in everywhere]
        records += [(topic, record.value, record.key.encode(), None) for record in batch.records]
        if batch.mark is not None:
            records += [(topic, batch.mark, name, one) for one in everywhere]
        records.append((self._place.cursor_topic, batch.cursor, name, 0))
        sent: list[Any] = []
        try:
            for to, value, key, partition in records:
                sent.append(await self._producer.send(to, value, key=key, partition=partition))
        except KafkaError:
            await asyncio.gather(*sent, return_exceptions=True)  # told once, by the error that is raised
            raise
        return sent

    async def _check_partitions(self) -> None:
        known = await self._producer.client.fetch_all_metadata()  # asks for no topic, so it creates none
        self._may_tell = self._place.status_topic in known.topics()
        wanted = ((self._place.events_topic, self._place.partitions), (self._place.cursor_topic, 1))
        for topic, expected in wanted:
            found = len(await self._producer.partitions_for(topic) or ())
            if found != expected:
                hint = (
                    "create the topic so, or set DRIFTWATCH_PARTITIONS to what all co-partitioned topics have"
                )
                raise Fatal("checking the topic", topic, f"{found} partitions instead of {expected}", hint)


class Seat:
    """The right to follow a network: the only partition of `chain.cursor`, given to one member of its group.
    Entering joins the group; leaving gives the seat up. Who joins later does not take the seat away."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._partition = TopicPartition(place.cursor_topic, 0)
        self._consumer: Any = None

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(
            self._place.cursor_topic,
            bootstrap_servers=self._place.brokers,
            group_id=self._place.group,
            client_id=f"{self._place.group}-seat",
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=8_000,
            heartbeat_interval_ms=1_000,
            partition_assignment_strategy=(StickyPartitionAssignor, RoundRobinPartitionAssignor),
        )
        try:
            await self._consumer.start()
        except KafkaError as error:
            await self._consumer.stop()
            raise SinkLost("joining the group at", self._place.brokers, _said(error)) from error
        except BaseException:
            await asyncio.shield(self._consumer.stop())
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Cancelled in the middle, a member would keep its heart beating, and the seat with it.
        await asyncio.shield(self._consumer.stop())

    @property
    def is_held(self) -> bool:
        """This process may write."""
        return self._partition in self._consumer.assignment()

    async def turn(self) -> None:
        """Take part in the group for a moment; to be called all the time, or the seat is given away."""
        try:
            await self._consumer.getmany(timeout_ms=_TURN_MS)
        except KafkaError as error:
            raise SinkLost("taking part in the group at", self._place.brokers, _said(error)) from error

    async def read_cursor(self) -> Cursor | None:
        """The last committed cursor of the network; for the holder, behind the fence of its sink."""
        consumer, partition = self._consumer, self._partition
        name = self._place.network.encode()
        found: bytes | None = None
        try:
            end = (await consumer.end_offsets([partition]))[partition]
            await consumer.seek_to_beginning(partition)
            while await consumer.position(partition) < end:
                records = await consumer.getmany(partition, timeout_ms=_TURN_MS)
                for record in records.get(partition, ()):
                    found = record.value if record.key == name else found
        except KafkaError as error:
            raise SinkLost("reading", self._place.cursor_topic, _said(error)) from error
        return None if found is None else cursors.from_json(found)


def _said(error: KafkaError) -> str:
    return f"{type(error).__name__} {error}".strip()

"""The recorders' share of the topics that are recorded; what each has stored is committed by it alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from app.errors import Transient
from app.ports import Record
from app.recording import RECORDED, Place
from app.settings import Settings
from app.telemetry import get_logger
from connectors.kafka.reading import read_all
from schemas.topics import EPISODES

log = get_logger(__name__)

_MOST: Final = 1000
_PATIENCE_MS: Final = 24 * 3_600_000
"""A recorder that waits for its database stays in the group: another one would wait for it as well."""


class RecorderFeed(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types
    """Implements `app.desk.ports.Feed`. Recorders of one `app_id` share the partitions."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topics = [settings.topic(name) for name in RECORDED]
        self._consumer: Any = None
        self._held: frozenset[Place] = frozenset()

    async def __aenter__(self) -> Self:
        settings = self._settings
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka,
            group_id=f"{settings.topic_prefix}{settings.app_id}-recorder",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=int(settings.session_timeout_s * 1000),
            heartbeat_interval_ms=int(settings.session_timeout_s * 100),
            max_poll_interval_ms=_PATIENCE_MS,
        )
        self._consumer.subscribe(self._topics, listener=self)
        try:
            await self._consumer.start()
        except KafkaError as error:
            await self._consumer.stop()
            raise Transient("reading", ", ".join(self._topics), error, "is the broker up?") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        self._held = frozenset()

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        self._held = frozenset(Place(each.topic, each.partition) for each in assigned)

    @property
    def held(self) -> frozenset[Place]:
        return self._held

    async def take(self, within_s: float) -> Sequence[Record]:
        try:
            polled = await self._consumer.getmany(timeout_ms=int(within_s * 1000), max_records=_MOST)
        except KafkaError as error:
            raise _trouble("reading", self._topics, error) from error
        return [record for records in polled.values() for record in records]

    async def committed(self, place: Place) -> int | None:
        try:
            found: int | None = await self._consumer.committed(TopicPartition(*place))
        except KafkaError as error:
            raise _trouble("reading the offsets of", [place.topic], error) from error
        return found

    async def commit(self, offsets: Mapping[Place, int]) -> None:
        mine = {
            TopicPartition(*place): OffsetAndMetadata(offset, "")
            for place, offset in offsets.items()
            if place in self._held
        }
        if not mine:
            return
        try:
            await self._consumer.commit(mine)
        except (KafkaError, IllegalStateError) as error:
            log.warning("Records will be read again", event_name="commit_failed", reason=str(error))

    def seek(self, offsets: Mapping[Place, int]) -> None:
        for place, offset in offsets.items():
            if place in self._held:
                self._consumer.seek(TopicPartition(*place), offset)

    async def ends(self, topic: str) -> Mapping[Place, int]:
        places = [TopicPartition(topic, number) for number in range(self._settings.partitions)]
        try:
            ends = await self._consumer.end_offsets(places)
            starts = await self._consumer.beginning_offsets(places)
        except KafkaError as error:
            raise _trouble("reading the ends of", [topic], error) from error
        return {Place(each.topic, each.partition): ends[each] for each in places if ends[each] > starts[each]}

    async def open_episodes(self) -> AsyncIterator[Record]:
        settings = self._settings
        async for record in read_all(settings.kafka, settings.topic(EPISODES), settings.partitions):
            yield record


def _trouble(doing: str, topics: Sequence[str], error: KafkaError) -> Transient:
    return Transient(doing, ", ".join(topics), f"{type(error).__name__} {error}".strip(), "is the broker up?")

"""The recorders' share of the topics that are recorded; what each has stored is committed by it alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from app.ports import Record
from app.recording import RECORDED, Place
from app.settings import Settings
from app.telemetry import get_logger
from connectors.kafka.group import FOR_EVER_MS, GroupReader
from connectors.kafka.reading import read_all
from schemas.topics import EPISODES

log = get_logger(__name__)

_MOST: Final = 1000


class RecorderFeed(GroupReader, ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types
    """Implements `app.desk.ports.Feed`. Recorders of one `app_id` share the partitions."""

    def __init__(self, settings: Settings) -> None:
        topics = [settings.topic(name) for name in RECORDED]
        super().__init__(settings, "recorder", topics, max_poll_interval_ms=FOR_EVER_MS)
        self._held: frozenset[Place] = frozenset()

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        self._held = frozenset()

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        self._held = frozenset(Place(each.topic, each.partition) for each in assigned)

    @property
    def held(self) -> frozenset[Place]:
        return self._held

    async def take(self, within_s: float) -> Sequence[Record]:
        return await self._poll(within_s, _MOST)

    async def committed(self, place: Place) -> int | None:
        try:
            found: int | None = await self._consumer.committed(TopicPartition(*place))
        except KafkaError as error:
            raise self._trouble("reading the offsets of", error, [place.topic]) from error
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
            raise self._trouble("reading the ends of", error, [topic]) from error
        return {Place(each.topic, each.partition): ends[each] for each in places if ends[each] > starts[each]}

    async def open_episodes(self) -> AsyncIterator[Record]:
        settings = self._settings
        async for record in read_all(settings.kafka, settings.topic(EPISODES), settings.partitions):
            yield record

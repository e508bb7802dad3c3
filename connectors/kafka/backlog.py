"""How far the workers are behind in `drift.observations`: its ends, less what their group has committed."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from app.errors import Transient
from app.settings import Settings
from schemas.topics import OBSERVATIONS


class WorkersBacklog:
    """Asks the brokers each time. What is committed is up to a commit interval (a second) older than what the
    workers have taken in, so the answer is never too small."""

    def __init__(self, settings: Settings) -> None:
        topic = settings.topic(OBSERVATIONS)
        self._settings, self._group = settings, settings.app_id
        self._places = [TopicPartition(topic, one) for one in range(settings.partitions)]
        self._admin: Any = None
        self._ends: Any = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def count_waiting(self) -> int:
        """The most records of a partition that no worker has committed; a partition of which none ever was
        committed counts as 0. Raises `Transient`."""
        try:
            if self._admin is None:
                await self._open()
            found = await self._admin.list_consumer_group_offsets(self._group, partitions=self._places)
            ends = await self._ends.end_offsets(self._places)
        except KafkaError as error:
            await self._close()
            raise Transient("reading", f"the offsets of {self._group}", error, "is the broker up?") from error
        committed = {place: held.offset for place, held in found.items() if held.offset >= 0}
        return max((ends[place] - offset for place, offset in committed.items()), default=0)

    async def _open(self) -> None:
        self._ends = AIOKafkaConsumer(bootstrap_servers=self._settings.kafka, enable_auto_commit=False)
        self._admin = AIOKafkaAdminClient(bootstrap_servers=self._settings.kafka)
        await self._ends.start()
        await self._admin.start()

    async def _close(self) -> None:
        admin, ends, self._admin, self._ends = self._admin, self._ends, None, None
        if ends is not None:
            await ends.stop()
        if admin is not None:
            await admin.close()

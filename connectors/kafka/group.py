"""A process's share of some topics: what a group of readers takes, and commits once it has dealt with it."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import KafkaError

from app.errors import Transient
from app.settings import Settings
from app.telemetry import get_logger

log = get_logger(__name__)

FOR_EVER_MS: Final = 24 * 3_600_000
"""For a reader that waits for what it writes to and stays in the group: another one would wait as well."""


class GroupReader:
    """Of the group `<app id>-<name>`; as a rebalance listener, where a subclass is one, told of its
    partitions. A new group begins with the oldest record, unless `options` (the consumer's) say other."""

    def __init__(self, settings: Settings, name: str, topics: Sequence[str], **options: Any) -> None:
        self._settings, self._topics = settings, topics
        self._options = {
            "bootstrap_servers": settings.kafka,
            "group_id": f"{settings.topic_prefix}{settings.app_id}-{name}",
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "isolation_level": "read_committed",
            "session_timeout_ms": int(settings.session_timeout_s * 1000),
            "heartbeat_interval_ms": int(settings.session_timeout_s * 100),
            **options,
        }
        self._consumer: Any = None

    async def __aenter__(self) -> Self:
        """Join. Raises `Transient` without a broker."""
        self._consumer = AIOKafkaConsumer(**self._options)
        listener = self if isinstance(self, ConsumerRebalanceListener) else None
        self._consumer.subscribe(self._topics, listener=listener)
        try:
            await self._consumer.start()
        except KafkaError as error:
            await self._consumer.stop()
            raise self._trouble("reading", error) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def _poll(self, within_s: float, most: int) -> list[Any]:
        """The records that have come, of each partition in its order. Raises `Transient`."""
        try:
            polled = await self._consumer.getmany(timeout_ms=int(within_s * 1000), max_records=most)
        except KafkaError as error:
            raise self._trouble("reading", error) from error
        return [record for records in polled.values() for record in records]

    async def done(self) -> None:
        """All that was taken is dealt with. Where that cannot be committed, or a rebalance is in between, it
        is taken again."""
        try:
            await self._consumer.commit()
        except KafkaError as error:
            group = self._options["group_id"]
            log.warning(
                "Records will be read again", event_name="commit_failed", group=group, reason=str(error)
            )

    def _trouble(self, doing: str, error: KafkaError, topics: Sequence[str] = ()) -> Transient:
        cause = f"{type(error).__name__} {error}".strip()
        return Transient(doing, ", ".join(topics or self._topics), cause, "is the broker up?")

"""Transitions for whoever tells people: a consumer group of its own, and committed once they are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.errors import Transient
from app.notices import TRANSITIONS, Event, Kind, Severity, Transition
from app.rules.canonical import microseconds
from app.settings import Settings
from app.telemetry import get_logger
from connectors.kafka.mismatches import Mismatch, read_mismatch
from schemas.topics import MISMATCHES

log = get_logger(__name__)

_MOST: Final = 500
_REPLACED: Final = "\ufffd"


class TransitionFeed:
    """This process's share of `drift.mismatches`; `refused` counts records that are no transition.

    A group that comes for the first time begins at the present end, durably: a crash before its first commit
    skips nothing. Its `from_beginning` makes it begin with the oldest record instead.
    """

    def __init__(self, settings: Settings, *, from_beginning: bool = False) -> None:
        self._settings, self._topic = settings, settings.topic(MISMATCHES)
        self._group = f"{settings.topic_prefix}{settings.app_id}-notifier"
        self._from_beginning = from_beginning
        self._consumer: Any = None
        self.refused = 0

    async def open(self) -> None:
        """Join the group. Raises `Transient` without a broker."""
        settings = self._settings
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=int(settings.session_timeout_s * 1000),
            heartbeat_interval_ms=int(settings.session_timeout_s * 100),
        )
        try:
            if not self._from_beginning:
                await self._begin()
            self._consumer.subscribe([self._topic])
            await self._consumer.start()
        except KafkaError as error:
            await self._consumer.stop()
            raise Transient("reading", self._topic, error, "is the broker up?") from error

    async def close(self) -> None:
        """Leave the group; what was not committed comes again."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def _begin(self) -> None:
        """Commit the present end of every partition of which nothing is committed."""
        places = [TopicPartition(self._topic, one) for one in range(self._settings.partitions)]
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka, group_id=self._group, enable_auto_commit=False
        )
        await consumer.start()
        try:
            consumer.assign(places)
            new = [place for place in places if await consumer.committed(place) is None]
            if new:
                await consumer.commit(await consumer.end_offsets(new))
        finally:
            await consumer.stop()

    async def take(self, within_s: float) -> Sequence[Transition]:
        """What has come, in order per key, 500 at most. Raises `Transient`."""
        try:
            polled = await self._consumer.getmany(timeout_ms=int(within_s * 1000), max_records=_MOST)
        except KafkaError as error:
            raise Transient("reading", self._topic, f"{type(error).__name__} {error}".strip()) from error
        return list(self._read(record for records in polled.values() for record in records))

    async def done(self) -> None:
        """All that was taken is kept. A rebalance in between repeats it, which is harmless."""
        try:
            await self._consumer.commit()
        except KafkaError as error:
            log.warning("Transitions will be read again", event_name="commit_failed", reason=str(error))

    def _read(self, records: Iterator[Any]) -> Iterator[Transition]:
        for record in records:
            try:
                yield read_transition(record)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                self.refused += 1
                log.warning(
                    "This is no transition",
                    event_name="transition_refused",
                    partition=record.partition,
                    offset=record.offset,
                    reason=f"{type(error).__name__} {error}",
                )


def read_transition(record: Any) -> Transition:
    """A record of the topic. Raises ValueError, KeyError, TypeError or AttributeError for anything else.

    NUL, which PostgreSQL cannot hold, becomes U+FFFD.
    """
    mismatch = read_mismatch(record, 0)
    at_us = None if mismatch is None else microseconds(mismatch.time)
    if mismatch is None or at_us is None:
        raise ValueError("no mismatch event")
    kind = Kind(mismatch.transition)
    if kind not in TRANSITIONS:
        raise ValueError(f"no transition: {kind}")
    event = _event(mismatch)
    if b"\\u0000" in record.value:
        event = _without_nul(event)
    value = event["data"]
    return Transition(
        id=mismatch.id,
        kind=kind,
        rule=mismatch.rule,
        key=str(value["key"]),
        episode=str(value["episode"]),
        severity=Severity(value["severity"]),
        at_us=at_us,
        event=event,
    )


def _event(mismatch: Mismatch) -> Event:
    headers = mismatch.headers
    return {
        "specversion": "1.0",
        "id": mismatch.id,
        "source": headers["ce_source"],
        "type": mismatch.type,
        "subject": headers["ce_subject"],
        "time": mismatch.time,
        "datacontenttype": "application/json",
        "dataschema": headers["ce_dataschema"],
        "data": {name: mismatch.value[name] for name in _NEEDED} | mismatch.value,
    }


_NEEDED: Final = (
    "episode",
    "transition",
    "rule",
    "key",
    "severity",
    "since",
    "until",
    "differences",
    "cause",
)
"""What is read of a transition further on."""


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", _REPLACED)
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(item) for name, item in value.items()}
    return value

"""`drift.requests`: the questions about suspects, shared by all sweepers."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from app.detector.model import INFINITY
from app.errors import Transient
from app.rules.canonical import microseconds
from app.settings import Settings
from app.telemetry import get_logger
from schemas.topics import REQUESTS

log = get_logger(__name__)

_MOST: Final = 1000


class _NotBefore(msgspec.Struct):
    ledger: int | None = None


class _Request(msgspec.Struct):
    request: str
    rule: str = ""
    key: str = ""
    not_before: _NotBefore = msgspec.field(default_factory=_NotBefore)
    history_from: str | None = None


@dataclass(frozen=True, slots=True)
class ConfirmRequest:
    """A key to be read live: its entry at `ledger` or later. `asked_at`: when that was asked, µs;
    `history_from`: back to when it is wanted what the entry was, µs; INFINITY: not at all."""

    rule: str
    key: str
    ledger: int
    asked_at: int
    history_from: int = INFINITY


class ConfirmRequests:
    """A consumer group of its own takes this kind of request; `done` commits what `take` gave."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._topic = settings, settings.topic(REQUESTS)
        self._consumer: Any = None

    async def __aenter__(self) -> Self:
        settings = self._settings
        self._consumer = AIOKafkaConsumer(
            self._topic,
            bootstrap_servers=settings.kafka,
            group_id=f"{settings.topic_prefix}{settings.app_id}-confirm",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=50,
            session_timeout_ms=int(settings.session_timeout_s * 1000),
            heartbeat_interval_ms=int(settings.session_timeout_s * 100),
        )
        try:
            await self._consumer.start()
        except KafkaError as error:
            await self._consumer.stop()
            raise Transient("reading", self._topic, error, "is the broker up?") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def take(self, within_s: float) -> list[ConfirmRequest]:
        """What has come, in order. Raises `Transient`."""
        try:
            polled = await self._consumer.getmany(timeout_ms=int(within_s * 1000), max_records=_MOST)
        except KafkaError as error:
            raise Transient("reading", self._topic, error) from error
        return [asked for records in polled.values() for one in records if (asked := _read(one)) is not None]

    async def done(self) -> None:
        """All that was taken is answered, or never will be."""
        try:
            await self._consumer.commit()
        except KafkaError as error:
            log.warning("Questions will be read again", event_name="commit_failed", reason=str(error))


def _read(record: Any) -> ConfirmRequest | None:
    """Other kinds, and what is no request at all (the other group counts it), are passed over."""
    try:
        found = msgspec.json.decode(record.value or b"{}", type=_Request)
    except msgspec.MsgspecError:
        return None
    if found.request != "confirm" or not found.rule or not found.key:
        return None
    history_from = None if found.history_from is None else microseconds(found.history_from)
    return ConfirmRequest(
        found.rule,
        found.key,
        found.not_before.ledger or 0,
        record.timestamp * 1000,
        INFINITY if history_from is None else history_from,
    )

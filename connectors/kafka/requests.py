"""`drift.requests`: what asks for sweeps, and the group of sweepers that take their kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
import orjson
from aiokafka import AIOKafkaProducer, ConsumerRebalanceListener
from aiokafka.errors import KafkaError

from app.detector.values import derive_id
from app.errors import Transient
from app.partitioning import partition_of
from app.settings import Settings
from app.telemetry import get_logger
from connectors.kafka.group import GroupReader
from schemas.topics import REQUESTS

log = get_logger(__name__)

_MOST: Final = 500

Action = Literal["start", "pause", "resume"]


class _Request(msgspec.Struct):
    request: str
    rule: str = ""
    run: str = ""
    cause: str = ""
    action: Action = "start"


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """Somebody wants a rule to be swept, or its sweep paused or taken up again."""

    rule: str
    run: str
    cause: str
    action: Action = "start"


def encode_request(request: SweepRequest) -> bytes:
    """The record's value; its key is the rule."""
    body = {"request": "sweep", "rule": request.rule, "run": request.run, "cause": request.cause}
    if request.action != "start":
        body["action"] = request.action
    return orjson.dumps(body)


async def ask_sweeps(settings: Settings, rules: Iterable[str], cause: str, at_us: int) -> None:
    """Request a sweep of each rule; acknowledged on return. Raises `Transient`."""
    await send_requests(
        settings, [SweepRequest(rule, derive_id("sweep", rule, cause, at_us), cause) for rule in rules]
    )


async def send_requests(settings: Settings, requests: Sequence[SweepRequest]) -> None:
    """Send requests; acknowledged on return. Raises `Transient`."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all")
    try:
        await producer.start()
        topic = settings.topic(REQUESTS)
        for request in requests:
            await producer.send_and_wait(topic, encode_request(request), key=request.rule.encode())
    except KafkaError as error:
        raise Transient("asking for a sweep at", settings.kafka, error, "is the broker up?") from error
    finally:
        await producer.stop()


class SweepRequests(GroupReader, ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types
    """The sweepers' share of the topic. Each rule has one home partition, that of its key, and who holds it
    sweeps the rule; a request that stands elsewhere (a worker writes into its own partition) is sent home.

    What `take` gave is committed by `done`, once it stands in the runs' records.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, "sweeper", [settings.topic(REQUESTS)])
        self._partitions = settings.partitions
        self.held: frozenset[int] = frozenset()
        self.refused = 0

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        self.held = frozenset()

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        self.held = frozenset(place.partition for place in assigned)

    def is_home(self, rule: str) -> bool:
        """Is this the process that sweeps the rule?"""
        return partition_of(rule.encode(), self._partitions) in self.held

    async def take(self, within_s: float) -> list[SweepRequest]:
        """What has come, in order; those for other homes are sent there. Raises `Transient`."""
        found = [request for one in await self._poll(within_s, _MOST) if (request := self._read(one))]
        away = [request for request in found if not self.is_home(request.rule)]
        if away:
            await send_requests(self._settings, list({(one.rule, one.cause): one for one in away}.values()))
        return [request for request in found if self.is_home(request.rule)]

    def _read(self, record: Any) -> SweepRequest | None:
        if record.value is None:
            return None
        try:
            found = msgspec.json.decode(record.value, type=_Request)
        except msgspec.MsgspecError as error:
            self.refused += 1
            log.warning(
                "This is no request",
                event_name="request_refused",
                partition=record.partition,
                offset=record.offset,
                reason=str(error),
            )
            return None
        if found.request != "sweep":
            return None
        return SweepRequest(found.rule, found.run, found.cause, found.action)

"""Records that nobody could read, sent again from `drift.dead-letters` to where they came from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from app.detector.model import Observation
from app.errors import Poison, Transient
from app.ports import Codec
from app.settings import Settings
from schemas.topics import DEAD_LETTERS

_ERRORS: Final = "__drift.errors."
_WITHIN_S: Final = 8.0
_POLL_MS: Final = 2000

_GONE: Final = "the broker holds it no longer; `driftwatch sweep` reads both sides again"
_RECORDED: Final = (
    "it stands in its topic still, and only the recorder could not keep it: mend what the reason names, then "
    "`driftwatch recorder --rebuild`"
)
_PASSED: Final = (
    "it says how far its topic had come, or what happened there, and would be untrue now; `driftwatch sweep` "
    "reads both sides again"
)
_NOBODYS: Final = "no rule of this process reads it: name the rule's file in DRIFTWATCH_RULES"


@dataclass(frozen=True, slots=True)
class Original:
    """A record as it was before it was refused; a `Record`."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def original_of(letter: Any) -> Original:
    """What a record of `drift.dead-letters` was; the recorder keeps none that does not say."""
    why = {
        name.removeprefix(_ERRORS): value.decode()
        for name, value in letter.headers
        if name.startswith(_ERRORS)
    }
    own = [(name, value) for name, value in letter.headers if not name.startswith(_ERRORS)]
    place = (why["topic"], int(why["partition"]), int(why["offset"]), int(why["timestamp"]))
    return Original(*place, letter.key, letter.value, own)


def why_not(original: Original, codecs: Mapping[str, Codec]) -> str | None:
    """Why there is no sense in sending it again, and what to do instead; None where there is. What it says of
    a key is welcome however late, since rows and entries carry their own positions; promises and losses are
    bound to their place in the topic."""
    codec = codecs.get(original.topic)
    if codec is None:
        return _RECORDED
    try:
        inputs = codec.decode(original)
    except Poison as poison:
        return f"it still cannot be read: {poison}; `driftwatch sweep` reads both sides again without it"
    if not inputs:
        return _NOBODYS
    return None if all(isinstance(each, Observation) for each in inputs) else _PASSED


class RefusedRecords:
    """Implements `app.api.ports.Resending` for the kind `record`. What is sent again is what came, byte for
    byte, in its own partition and with its own time; only its offset is another one."""

    def __init__(self, settings: Settings, codecs: Mapping[str, Codec]) -> None:
        self._brokers, self._letters, self._codecs = settings.kafka, settings.topic(DEAD_LETTERS), codecs

    async def resend(self, letters: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        """Why, by their ids, for those that are not sent; the others are acknowledged by all replicas. Raises
        `Transient`, after eight seconds at most; some may have been sent then."""
        try:
            async with asyncio.timeout(_WITHIN_S):
                return await self._resend(letters)
        except (KafkaError, TimeoutError) as error:
            raise Transient("sending again through", self._brokers, error, "is the broker up?") from error

    async def _resend(self, letters: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        places = {str(letter["id"]): letter["payload"] for letter in letters}
        refused = {one: _RECORDED for one, place in places.items() if place["topic"] != self._letters}
        found: list[Original] = []
        buried = {one: place for one, place in places.items() if one not in refused}
        async with aclosing(self._read(buried)) as originals:
            async for one, original in originals:
                why = _GONE if original is None else why_not(original, self._codecs)
                if why is not None:
                    refused[one] = why
                elif original is not None:
                    found.append(original)
        if found:
            async with _started(AIOKafkaProducer(bootstrap_servers=self._brokers, acks="all")) as producer:
                for each in found:
                    await _send(producer, each)
        return refused

    async def _read(
        self, places: Mapping[str, Mapping[str, Any]]
    ) -> AsyncGenerator[tuple[str, Original | None], None]:
        """The originals of letters by their ids, None for what the broker has deleted."""
        if not places:
            return
        async with _started(AIOKafkaConsumer(bootstrap_servers=self._brokers, **_READING)) as consumer:
            partitions = [TopicPartition(self._letters, place["partition"]) for place in places.values()]
            consumer.assign(partitions)
            for (one, place), partition in zip(places.items(), partitions, strict=True):
                yield one, await self._find(consumer, partition, place["offset"])

    @staticmethod
    async def _find(consumer: Any, place: TopicPartition, offset: int) -> Original | None:
        starts, ends = await consumer.beginning_offsets([place]), await consumer.end_offsets([place])
        if not starts[place] <= offset < ends[place]:
            return None
        consumer.seek(place, offset)
        polled = await consumer.getmany(place, timeout_ms=_POLL_MS, max_records=1)
        found = [record for records in polled.values() for record in records if record.offset == offset]
        return original_of(found[0]) if found else None


_READING: Final = {"enable_auto_commit": False, "isolation_level": "read_committed"}


async def _send(producer: Any, one: Original) -> None:
    await producer.send_and_wait(
        one.topic,
        one.value,
        key=one.key,
        partition=one.partition,
        timestamp_ms=max(one.timestamp, 0),
        headers=list(one.headers),
    )


@asynccontextmanager
async def _started(client: Any) -> AsyncIterator[Any]:
    try:
        await client.start()
        yield client
    finally:
        await client.stop()

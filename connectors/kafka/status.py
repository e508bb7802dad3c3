"""Follows `drift.status`: how far the workers have judged, which runs there are, which incidents are open."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.errors import Transient
from app.rules.canonical import microseconds
from app.settings import Settings
from app.telemetry import get_logger
from schemas.topics import STATUS

log = get_logger(__name__)

_POLL_MS: Final = 250
_MOST_REPAIRS: Final = 1_000_000
_MOST_INCIDENTS: Final = 10_000


class StatusView:
    """The newest record of each key that matters here; up to date with the topic as it was on entering."""

    def __init__(self, settings: Settings) -> None:
        self._brokers, self._topic = settings.kafka, settings.topic(STATUS)
        self._partitions = settings.partitions
        self._runs: dict[str, dict[str, Any]] = {}
        self._verified: dict[tuple[str, int], int | None] = {}
        self._states: dict[tuple[str, int], tuple[str, str | None]] = {}
        self._open: dict[str, dict[str, Any]] = {}
        self._repairs: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self.incidents: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        """The latest ones, open and closed, by the record's key."""
        self._following: asyncio.Task[None] | None = None
        self._consumer: Any = None

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._brokers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        try:
            await self._consumer.start()
            places = [TopicPartition(self._topic, one) for one in range(self._partitions)]
            self._consumer.assign(places)
            ends = await self._consumer.end_offsets(places)
            left = {place for place in places if ends[place] > 0}
            while left:
                await self._poll()
                left = {place for place in left if await self._consumer.position(place) < ends[place]}
        except KafkaError as error:
            await self._consumer.stop()
            raise Transient("reading", self._topic, error, "is the broker up?") from error
        self._following = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
        await self._consumer.stop()

    # ---- what is known

    def runs(self, rule: str) -> list[Mapping[str, Any]]:
        """The records of all runs of a rule, oldest first."""
        mine = [run for run in self._runs.values() if run["rule"] == rule]
        return sorted(mine, key=lambda run: str(run.get("requested_at") or run["started_at"]))

    def run(self, rule: str, run: str) -> Mapping[str, Any] | None:
        """The record of one run."""
        return self._runs.get(f"run|{rule}|{run}")

    def rules(self) -> set[str]:
        """The rules that workers have told of."""
        return {rule for rule, _ in self._verified}

    def verified_through(self, rule: str) -> int | None:
        """Up to when (µs) the rule is judged in every partition; None where one has not said."""
        found = [self._verified.get((rule, one)) for one in range(self._partitions)]
        known = [at for at in found if at is not None]
        return min(known) if len(known) == self._partitions else None

    def states(self, rule: str) -> set[tuple[str, str | None]]:
        """What the partitions say of the rule: (state, cause)."""
        return {said for (of, _), said in self._states.items() if of == rule}

    def count_repaired(self, rule: str, since: int, through: int) -> int:
        """How many as-of reads of [since, through] (µs) proved that input of a key had been lost."""
        return sum(of == rule and since <= at <= through for of, at in self._repairs.values())

    def open_incidents(self, rule: str) -> list[Mapping[str, Any]]:
        """The incidents of a rule that have not ended."""
        return [incident for incident in self._open.values() if incident["rule"] == rule]

    # ---- reading

    async def _follow(self) -> None:
        while True:
            try:
                await self._poll()
            except KafkaError as error:
                log.warning("The status cannot be read", event_name="status_trouble", reason=str(error))

    async def _poll(self) -> None:
        for record in self._records(await self._consumer.getmany(timeout_ms=_POLL_MS)):
            key = "" if record.key is None else record.key.decode("utf-8", "replace")
            kind = key.partition("|")[0]
            value = None if record.value is None else orjson.loads(record.value)
            if kind == "run":
                _keep(self._runs, key, value)
            elif kind == "incident":
                self._see_incident(key, value)
            elif kind == "status" and value is not None:
                verified = value["verified_through"]
                at = None if verified is None else microseconds(verified)
                self._verified[value["rule"], value["partition"]] = at
                self._states[value["rule"], value["partition"]] = (value["state"], value.get("cause"))

    def _see_incident(self, key: str, value: dict[str, Any] | None) -> None:
        _keep(self._open, key, value if value is not None and value["state"] == "open" else None)
        if value is not None:
            self.incidents[key] = value
            if len(self.incidents) > _MOST_INCIDENTS:
                self.incidents.popitem(last=False)
        if value is not None and value["cause"] == "as_of":
            self._repairs[key] = (value["rule"], microseconds(value["until"] or "") or 0)
            if len(self._repairs) > _MOST_REPAIRS:
                self._repairs.popitem(last=False)

    @staticmethod
    def _records(polled: Mapping[Any, list[Any]]) -> Iterator[Any]:
        for records in polled.values():
            yield from records


def _keep(held: dict[str, dict[str, Any]], key: str, value: dict[str, Any] | None) -> None:
    if value is None:
        held.pop(key, None)
    else:
        held[key] = value

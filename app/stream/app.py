"""A Faust app whose agent, tables and commits go by batches and steps."""
# mypy: disallow-subclassing-any=False

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import faust

from app.clock import Clock
from app.stream.consumer import BatchTransport
from app.stream.deliveries import Deliveries
from app.stream.failure import Failure, FreezeCheck
from app.stream.step import Step
from app.stream.table import BatchSchema, BatchTable
from app.stream.work import MakeWork, PartitionWork, Rows
from app.telemetry import Endpoint, get_logger

log = get_logger(__name__)


MOST_FETCHED_BYTES: Final = 4 * 1024 * 1024
"""Of a partition at once. With Faust's 1 MiB a backlog was read at half the speed: after each 1,500 records
the steps waited for the broker's next answer. Costs up to that much memory a partition."""


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How the app talks to Kafka. Times in seconds."""

    app_id: str
    brokers: str
    partitions: int
    instance_id: str | None = None
    session_timeout_s: float = 30.0
    heartbeat_s: float = 3.0
    commit_interval_s: float = 1.0
    linger_s: float = 0.01
    tick_s: float = 5.0
    most_polled: int = 4000

    def as_faust(self) -> dict[str, Any]:
        """Faust's names for it, and what is the same for every app of ours."""
        return {
            "id": self.app_id,
            "broker": [f"kafka://{address}" for address in self.brokers.split(",")],
            "topic_partitions": self.partitions,
            "consumer_group_instance_id": self.instance_id,
            "broker_session_timeout": self.session_timeout_s,
            "broker_heartbeat_interval": self.heartbeat_s,
            "broker_commit_interval": self.commit_interval_s,
            "broker_max_poll_records": self.most_polled,
            "processing_guarantee": "at_least_once",
            "store": "memory://",
            "table_standby_replicas": 0,
            "topic_disable_leader": True,
            "topic_allow_declare": False,
            "producer_acks": -1,
            "producer_linger": 0.0,
            "producer_max_batch_size": 512 * 1024,
            "producer_request_timeout": min(10.0, self.session_timeout_s / 2),
            "consumer_auto_offset_reset": "earliest",
            "consumer_max_fetch_size": MOST_FETCHED_BYTES,
            "stream_buffer_maxsize": 1024,
            "stream_recovery_delay": 0.0,
            "stream_wait_empty": True,
            "web_enabled": False,
            "web_tables_enabled": False,
            "web_router_enabled": False,
        }


class StreamApp(faust.App):
    """Faust keeps the life cycle, the group, the assignor and recovery; records travel in batches, and
    every step follows the order of `Step`. `topics` are read by one serial agent; a partition number is the
    unit of state."""

    def __init__(
        self,
        settings: StreamSettings,
        topics: Sequence[str],
        tables: Iterable[str],
        make_work: MakeWork,
        clock: Clock,
    ) -> None:
        self.clock, self.make_work = clock, make_work
        self.linger_s = settings.linger_s
        self.failure = Failure()
        self.deliveries = Deliveries(self.failure)
        self.freeze = FreezeCheck(clock, self.failure, settings.session_timeout_s / 2)
        self.step = Step(self)
        self.works: dict[int, PartitionWork] = {}
        self.parked: set[int] = set()
        self.events_total: dict[str, int] = dict.fromkeys(topics, 0)
        self.endpoint: Endpoint | None = None
        super().__init__(**settings.as_faust())
        self.batch_tables: dict[str, BatchTable] = {
            name: self.tables.add(BatchTable(self, name=name, partitions=settings.partitions))
            for name in tables
        }
        self._declare_agent(topics)
        self.timer(1.0)(self._turn)
        self.timer(settings.tick_s)(self._tick)
        self.on_rebalance_complete.connect(self._resume)

    def _new_transport(self) -> BatchTransport:
        """Relies on (1): the consumer comes from here."""
        return BatchTransport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """The tables live in memory and in Kafka; nothing is kept on disk."""

    def _declare_agent(self, topics: Sequence[str]) -> None:
        channel = self.topic(*topics, schema=BatchSchema(key_serializer="raw", value_serializer="raw"))

        async def absorb(stream: Any) -> None:
            """Relies on (5, 8): the stream drops messages of old generations without an ack; Faust
            acknowledges a message whose agent raised, so the commit gate is closed first."""
            async for event in stream.events():
                try:
                    await self.step.absorb(event.message.partition, event.value)
                    self.events_total[event.message.topic] += len(event.value.records)
                except BaseException as error:
                    self.failure.declare(error)
                    raise

        self.agent(channel, name="absorb", concurrency=1)(absorb)

    # ---- partitions

    def owned_partitions(self) -> set[int]:
        """Partitions on which a timer may work now. Relies on (17): `assignor.assigned_actives`,
        `tables.actives_ready`, `rebalancing`."""
        if self.rebalancing or not self.tables.actives_ready:
            return set()
        changelogs = self.tables.changelog_topics
        return {tp.partition for tp in self.assignor.assigned_actives() if tp.topic in changelogs}

    def work_of(self, partition: int) -> PartitionWork:
        """The partition's work; built upon its recovered rows where there is none yet."""
        work = self.works.get(partition)
        if work is None:
            parts = {name: table.part(partition) for name, table in self.batch_tables.items()}
            work = self.works[partition] = self.make_work(partition, parts)
        return work

    def forget_partition(self, partition: int) -> None:
        """Its rows are gone or will be read again."""
        work = self.works.pop(partition, None)
        if work is not None:
            work.close()
        self.parked.discard(partition)

    def park(self, partition: int) -> None:
        """Read nothing more of this partition, and commit nothing: whoever owns it next meets the same
        record.

        Its rows stand as the last good step left them; its work does not, and is only told of time."""
        self.parked.add(partition)
        self.consumer.pause_partitions(
            {
                tp
                for tp in self.consumer.assignment()
                if tp.partition == partition and tp.topic in self.events_total
            }
        )

    async def _resume(self, *_: Any, **__: Any) -> None:
        """After recovery, before the streams go on: build the works, and let parked partitions try again."""
        for partition in list(self.parked):
            self.forget_partition(partition)
        changelogs = self.tables.changelog_topics
        partitions = sorted(
            {tp.partition for tp in self.assignor.assigned_actives() if tp.topic in changelogs}
        )
        async with self.step.lock:
            for partition in partitions:
                await self._prepare(partition)
                self.work_of(partition)
        log.info("partitions recovered", event_name="recovered", partitions=partitions)

    async def _prepare(self, partition: int) -> None:
        """What the partition needs beside its recovered rows, durable before anything is read."""
        try:
            for name, rows in (await self.find_missing_rows(partition)).items():
                self.forget_partition(partition)
                self.batch_tables[name].apply(partition, rows)
                await asyncio.gather(*await self.batch_tables[name].send_rows(partition, rows))
        except Exception as error:
            self.failure.declare(error)
            raise

    async def find_missing_rows(self, partition: int) -> Mapping[str, Rows]:
        """Rows by table that a partition's state lacks; a table without any is not named."""
        del partition
        return {}

    # ---- timers

    async def _turn(self) -> None:
        self.freeze.turn()

    async def _tick(self) -> None:
        try:
            for partition in sorted(self.owned_partitions()):
                await self.step.tick(partition)
        except Exception as error:
            self.failure.declare(error)
            raise

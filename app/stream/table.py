"""A Faust table of bytes: one dict a partition, its changelog written as record batches."""
# mypy: disallow-subclassing-any=False

from __future__ import annotations

import itertools
from collections import ChainMap
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

from faust.serializers.schemas import Schema
from faust.stores.memory import Store as MemoryStore
from faust.tables.table import Table
from faust.types import TP

from app.stream.work import Part, Rows, write_rows

if TYPE_CHECKING:
    from app.stream.app import StreamApp

RECOVERY_BUFFER = 2
"""Batches. Relies on (14): 1 has a special meaning in Faust: keep reading the changelog for ever."""


class BatchSchema(Schema):
    """Relies on (10): a topic decodes with `schema.compile(app, …)(message)`. Hands the batch on; nothing is
    decoded."""

    def compile(self, app: Any, **_: Any) -> Callable[..., Any]:
        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return app.create_event(None, message.value, [], message)

        return decode


class _Everything(ChainMap[bytes, bytes]):
    """All partitions' rows, for whoever reads a table without knowing its partitions."""

    def __len__(self) -> int:
        return sum(map(len, self.maps))

    def __iter__(self) -> Iterator[bytes]:
        return itertools.chain.from_iterable([list(part) for part in self.maps])


class PartitionedStore(MemoryStore):
    """No ghost keys: losing a partition is one pop. Relies on (12): `on_rebalance` comes before recovery,
    with changelog partitions in its sets; `apply_changelog_batch`; `on_recovery_completed`."""

    def __post_init__(self) -> None:
        self.parts: dict[int, Part] = {}
        self.data = _Everything()

    def part(self, partition: int) -> Part:
        """The rows of one partition; made empty where there are none."""
        if partition not in self.parts:
            self.parts[partition] = {}
            self.data.maps = list(self.parts.values())
        return self.parts[partition]

    def drop(self, partition: int) -> None:
        if self.parts.pop(partition, None) is not None:
            self.data.maps = list(self.parts.values())
        self.app.forget_partition(partition)

    def apply_changelog_batch(
        self, batch: Collection[Any], to_key: Callable[[Any], Any], to_value: Callable[[Any], Any]
    ) -> None:
        del to_key, to_value
        for event in batch:
            part = self.part(event.message.partition)
            for record in event.message.value.records:
                if record.value is None:
                    part.pop(record.key, None)
                else:
                    part[record.key] = record.value

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        del assigned, generation_id
        for tp in revoked | newly_assigned:
            if tp.topic == self.table.changelog_topic_name:
                self.drop(tp.partition)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        del standby_tps
        for partition in set(self.parts) - {tp.partition for tp in active_tps}:
            self.drop(partition)


class BatchTable(Table):
    """Bytes to bytes. Rows are read through `part`, and written by a step only. Relies on (12, 15): the table
    makes its store, and names its changelog."""

    app: StreamApp

    def __init__(self, app: StreamApp, **more: Any) -> None:
        schema = BatchSchema(key_serializer="raw", value_serializer="raw")
        super().__init__(
            app, key_type=bytes, value_type=bytes, schema=schema, recovery_buffer_size=RECOVERY_BUFFER, **more
        )

    def _new_store_by_url(self, url: Any) -> PartitionedStore:
        return PartitionedStore(
            url, self.app, self, table_name=self.name, key_type=bytes, value_type=bytes, loop=self.loop
        )

    def part(self, partition: int) -> Part:
        store: PartitionedStore = self.data
        return store.part(partition)

    def apply(self, partition: int, rows: Rows) -> None:
        """Change rows in memory; the changelog follows."""
        write_rows(self.part(partition), rows)

    async def send_rows(self, partition: int, rows: Rows) -> list[Any]:
        """Send changed rows to the changelog; the acknowledgements to wait for. Relies on (16):
        `create_batch`, `append` is None when full, `send_batch` keeps the order of a partition."""
        producer = self.app.producer._producer
        now_ms = self.app.clock.now_us() // 1000
        batch, count, sent = producer.create_batch(), 0, []
        for key, value in rows.items():
            if batch.append(key=key, value=value, timestamp=now_ms) is None:
                sent.append(await self._send(batch, partition, count))
                batch, count = producer.create_batch(), 0
                batch.append(key=key, value=value, timestamp=now_ms)
            count += 1
        sent.append(await self._send(batch, partition, count))
        return sent

    async def _send(self, batch: Any, partition: int, count: int) -> Any:
        batch.close()
        producer = self.app.producer._producer
        sent = self.app.deliveries.track(
            await producer.send_batch(batch, self.changelog_topic_name, partition=partition)
        )
        sent.add_done_callback(lambda done: self._advance(done, count))
        return sent

    def _advance(self, sent: Any, count: int) -> None:
        """Relies on (13): `recovery.active_offsets` says what is held: own writes are not read back after a
        rebalance."""
        if not sent.cancelled() and sent.exception() is None:
            written = sent.result()
            offsets = self.app.tables.recovery.active_offsets
            tp = TP(written.topic, written.partition)
            if tp in offsets:
                held = offsets[tp]
                offsets[tp] = max(-1 if held is None else held, written.offset + count - 1)

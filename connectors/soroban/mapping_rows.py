"""The rows of mapping tables as db.changes tells them, from now on."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.rules import ContractTable
from connectors.soroban.mapped import Row
from connectors.soroban.sink import SinkLost

_TURN_MS: Final = 20
_MOST: Final = 5000


class _Source(msgspec.Struct):
    table: str
    schema: str = ""
    ts_us: int = 0


class _Envelope(msgspec.Struct):
    op: str
    source: _Source
    after: dict[str, Any] | None = None


class MappingRows:
    """Entering takes the end of every partition as the place to read from: a table that is read afterwards
    misses nothing. Raises `SinkLost` for trouble with Kafka, lost records included: the table is then to be
    read anew."""

    def __init__(self, brokers: str, topic: str, partitions: int, tables: Iterable[ContractTable]) -> None:
        self._brokers, self._topic, self._partitions = brokers, topic, partitions
        self._tables = {table.table: table for table in tables}
        self._decode = msgspec.json.Decoder(_Envelope).decode
        self._consumer: Any = None

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._brokers,
            client_id="driftwatch-poller-mapping",
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
        )
        try:
            await self._consumer.start()
            sources = [TopicPartition(self._topic, number) for number in range(self._partitions)]
            self._consumer.assign(sources)
            await self._consumer.seek_to_end(*sources)
            for source in sources:
                await self._consumer.position(source)
        except KafkaError as error:
            await self._consumer.stop()
            raise SinkLost("reading the end of", self._topic, type(error).__name__) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def turn(self) -> list[Row]:
        """What was changed since the last call, in the order of each key."""
        try:
            fetched = await self._consumer.getmany(timeout_ms=_TURN_MS, max_records=_MOST)
        except KafkaError as error:
            raise SinkLost("reading", self._topic, type(error).__name__) from error
        found = (self.read(record.key, record.value) for records in fetched.values() for record in records)
        return [row for row in found if row is not None]

    def read(self, key: bytes | None, value: bytes | None) -> Row | None:
        """The row of a record; None for one of another table, and for one that is no row: the worker tells of
        those."""
        if key is None or value is None:
            return None
        try:
            change = self._decode(value)
            name = key.decode()
        except (msgspec.MsgspecError, ValueError):
            return None
        source = change.source
        table = self._tables.get(f"{source.schema}.{source.table}")
        if table is None or change.op not in ("c", "u", "r", "d"):
            return None
        contract = None if change.after is None else change.after.get(table.contract)
        return Row(table.table, name, contract if isinstance(contract, str) else None, source.ts_us)

"""`driftwatch connect` with a real Debezium: what arrives, what a kill does, what a lost slot means."""

from __future__ import annotations

import base64
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from app.clock import SystemClock
from app.demo.rows import SCHEMA
from app.native.child import free_port
from app.native.connect import NativeConnect
from app.native.jars import resolve_jars
from app.settings import Settings
from connectors.kafka.topics import ensure_topics
from tests.support.commands import Running, run_command, running_command
from tests.support.kafka import read_all
from tests.support.services import Services
from tests.support.waiting import eventually

PARTITIONS = 3
INSERT = "INSERT INTO credit_lines VALUES ($1, $2, 10.5, 3.25, 500, 'active', NULL, now())"


@dataclass
class Place:
    """A database, topics and an environment of a test's own."""

    environment: dict[str, str]
    connection: asyncpg.Connection
    kafka: str
    prefix: str
    folder: Path

    @asynccontextmanager
    async def connector(self, *flags: str, **more: str) -> AsyncIterator[Running]:
        port = free_port()
        environment = self.environment | {"DRIFTWATCH_CONNECT_PORT": str(port)} | more
        log = self.folder / "connect.log"
        async with running_command("connect", *flags, environment=environment, log=log, port=port) as running:
            yield running

    async def changes(self) -> list[dict[str, object]]:
        """Every row change in `db.changes`, its key and partition beside it."""
        records = await read_all(self.kafka, [f"{self.prefix}db.changes"], PARTITIONS)
        found = [(record, json.loads(record.value)) for record in records]
        return [
            value | {"kafka_key": record.key.decode(), "partition": record.partition}
            for record, value in found
            if value["op"] != "m"
        ]

    async def marks(self) -> list[tuple[int, dict[str, str]]]:
        """(partition, content) of every mark."""
        records = await read_all(self.kafka, [f"{self.prefix}db.changes"], PARTITIONS)
        messages = [(record.partition, json.loads(record.value)) for record in records]
        return [
            (partition, json.loads(base64.b64decode(value["message"]["content"])))
            for partition, value in messages
            if value["op"] == "m"
        ]

    async def gaps(self) -> list[tuple[int, dict[str, object]]]:
        records = await read_all(self.kafka, [f"{self.prefix}drift.observations"], PARTITIONS)
        found = [(record.partition, json.loads(record.value)) for record in records]
        return [(partition, value["gap"]) for partition, value in found if "gap" in value]

    async def clocks(self) -> list[tuple[int, int]]:
        """(partition, offset of the database's clock in ms) of every reading."""
        records = await read_all(self.kafka, [f"{self.prefix}drift.observations"], PARTITIONS)
        found = [(record.partition, json.loads(record.value)) for record in records]
        return [(partition, value["clock"]["offset_ms"]) for partition, value in found if "clock" in value]


@pytest.fixture
async def place(services: Services, tmp_path: Path) -> AsyncIterator[Place]:
    name = f"connect_{free_port()}"
    admin = await asyncpg.connect(services.database)
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.close()
    database = services.database.rpartition("/")[0] + f"/{name}"
    connection = await asyncpg.connect(database)
    await connection.execute(SCHEMA)
    environment = {
        "DRIFTWATCH_KAFKA": services.kafka,
        "DRIFTWATCH_DATABASE": database,
        "DRIFTWATCH_TOPIC_PREFIX": f"{name}.",
        "DRIFTWATCH_SLOT": name,
        "DRIFTWATCH_PARTITIONS": str(PARTITIONS),
        "DRIFTWATCH_HEARTBEAT_MS": "300",
        "CREDIT_CONTRACT_ID": "C",
    }
    await ensure_topics(Settings(kafka=services.kafka, topic_prefix=f"{name}.", partitions=PARTITIONS))
    try:
        yield Place(environment, connection, services.kafka, f"{name}.", tmp_path)
    finally:
        await drop_slot(connection, name)
        await connection.close()


async def drop_slot(connection: asyncpg.Connection, name: str) -> None:
    """Whoever streams it is cut off; absent is fine."""

    async def is_gone() -> bool:
        held = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1"
        row = await connection.fetchrow(held, name)
        if row is None:
            return True
        try:
            await connection.execute("SELECT pg_terminate_backend($1)", row["active_pid"] or 0)
            await connection.execute("SELECT pg_drop_replication_slot($1)", name)
        except asyncpg.PostgresError:
            return False
        return True

    await eventually(is_gone, within=20)


async def test_rows_arrive_under_their_rule_key_with_marks_in_every_partition(place: Place) -> None:
    async with place.connector("--create-slot") as running:
        await running.until_ready()
        await place.connection.execute(INSERT, 1, "GA")
        await place.connection.execute("UPDATE credit_lines SET status = 'closed'")
        await place.connection.execute("DELETE FROM credit_lines")

        async def has_all() -> bool:
            return len(await place.changes()) == 3

        await eventually(has_all, within=20, every=0.3)
        changes = await place.changes()
        assert [change["op"] for change in changes] == ["c", "u", "d"]
        assert {change["kafka_key"] for change in changes} == {"GA"}
        assert len({change["partition"] for change in changes}) == 1
        deleted = changes[2]["before"]
        assert isinstance(deleted, dict)
        assert deleted["credit_limit"] == "10.5000000"
        assert "updated_at" not in deleted, "the rule does not read it"
        marks = await place.marks()
        assert {partition for partition, _ in marks} == set(range(PARTITIONS))
        system, timeline, generation = marks[0][1]["epoch"].split("/", 2)
        assert system.isdecimal()
        assert timeline == "1"
        assert generation.count("/") == 1
        metrics = await running.metrics()
        read = await place.clocks()
        assert {partition for partition, _ in read} == set(range(PARTITIONS))
        assert all(abs(offset_ms) < 50 for _, offset_ms in read)
        assert "driftwatch_connector_up 1.0" in metrics
        assert "driftwatch_slot_active 1.0" in metrics


async def test_a_killed_connector_loses_nothing_and_repeats_with_the_same_positions(place: Place) -> None:
    async with place.connector("--create-slot") as running:
        await running.until_ready()
        for number in range(40):
            await place.connection.execute(INSERT, number, f"G{number}")
        await running.stop(signal.SIGKILL)
    for number in range(40, 60):
        await place.connection.execute(INSERT, number, f"G{number}")
    async with place.connector() as running:
        await running.until_ready()

        async def has_all() -> bool:
            return len({change["kafka_key"] for change in await place.changes()}) == 60

        await eventually(has_all, within=30, every=0.3)
    positions: dict[object, set[object]] = {}
    for change in await place.changes():
        source = change["source"]
        assert isinstance(source, dict)
        positions.setdefault(change["kafka_key"], set()).add(source["lsn"])
    assert {len(each) for each in positions.values()} == {1}


async def test_a_lost_slot_is_seen_and_a_new_one_is_made_only_with_the_gap_told_first(place: Place) -> None:
    slot = place.environment["DRIFTWATCH_SLOT"]
    async with place.connector("--create-slot") as running:
        await running.until_ready()
        await place.connection.execute(INSERT, 1, "GA")

        async def has_one() -> bool:
            return len(await place.changes()) == 1

        await eventually(has_one, within=20, every=0.3)
        assert await place.gaps() == [], "a first slot tells no gap"
        epoch_before = (await place.marks())[-1][1]["epoch"]
        await running.stop()
    await drop_slot(place.connection, slot)
    await place.connection.execute(INSERT, 2, "GB")
    refused = await run_command("connect", environment=place.environment)
    assert refused.code == 2
    assert f"slot {slot}: it is missing" in refused.err
    async with place.connector("--create-slot") as running:
        await running.until_ready()
        told = await place.gaps()
        assert [partition for partition, _ in told] == list(range(PARTITIONS))
        assert {str(gap["cause"]) for _, gap in told} == {"slot"}
        assert (await place.marks())[-1][1]["epoch"] != epoch_before


async def test_a_slot_dropped_while_streaming_ends_the_process_with_what_to_do(place: Place) -> None:
    async with place.connector("--create-slot") as running:
        await running.until_ready()
        await running.stop()
    async with place.connector() as running:
        await running.until_ready()
        await drop_slot(place.connection, place.environment["DRIFTWATCH_SLOT"])
        await eventually(lambda: running.process.returncode is not None, within=30)
        assert running.process.returncode == 2
        assert "--create-slot" in running.log.read_text()


async def test_a_worker_of_somebody_else_is_used_and_its_offset_wiped_each_time(place: Place) -> None:
    clock = SystemClock()
    kept: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        folder = place.folder / "somebody"
        worker = NativeConnect(resolve_jars(), place.kafka, folder, clock)
        stack.push_async_callback(worker.stop)
        await worker.start()
        for number in range(2):
            async with place.connector("--create-slot", DRIFTWATCH_CONNECT_URL=worker.url) as running:
                await running.until_ready()
                await place.connection.execute(INSERT, number, f"G{number}")
                await running.stop()
        assert worker.is_running, "it goes on without us"

        async def has_both() -> bool:
            kept.clear()
            kept.update(str(change["kafka_key"]) for change in await place.changes())
            return set(kept) == {"G0", "G1"}

        await eventually(has_both, within=20, every=0.3)

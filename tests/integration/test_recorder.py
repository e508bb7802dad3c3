"""`driftwatch recorder` as processes on a real broker and a real database."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from app.native.child import free_port
from app.settings import Settings
from connectors.kafka.topics import ensure_topics
from schemas.topics import EPISODES
from tests.support.commands import Running, run_command, running_command
from tests.support.kafka import count_behind
from tests.support.recording import Message, buried_run, opened, run_record, story, transition
from tests.support.services import Services
from tests.support.waiting import eventually

PARTITIONS = 4


@dataclass
class Place:
    """Topics of their own, and the name of a database that may not be there yet."""

    server: str
    name: str
    settings: Settings
    folder: Path
    producer: AIOKafkaProducer
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def dsn(self) -> str:
        return self.server.rpartition("/")[0] + f"/{self.name}"

    async def create(self) -> None:
        admin = await asyncpg.connect(self.server)
        await admin.execute(f"CREATE DATABASE {self.name}")
        await admin.close()

    async def drop(self) -> None:
        admin = await asyncpg.connect(self.server)
        await admin.execute(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
        await admin.close()

    async def send(self, *messages: Message) -> None:
        """Each into the partition of its drift key, as the worker does it."""
        for message in messages:
            key = (message.key or b"").partition(b"|")[2] or b""
            await self.producer.send_and_wait(
                self.settings.topic(message.topic),
                message.value,
                key=message.key,
                partition=(murmur2(key) & 0x7FFFFFFF) % PARTITIONS,
                headers=list(message.headers),
            )

    def recorder(self, name: str, *arguments: str) -> AbstractAsyncContextManager[Running]:
        port = free_port()
        environment = self.environment | {"DRIFTWATCH_RECORDER_PORT": str(port)}
        log = self.folder / f"{name}.log"
        return running_command("recorder", *arguments, environment=environment, log=log, port=port)

    def warned(self, *names: str) -> list[str]:
        """The keys of the mismatches that recorders logged."""
        lines = [line for name in names for line in (self.folder / f"{name}.log").read_text().splitlines()]
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [line["key"] for line in found if line.get("event_name") == "mismatch"]

    async def fetch(self, query: str) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    async def count(self, table: str = "episodes") -> int:
        try:
            [[found]] = await self.fetch(f"SELECT count(*) FROM recon.{table}")  # noqa: S608
        except asyncpg.PostgresError:
            return -1
        return int(found)

    async def behind(self) -> int:
        group = f"{self.settings.topic_prefix}{self.settings.app_id}-recorder"
        topics = [self.settings.topic("drift.mismatches")]
        return await count_behind(self.settings.kafka, group, topics, PARTITIONS)


@pytest.fixture(name="place")
async def _place(services: Services, tmp_path: Path) -> AsyncIterator[Place]:
    async with opened_place(services, tmp_path) as place:
        yield place


@asynccontextmanager
async def opened_place(services: Services, folder: Path) -> AsyncIterator[Place]:
    name = f"recorder_{free_port()}"
    settings = Settings(
        kafka=services.kafka, topic_prefix=f"{name}.", app_id=name, partitions=PARTITIONS, session_timeout_s=6
    )
    await ensure_topics(settings)
    producer = AIOKafkaProducer(bootstrap_servers=services.kafka, acks="all")
    await producer.start()
    place = Place(services.database, name, settings, folder, producer)
    place.environment = {
        "DRIFTWATCH_KAFKA": services.kafka,
        "DRIFTWATCH_DATABASE": services.database,
        "DRIFTWATCH_DESK_DATABASE": place.dsn,
        "DRIFTWATCH_TOPIC_PREFIX": f"{name}.",
        "DRIFTWATCH_APP_ID": name,
        "DRIFTWATCH_PARTITIONS": str(PARTITIONS),
        "DRIFTWATCH_SESSION_TIMEOUT_S": "6",
        "CREDIT_CONTRACT_ID": "CDB6WN753Y3ZKX74YJKIK5VVPHAPZZQIZIRMV6UUN6TW33QXVVTGIIQB",
    }
    try:
        yield place
    finally:
        await producer.stop()
        await place.drop()


def many(prefix: str, count: int) -> Sequence[Message]:
    return [opened(f"{prefix}{number}") for number in range(count)]


async def test_a_database_that_is_away_delays_no_warning_and_loses_nothing(place: Place) -> None:
    await place.send(*many("early", 5), *story(), run_record("r"), buried_run("q"))
    async with place.recorder("first", "--migrate") as recorder:
        await eventually(lambda: len(place.warned("first")) == 7, within=30)
        await eventually(lambda: is_waiting(recorder), within=10)
        assert await place.behind() == 10
        await place.create()
        await eventually(lambda: has_count(place, 6), within=30)
        await eventually(lambda: has_count(place, 1, "checks WHERE check_type = 'creditLimit'"), within=30)
        await recorder.until_ready(20)
        assert await recorder.stop() == 0
    assert await place.behind() == 0
    assert await place.count("dead_letters") == 1
    assert sorted(place.warned("first")) == sorted([f"early{n}" for n in range(5)] + [key_of_story()] * 2)


def key_of_story() -> str:
    return str(json.loads(story()[0].value or b"")["key"])


async def is_waiting(recorder: Running) -> bool:
    return "desk's database" in await recorder.readiness()


async def has_count(place: Place, count: int, table: str = "episodes") -> bool:
    return await place.count(table) == count


async def test_killed_between_both_commits_it_stores_and_tells_everything_once(place: Place) -> None:
    await place.create()
    await place.send(*many("a", 50), *story())
    log = place.folder / "dying.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.crash_recorder",
            "1",
            env={**os.environ, **place.environment, "DRIFTWATCH_RECORDER_PORT": "0"},
            stdout=output,
            stderr=output,
        )
        assert await asyncio.wait_for(process.wait(), 30) == -signal.SIGKILL, log.read_text()
    stored = await place.count()
    assert stored > 0
    assert await place.behind() == 55
    async with place.recorder("next") as recorder:
        await eventually(lambda: has_count(place, 51), within=30)
        await recorder.until_ready(20)
        assert await recorder.stop() == 0
    assert await place.count("transitions") == 55
    assert await place.behind() == 0
    told = place.warned("dying", "next")
    assert len(told) == 52
    assert set(told) == {f"a{number}" for number in range(50)} | {key_of_story()}


async def test_two_share_the_partitions_and_a_rebuild_by_one_is_a_rebuild_of_both(place: Place) -> None:
    await place.create()
    async with place.recorder("one", "--migrate") as one:
        await one.until_ready(30)
        async with place.recorder("two") as two:
            await eventually(lambda: is_holding(two), within=30)
            await place.send(*many("a", 200))
            await eventually(lambda: has_count(place, 200), within=30)
            assert set(place.warned("one")) & set(place.warned("two")) == set()
            assert place.warned("one")
            assert place.warned("two")
            assert await two.stop() == 0
        await place.send(*many("b", 50), *[episode(each) for each in many("old", 3)])
        await eventually(lambda: has_count(place, 250), within=30)
        before = await place.fetch("SELECT episode, state, sequence FROM recon.episodes ORDER BY episode")
        async with place.recorder("three", "--rebuild") as three:
            await place.send(*many("c", 5))
            await eventually(lambda: has_count(place, 258), within=30)
            await three.until_ready(20)
            assert await three.stop() == 0
        assert await one.stop() == 0
    after = await place.fetch("SELECT episode, state, sequence FROM recon.episodes ORDER BY episode")
    assert set(before) < set(after)
    warned = place.warned("one", "two", "three")
    assert len(set(warned)) == 255
    assert len(warned) <= 260, "what moves with its partition may be said again, what was recorded before not"


def episode(message: Message) -> Message:
    """The same on drift.episodes: open for longer than drift.mismatches keeps its records."""
    told = transition(json.loads(message.value or b""))
    return Message(EPISODES, 0, 0, told.key, told.value, told.headers)


async def is_holding(recorder: Running) -> bool:
    return (
        await recorder.readiness() == "ok" and "driftwatch_recorder_lag_records{" in await recorder.metrics()
    )


async def test_the_schema_is_made_by_a_command_and_once(place: Place) -> None:
    await place.create()
    first = await run_command("migrate", environment=place.environment)
    again = await run_command("migrate", environment=place.environment)
    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert "(was at none)" in first.out
    assert "was at" not in again.out
    printed = await run_command(
        "migrate", "--sql", environment={"DRIFTWATCH_DESK_DATABASE": "postgresql://x:1/x"}
    )
    assert printed.out.startswith("BEGIN;")

"""A seed of real rows and served entries into a real broker, and what the detector makes of it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from aiohttp import web
from aiokafka import AIOKafkaConsumer, TopicPartition
from stellar_sdk import scval, xdr

from app.clock import SystemClock
from app.detector.detector import Detector
from app.detector.model import Effect, Incident, Mark, Side, Transition
from app.errors import Fatal, Transient
from app.rules import LoadedRule, load_rules
from app.settings import RULES_FOLDER, Settings
from app.sweep.seed import MOST_WAITING, Seeder, SeedOptions
from app.wiring import open_seeder
from connectors.kafka.observations import ObservationCodec
from connectors.kafka.topics import ensure_topics
from connectors.soroban import cursor as cursors
from connectors.soroban import keys
from connectors.soroban.records import Batch
from connectors.soroban.service import network_name, place_of
from connectors.soroban.sink import KafkaSink
from tests.support.kafka import open_sender, read_all
from tests.support.services import Services
from tests.support.soroban_node import (
    CONTRACT,
    FIRST_CLOSE_S,
    PASSPHRASE,
    Node,
    borrower,
    entry_xdr,
    line_xdr,
    running_node,
)
from tests.support.waiting import eventually

PARTITIONS = 3
CREATE = (Path(__file__).parents[2] / "app" / "demo" / "sql" / "schema.sql").read_text(encoding="utf-8")
INSERT = "INSERT INTO credit_lines VALUES ($1, $2, $3::text::numeric, $3::text::numeric, 500, 'active', $4)"
QUICK = SeedOptions(patience_s=0.5, followed_within_s=0.5)


@dataclass
class World:
    """A database, a node and topics of one test."""

    settings: Settings
    node: Node
    connection: asyncpg.Connection[Any]
    rule: LoadedRule

    async def insert(self, number: int, limit: str, *, is_deleted: bool = False) -> None:
        when = "now()" if is_deleted else "NULL"
        await self.connection.execute(INSERT.replace("$4", when), number, borrower(number), limit)

    def open_line(self, *numbers: int, limit: int) -> None:
        """Entries in one new ledger, listed by the contract."""
        self.node.close(
            lines={borrower(number): line_xdr(borrower(number), limit=limit) for number in numbers}
        )
        for number in numbers:
            self._list(number)

    def _list(self, number: int) -> None:
        listed = [key for key in self.node.state if key in self._numbered]
        place = len(listed)
        key = keys.variant("CreditLineBorrowerById", keys.u32(place))
        named = self._numbered[place]
        self.node.state[named] = (entry_xdr(key, scval.to_address(borrower(number))), self.node.latest)
        self.node.state[keys.instance_key(CONTRACT)] = (_instance(place + 1), self.node.latest)

    @property
    def _numbered(self) -> list[str]:
        return [
            keys.persistent_key(CONTRACT, keys.variant("CreditLineBorrowerById", keys.u32(n)))
            for n in range(500)
        ]

    async def follow(self, ledger: int) -> None:
        """The poller's cursor, written as the poller writes it."""
        network = network_name(PASSPHRASE)
        cursor = cursors.to_json(cursors.Cursor(f"{ledger << 32 | 0xFFFFFFFF:019d}-4294967295", ledger))
        async with KafkaSink(place_of(self.settings, network)) as sink:
            await sink.publish(Batch(network, None, (), None, cursor))

    async def create_slot(self) -> None:
        await self.connection.execute(
            "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", self.settings.slot
        )

    @asynccontextmanager
    async def seeder(self, options: SeedOptions | None = None) -> AsyncIterator[Seeder]:
        async with open_seeder(self.settings, SystemClock(), options or SeedOptions()) as seeder:
            yield seeder

    async def command(self, *words: str) -> tuple[int, str]:
        """`driftwatch` with these words as a process of its own: (exit code, the last line that it says)."""
        settings = self.settings
        environment = {
            "DRIFTWATCH_KAFKA": settings.kafka,
            "DRIFTWATCH_DATABASE": settings.database.get_secret_value(),
            "DRIFTWATCH_PARTITIONS": str(settings.partitions),
            "DRIFTWATCH_TOPIC_PREFIX": settings.topic_prefix,
            "DRIFTWATCH_SLOT": settings.slot,
            "SOROBAN_RPC_URL": settings.rpc_url.get_secret_value(),
            "STELLAR_NETWORK_PASSPHRASE": settings.network_passphrase,
            "CREDIT_CONTRACT_ID": CONTRACT,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "app", *words),
            env=os.environ | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, error = await process.communicate()
        return process.returncode or 0, (out or error).decode().splitlines()[-1]

    async def let_wait(self, count: int) -> None:
        """Another rule runs, and its workers have that many observations of a partition before them."""
        status = {"rule": "another", "verified_through": "2100-01-01T00:00:00Z", "state": "live"}
        run = {"rule": "another", "run": "1", "kind": "seed", "state": "done", "started_at": "2026-01-01"}
        async with open_sender(self.settings.kafka, PARTITIONS) as sender:
            told = [(b"run|another|1", json.dumps(run).encode())]
            for partition in range(PARTITIONS):
                value = json.dumps(status | {"partition": partition}).encode()
                told.append((f"status|another|{partition}".encode(), value))
            await sender.send(self.settings.topic("drift.status"), told)
            await sender.send(self.settings.topic("drift.observations"), [(b"waits", b"{}")] * count)
        await self.take_in(0)

    async def take_in(self, offset: int) -> None:
        """What the workers have committed of every partition."""
        topic = self.settings.topic("drift.observations")
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka, group_id=self.settings.app_id, enable_auto_commit=False
        )
        await consumer.start()
        try:
            places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
            consumer.assign(places)
            await consumer.commit(dict.fromkeys(places, offset))
        finally:
            await consumer.stop()

    async def sides(self) -> set[str]:
        """Of which sides reads have been told."""
        bodies = [json.loads(record.value) for record in await self.records("drift.observations")]
        return {body["side"] for body in bodies if "side" in body}

    async def records(self, topic: str) -> list[Any]:
        return await read_all(self.settings.kafka, [self.settings.topic(topic)], PARTITIONS)


def _instance(count: int) -> str:
    name = scval.to_vec([scval.to_symbol("CreditLineCount")])
    storage = xdr.SCMap([xdr.SCMapEntry(name, scval.to_uint32(count))])
    code = xdr.ContractExecutable(xdr.ContractExecutableType.CONTRACT_EXECUTABLE_STELLAR_ASSET)
    value = xdr.SCVal(xdr.SCValType.SCV_CONTRACT_INSTANCE, instance=xdr.SCContractInstance(code, storage))
    return entry_xdr(xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE), value)


@pytest.fixture
async def world(services: Services, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A fresh database, node and set of topics."""
    name = f"seed_{abs(hash(request.node.name)) % 10**8}"
    admin = await asyncpg.connect(services.database)
    await admin.execute(f"CREATE DATABASE {name}")
    dsn = urlsplit(services.database)._replace(path=f"/{name}").geturl()
    connection = await asyncpg.connect(dsn)
    await connection.execute(CREATE)
    async with running_node() as node:
        node.close()
        settings = Settings(
            kafka=services.kafka,
            database=dsn,
            partitions=PARTITIONS,
            topic_prefix=f"{name}.",
            slot=name,
            app_id=name,
            rpc_url=node.url,
            network_passphrase=PASSPHRASE,
        )
        await ensure_topics(settings)
        (rule,) = load_rules((RULES_FOLDER / "credit.yaml",), {"CREDIT_CONTRACT_ID": CONTRACT})
        yield World(settings, node, connection, rule)
    await connection.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1", name
    )
    await connection.close()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


def judge(world: World, records: list[Any], *, rounds: int = 1) -> list[Effect]:
    """What a detector in each partition says of these records, the marks of both sides after each round."""
    effects: list[Effect] = []
    closed = (FIRST_CLOSE_S + 5 * world.node.latest) * 1_000_000
    end = max(SystemClock().now_us(), closed)
    for partition in range(PARTITIONS):
        codec, detector = ObservationCodec((world.rule,)), Detector(world.rule.rule)
        for again in range(rounds):
            for record in records:
                if record.partition == partition:
                    for item in codec.decode(record):
                        effects += (
                            detector.control(item) if hasattr(item, "through") else detector.observe(item)
                        )  # type: ignore[arg-type]
            at = end + (60 + again) * 1_000_000
            for side in Side:
                effects += detector.advance(Mark(side, None, at))
        assert not codec.skipped
    return effects


def told(effects: list[Effect]) -> list[object]:
    """Without what depends on when it was decided."""
    return [effect.value if isinstance(effect, Transition) else effect for effect in effects]


async def test_a_seed_tells_every_row_and_entry_then_both_ends_in_every_partition(world: World) -> None:
    await world.create_slot()
    for number in range(1, 8):
        await world.insert(number, "1000.0000000")
    await world.insert(8, "5", is_deleted=True)
    world.open_line(*range(1, 7), 9, limit=1000 * 10**7)
    await world.follow(world.node.latest)
    async with world.seeder(SeedOptions(page_size=3)) as seeder:
        assert not await seeder.is_seeded(world.rule)
        run = await seeder.seed(world.rule)
        assert await seeder.is_seeded(world.rule)
    assert run.read == {Side.LEFT: 8, Side.RIGHT: 9}
    records = await world.records("drift.observations")
    for partition in range(PARTITIONS):
        kinds = [
            "end" if "seeded" in body else body["side"]
            for record in records
            if record.partition == partition
            for body in [json.loads(record.value)]
        ]
        assert kinds[-2:] == ["end", "end"]
        assert set(kinds[:-2]) <= {"left", "right"}
    told = [json.loads(record.value) for record in await world.records("drift.status")]
    assert [one["state"] for one in told][0 :: len(told) - 1] == ["running", "done"]
    assert told[-1]["checked"] == 17
    parts = ("in_sync", "drifting", "in_flight", "exempt", "unverifiable", "repaired", "errors")
    assert sum(told[-1][part] for part in parts) == 17


async def test_drift_that_was_there_before_the_seed_is_found_once_however_often_it_is_repeated(
    world: World,
) -> None:
    await world.create_slot()
    for number, limit in ((1, "1000"), (2, "999"), (3, "1000")):
        await world.insert(number, limit)
    world.open_line(1, 2, 4, limit=1000 * 10**7)
    await world.follow(world.node.latest)
    async with world.seeder(SeedOptions(page_size=2)) as seeder:
        await seeder.seed(world.rule)
    once = await world.records("drift.observations")
    found = judge(world, once)
    assert not [effect for effect in found if isinstance(effect, Incident)]
    opened = {
        effect.value["key"]: [one["field"] for one in effect.value["differences"]]  # type: ignore[attr-defined]
        for effect in found
        if isinstance(effect, Transition)
    }
    assert opened == {
        borrower(2): ["creditLimit", "availableCredit"],
        borrower(3): ["existence"],
        borrower(4): ["existence"],
    }
    broken_off = [record for record in once if b'"seeded"' not in record.value][: len(once) // 2]
    assert told(judge(world, [*broken_off, *once])) == told(found)
    assert told(judge(world, once, rounds=2)) == told(found)


async def test_without_a_slot_nothing_is_read_and_the_failed_run_is_told(world: World) -> None:
    await world.follow(1)
    async with world.seeder(QUICK) as seeder:
        with pytest.raises(Transient, match=r"replication slot.*driftwatch connect"):
            await seeder.seed(world.rule)
    assert await world.records("drift.observations") == []
    last = json.loads((await world.records("drift.status"))[-1].value)
    assert last["state"] == "failed"
    assert "replication slot" in last["cause"]


async def test_without_a_cursor_of_the_poller_no_entry_is_read(world: World) -> None:
    await world.create_slot()
    async with world.seeder(QUICK) as seeder:
        with pytest.raises(Transient, match="poller's cursor"):
            await seeder.seed(world.rule)
    assert not [one for one in world.node.requests if one["method"] == "getLedgerEntries"]


async def test_a_node_behind_the_cursor_is_refused(world: World) -> None:
    await world.create_slot()
    world.open_line(1, limit=7)
    await world.follow(world.node.latest + 5)
    async with world.seeder(SeedOptions(patience_s=0.5)) as seeder:
        with pytest.raises(Transient, match="state is of ledger"):
            await seeder.seed(world.rule)


async def test_an_answer_that_fails_once_is_waited_out(world: World) -> None:
    await world.create_slot()
    await world.insert(1, "1")
    world.open_line(1, limit=10**7)
    await world.follow(world.node.latest)
    world.node.scripted = [lambda request: web.Response(status=503, text="busy")]
    async with world.seeder() as seeder:
        run = await seeder.seed(world.rule)
    assert run.read == {Side.LEFT: 1, Side.RIGHT: 1}


async def test_an_entry_that_cannot_be_read_is_unknown_and_never_absent(world: World) -> None:
    await world.create_slot()
    await world.insert(1, "1")
    world.open_line(1, limit=10**7)
    strange = entry_xdr(keys.address_value(borrower(1)), scval.to_uint32(1))
    place = keys.persistent_key(CONTRACT, keys.address_value(borrower(1)))
    world.node.state[place] = (strange, world.node.latest)
    await world.follow(world.node.latest)
    async with world.seeder() as seeder:
        run = await seeder.seed(world.rule)
    assert run.unverifiable == 1
    told = judge(world, await world.records("drift.observations"))
    assert [getattr(effect, "cause", type(effect).__name__) for effect in told] == ["schema"]


async def test_a_table_without_the_rules_column_is_refused_by_name(world: World) -> None:
    await world.create_slot()
    await world.follow(world.node.latest)
    await world.connection.execute("ALTER TABLE credit_lines DROP COLUMN status")
    async with world.seeder() as seeder:
        with pytest.raises(Fatal, match=r"public\.credit_lines.*status"):
            await seeder.seed(world.rule)


async def test_a_seed_stands_still_until_workers_of_another_rule_have_taken_in_what_waits(
    world: World,
) -> None:
    await world.create_slot()
    await world.insert(1, "1")
    world.open_line(1, limit=10**7)
    await world.follow(world.node.latest)
    await world.let_wait(MOST_WAITING + 1)
    async with world.seeder() as seeder:
        seeding = asyncio.create_task(seeder.seed(world.rule))
        await eventually(world.sides, within=20)
        assert await world.sides() == {"left"}
        await world.take_in(MOST_WAITING)
        run = await seeding
    assert run.stood_still_s > 0
    assert await world.sides() == {"left", "right"}


async def test_the_command_seeds_once_and_if_needed_no_more(world: World) -> None:
    await world.create_slot()
    await world.insert(1, "1")
    world.open_line(1, limit=10**7)
    await world.follow(world.node.latest)
    first = await world.command("seed")
    assert first == (0, "credit-line: seeded, 1 left, 1 right, 0 not readable")
    told_first = len(await world.records("drift.observations"))
    assert await world.command("seed", "credit-line", "--if-needed") == (0, "credit-line: seeded before")
    assert len(await world.records("drift.observations")) == told_first
    code, said = await world.command("seed", "no-such-rule")
    assert code == 2
    assert "no such rule (rules are: credit-line)" in said

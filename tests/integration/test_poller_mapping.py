"""A mapping table on a real database and broker: read at the start, followed in db.changes afterwards."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import asyncpg
import orjson
import pytest
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from app.demo.rpc.server import Server
from app.errors import Fatal
from app.rules import ContractTable, load_rules
from app.settings import RULES_FOLDER, Settings
from app.wiring import build_poller, contract_loader
from connectors.postgres.contracts import ContractReader
from schemas.topics import CHAIN_CURSOR, CHAIN_EVENTS, DB_CHANGES
from tests.support.chain_world import PASSPHRASE
from tests.support.escrow_world import EscrowWorld, invoice, invoice_contract
from tests.support.kafka import COMPACT, create_topics, read_all
from tests.support.services import Services
from tests.support.waiting import eventually

PARTITIONS = 2


class Place:
    """A mapping table of its own, topics of its own, and an escrow network."""

    def __init__(self, services: Services, world: EscrowWorld, url: str) -> None:
        self.services, self.world = services, world
        self.name = f"contracts_{uuid.uuid4().hex[:8]}"
        self.settings = Settings(
            kafka=services.kafka,
            database=SecretStr(services.database),
            partitions=PARTITIONS,
            topic_prefix=f"map-{self.name}-",
            rpc_url=SecretStr(url),
            network_passphrase=PASSPHRASE,
            poller_interval_ms=50,
            poller_port=0,
        )
        mapping = f"right.mapping={{table: public.{self.name}, key: invoice_id, contract: contract_id}}"
        self.rules = load_rules([RULES_FOLDER / "escrow.yaml"], {}, [mapping])

    async def prepare(self) -> None:
        connection = await asyncpg.connect(self.services.database)
        await connection.execute(f"CREATE TABLE {self.name} (invoice_id text PRIMARY KEY, contract_id text)")
        await connection.execute(
            f"INSERT INTO {self.name} VALUES ($1, $2), ('INV_none', NULL)",  # noqa: S608 - a name of ours
            invoice(1),
            invoice_contract(1),
        )
        await connection.close()
        prefix = self.settings.topic_prefix
        await create_topics(self.services.kafka, [prefix + CHAIN_EVENTS, prefix + DB_CHANGES], PARTITIONS)
        await create_topics(self.services.kafka, [prefix + CHAIN_CURSOR], 1, COMPACT)

    async def change(self, key: str, contract: str | None, op: str = "c") -> None:
        """What Debezium writes of a row."""
        after = None if op == "d" else {"invoice_id": key, "contract_id": contract}
        source = {"name": "db", "schema": "public", "table": self.name, "lsn": 1, "ts_us": 1}
        value = orjson.dumps({"op": op, "source": source, "before": None, "after": after})
        producer = AIOKafkaProducer(bootstrap_servers=self.services.kafka)
        await producer.start()
        try:
            await producer.send_and_wait(self.settings.topic(DB_CHANGES), value, key=key.encode())
        finally:
            await producer.stop()

    async def entries(self) -> list[dict[str, Any]]:
        found = await read_all(self.services.kafka, [self.settings.topic(CHAIN_EVENTS)], PARTITIONS)
        values = [orjson.loads(record.value) for record in found]
        return [value for value in values if value["kind"] == "entry"]

    async def until_told(self, key: str, funded: str | None) -> dict[str, Any]:
        """What a mapping gives is told with a ledger that is new."""

        async def told() -> Any:
            self.world.close()
            return next((each for each in await self.entries() if _says(each, key, funded)), None)

        found = await eventually(told, 20, 0.2)
        assert isinstance(found, dict)
        return found


def _says(entry: dict[str, Any], key: str, funded: str | None) -> bool:
    value = entry["value"] or {}
    return entry["key"] == key and value.get("funded_amount") == funded


@pytest.fixture(name="place")
async def _place(services: Services) -> AsyncIterator[Place]:
    world = EscrowWorld()
    world.set_silently((1, 2), 100)
    world.close()
    async with Server(world.node) as server:
        place = Place(services, world, server.url)
        await place.prepare()
        yield place


async def test_rows_of_the_table_and_rows_that_come_are_followed(place: Place) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(build_poller(place.settings, place.rules, None).run(stop))
    try:
        first = await place.until_told(invoice(1), "100")
        assert first["cause"] == "mapping"
        await place.change(invoice(2), invoice_contract(2))
        second = await place.until_told(invoice(2), "100")
        assert (second["cause"], second["contract"]) == ("mapping", invoice_contract(2))
        place.world.fund(2, 640)
        place.world.close()
        third = await place.until_told(invoice(2), "640")
        assert third["cause"] == "event"
        await place.change("INV_unborn", invoice_contract(99))
        assert (await place.until_told("INV_unborn", None))["exists"] is False
        place.world.set_silently((3,), 55)
        await place.change(invoice(2), invoice_contract(3), "u")
        moved = await place.until_told(invoice(2), "55")
        assert (moved["cause"], moved["contract"]) == ("mapping", invoice_contract(3))
        await place.change(invoice(2), None, "d")
        assert (await place.until_told(invoice(2), None))["exists"] is False
    finally:
        stop.set()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(running, 20)


async def test_a_table_is_read_without_rows_that_name_no_contract(place: Place) -> None:
    load = contract_loader(place.settings)
    table = place.rules[0].right.contracts
    assert table is not None
    assert await load(table) == {invoice(1): invoice_contract(1)}
    reader = ContractReader(place.settings.database)
    assert await reader(table, [invoice(1), invoice(2), "INV_none", "'; --"]) == {
        invoice(1): invoice_contract(1)
    }
    assert await reader(table, []) == {}
    await reader.close()
    with pytest.raises(Fatal, match=r"check right\.mapping"):
        await load(ContractTable("public.nowhere", "a", "b"))
    with pytest.raises(Fatal, match=r"check right\.mapping"):
        await load(ContractTable(table.table, "no such column", "b"))

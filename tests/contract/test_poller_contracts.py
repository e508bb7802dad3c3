"""Many contracts: by topic, by shard, mapped by a table; forged topics count for nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import structlog
from pydantic import SecretStr

import schemas
from app.demo.rpc.scripted import read_script
from app.demo.rpc.server import Server
from app.rules import ContractTable
from connectors.soroban.contracts.escrow import Escrow
from connectors.soroban.cursor import Cursor, end_of
from connectors.soroban.feed import MAX_ROWS, Mode, rows_of
from connectors.soroban.mapped import MappedRule, Row
from connectors.soroban.poller import Pace, Poller, Scope
from connectors.soroban.records import Batch
from connectors.soroban.rpc import Rpc
from tests.support.chain_world import NETWORK, QUICK
from tests.support.escrow_world import EscrowWorld, invoice, invoice_contract
from tests.support.waiting import CLOCK

TABLE = ContractTable("public.escrow_contracts", "invoice_id", "contract_id")


class Read:
    """A sink that keeps records."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    async def publish(self, batch: Batch) -> None:
        raw = [batch.gap, *(record.value for record in batch.records), batch.mark]
        found = [orjson.loads(each) for each in raw if each is not None]
        assert all(schemas.validate("chain-event.v1", each, strict=True) == [] for each in found[:50])
        self.records += found

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["kind"] == kind]


class Place:
    """A poller of mapped contracts, stepped by hand; `calls` counts by method."""

    def __init__(self, world: EscrowWorld, url: str, pace: Pace = QUICK) -> None:
        self.world, self.sink, self.calls = world, Read(), Counter[str]()
        self.rpc = Rpc(SecretStr(url), CLOCK, observe=self.count)
        scope = Scope(NETWORK, (), pace, (MappedRule(TABLE, Escrow()),))
        self.poller = Poller(self.rpc, self.sink, scope, CLOCK)
        self.cursor = Cursor(end_of(world.ledger), world.ledger)

    def count(self, method: str, outcome: str) -> None:
        self.calls[method] += 1

    def map(self, numbers: range) -> None:
        for number in numbers:
            self.poller.mapped.put(Row(TABLE.table, invoice(number), invoice_contract(number)))

    async def catch_up(self) -> None:
        """All is published; what a mapping gives is told with a ledger that is new."""
        while True:
            self.cursor = await self.poller.step(self.cursor)
            if self.poller.at_tip and not any(self.poller.mapped.take(1, 1 << 61)):
                return
            if self.poller.at_tip:
                self.world.close()

    def moves(self) -> list[dict[str, Any]]:
        return [event for event in self.sink.of("event") if event["type"] == "mapping"]

    def events(self) -> list[dict[str, Any]]:
        return [event for event in self.sink.of("event") if event["type"] != "mapping"]

    def told(self) -> set[str]:
        events = self.events()
        assert len({event["id"] for event in events}) == len(events)
        return {event["id"] for event in events}


@pytest.fixture(name="world")
def _world() -> EscrowWorld:
    world = EscrowWorld()
    world.close()
    return world


@pytest.fixture(name="place")
async def _place(world: EscrowWorld) -> AsyncIterator[Place]:
    async with Server(world.node) as server:
        place = Place(world, server.url)
        yield place
        await place.rpc.close()


async def test_a_network_without_a_mapped_contract_is_followed_by_marks_alone(place: Place) -> None:
    place.world.fund(1, 5)
    last = place.world.close()
    await place.catch_up()
    assert (place.cursor.ledger, place.sink.of("event")) == (last, [])
    assert place.sink.of("mark")[-1]["ledger"] == last


async def test_a_new_row_is_read_once_and_its_contract_followed_from_then_on(place: Place) -> None:
    world = place.world
    world.fund(1, 500)
    world.close()
    await place.catch_up()
    place.map(range(1, 2))
    await place.catch_up()
    (entry,), (move,) = place.sink.of("entry"), place.moves()
    assert (entry["key"], entry["cause"], entry["value"]["funded_amount"]) == (invoice(1), "mapping", "500")
    assert (move["key"], move["contract"], move["entries"]) == (invoice(1), invoice_contract(1), ["escrow"])
    assert entry["modified_ledger"] == move["ledger"] == place.sink.of("mark")[-1]["ledger"]
    world.fund(1, 700)
    world.close()
    await place.catch_up()
    event, later = place.events()[0], place.sink.of("entry")[1]
    assert (event["key"], event["entries"]) == (invoice(1), ["escrow"])
    assert (later["cause"], later["value"]["funded_amount"], later["value"]["status"]) == (
        "event",
        "700",
        "open",
    )


async def test_a_key_without_a_contract_on_the_chain_is_absent(place: Place) -> None:
    place.map(range(7, 8))
    await place.catch_up()
    (entry,), (move,) = place.sink.of("entry"), place.moves()
    assert (entry["exists"], entry["value"]) == (False, None)
    assert entry["modified_ledger"] == move["ledger"]


async def test_a_key_that_no_contract_can_hold_is_absent_and_told(place: Place) -> None:
    world = place.world
    world.set_silently((1,), 300)
    world.close()
    place.poller.mapped.put(Row(TABLE.table, "INV-1", invoice_contract(1)))
    place.map(range(1, 2))
    with structlog.testing.capture_logs() as logs:
        place.poller.mapped.put(Row(TABLE.table, "x" * 33, invoice_contract(1)))
    assert [line["event_name"] for line in logs] == ["key_refused"]
    await place.catch_up()
    found = {entry["key"]: entry for entry in place.sink.of("entry")}
    assert found[invoice(1)]["value"]["funded_amount"] == "300"
    for key in ("INV-1", "x" * 33):
        assert (found[key]["exists"], found[key]["value"]) == (False, None)
        assert "no contract can hold it" in found[key]["problem"]


async def test_a_key_that_gets_another_contract_is_read_there_and_the_old_one_is_left(place: Place) -> None:
    world = place.world
    world.set_silently((1, 2), 300)
    world.close()
    place.map(range(1, 2))
    await place.catch_up()
    place.poller.mapped.put(Row(TABLE.table, invoice(1), invoice_contract(2)))
    await place.catch_up()
    world.fund(1, 900)
    world.fund(2, 400)
    world.close()
    await place.catch_up()
    entries = place.sink.of("entry")
    assert [entry["contract"] for entry in entries] == [invoice_contract(each) for each in (1, 2, 2)]
    assert {event["contract"] for event in place.events()} == {invoice_contract(2)}
    first, second = place.moves()
    assert first["ledger"] < second["ledger"]
    assert entries[1]["modified_ledger"] == second["ledger"]
    place.poller.mapped.put(Row(TABLE.table, invoice(1), None))
    world.fund(2, 1)
    world.close()
    await place.catch_up()
    assert len(place.events()) == 1
    gone, last = place.moves()[-1], place.sink.of("entry")[-1]
    assert (gone["key"], last["exists"], last["modified_ledger"]) == (invoice(1), False, gone["ledger"])


async def test_a_key_that_moves_and_returns_before_it_is_told_is_told_as_it_is(place: Place) -> None:
    world, mapped = place.world, place.poller.mapped
    world.set_silently((1, 2), 300)
    world.close()
    place.map(range(1, 2))
    await place.catch_up()
    mapped.put(Row(TABLE.table, invoice(1), None))
    mapped.put(Row(TABLE.table, invoice(1), invoice_contract(2)))
    mapped.put(Row(TABLE.table, invoice(1), invoice_contract(1)))
    await place.catch_up()
    assert [entry["contract"] for entry in place.sink.of("entry")] == [invoice_contract(1)] * 2
    assert all(entry["exists"] for entry in place.sink.of("entry"))


async def test_a_move_is_told_with_a_ledger_that_closed_after_it(place: Place) -> None:
    world, mapped = place.world, place.poller.mapped
    world.set_silently((1, 2), 300)
    world.close()
    mapped.put(Row(TABLE.table, invoice(1), invoice_contract(1), world.clock.at_us + 7_000_000))
    mapped.load(TABLE.table, {invoice(1): invoice_contract(1), invoice(2): invoice_contract(2)})
    before = world.close()
    place.cursor = await place.poller.step(place.cursor)
    assert (place.cursor.ledger, place.moves()) == (before, [])
    after = world.close()
    place.cursor = await place.poller.step(place.cursor)
    assert [(move["ledger"], move["key"]) for move in place.moves()] == [
        (after, invoice(1)),
        (after, invoice(2)),
    ]


async def test_a_row_that_names_no_contract_is_refused_and_the_others_are_followed(place: Place) -> None:
    place.poller.mapped.put(Row(TABLE.table, invoice(5), "G-nonsense"))
    place.map(range(1, 2))
    place.world.fund(1, 20)
    place.world.close()
    await place.catch_up()
    assert place.poller.mapped.refused == 1
    place.poller.mapped.load(TABLE.table, {invoice(1): invoice_contract(1)})
    assert place.poller.mapped.refused == 0
    assert {entry["key"] for entry in place.sink.of("entry")} == {invoice(1)}


async def test_ten_thousand_contracts_take_three_calls_a_ledger(world: EscrowWorld) -> None:
    async with Server(world.node) as server:
        place = Place(world, server.url, Pace())
        world.set_silently(range(300), 10)
        world.close()
        place.map(range(10_000))
        await place.catch_up()
        assert len(place.sink.of("entry")) == 10_000
        assert place.poller._feed.mode is Mode.TOPICS
        place.sink.records.clear()
        place.calls.clear()
        for ledger in range(10):
            for number in range(60):
                world.fund((ledger * 331 + number * 61) % 10_000, ledger * 1000 + number)
            world.forge(20)
            world.close()
            await place.catch_up()
        assert place.told() == world.truth
        assert (place.calls["getEvents"], place.calls["getLedgerEntries"]) == (10, 10)
        assert place.calls.total() <= 30  # the floor of a node this young is asked for each time
        await place.rpc.close()


@pytest.mark.parametrize("contracts", [25, 26, 60])
async def test_events_are_the_same_whatever_they_are_asked_by(world: EscrowWorld, contracts: int) -> None:
    async with Server(world.node) as server:
        place = Place(world, server.url)
        place.map(range(contracts))
        for ledger in range(40):
            for number in range(contracts):
                world.fund(number, ledger + number)
            world.forge(5)
            world.close()
        await place.catch_up()
        assert place.told() == world.truth
        await place.rpc.close()


@pytest.mark.parametrize("faults", [1, 16, 23])
async def test_a_node_that_takes_too_long_is_asked_for_less_and_at_last_by_shards(
    place: Place, faults: int
) -> None:
    world = place.world
    place.map(range(60))
    for ledger in range(25):
        world.fund(ledger, ledger)
        world.close()
    await place.rpc.get_health()
    place.world.node.script = read_script([{"kind": "-32001", "method": "getEvents", "times": faults}])
    for _ in range(4):
        try:
            await place.catch_up()
        except Exception as error:  # noqa: BLE001 - the last resort fails too, and the step is repeated
            assert "-32001" in str(error)  # noqa: PT017
    assert place.told() == world.truth
    assert (place.poller._feed.mode is Mode.SHARDS) == (faults >= 16)


async def test_strangers_that_flood_the_topics_are_stepped_around(place: Place) -> None:
    world = place.world
    place.map(range(60))
    await place.catch_up()
    for ledger in range(10):
        world.fund(ledger, ledger)
        world.forge(100)
        world.close()
    await place.catch_up()
    assert place.told() == world.truth
    assert place.poller._feed.mode is Mode.SHARDS
    assert place.calls["getEvents"] < 40


async def test_shards_stand_still_at_the_tip_and_go_on_behind_it(place: Place) -> None:
    world = place.world
    place.map(range(60))
    await place.catch_up()
    place.poller._feed._shard("for the test")
    for ledger in range(5):
        await place.catch_up()
        world.fund(ledger, 1)
        world.close()
        await place.catch_up()
        await place.catch_up()
    assert place.told() == world.truth


def test_topics_and_the_host_s_own_word_fit_into_one_request() -> None:
    rows = rows_of(Escrow.topics)
    assert rows is not None
    assert sum(len(part["topics"]) for part in rows) == len(Escrow.topics) + 1 <= MAX_ROWS
    assert rows_of([f"topic{number}" for number in range(25)]) is None

"""A network that began anew, contracts with other code, archived entries: told, and no drift."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import msgspec
import orjson
import pytest
from stellar_sdk import scval

from app.demo.rpc.control import hash_of
from app.demo.rpc.cursors import position_of
from app.demo.rpc.ledgers import Change, Event, Ledger
from app.detector.model import Gap, Mark, Side
from app.detector.watermark import Watermark
from connectors.soroban.codec import ChainCodec
from connectors.soroban.contracts import decoder_of
from connectors.soroban.cursor import Cursor, Witness, from_json
from connectors.soroban.metrics import PollerMetrics
from connectors.soroban.poller import Poller
from connectors.soroban.reader import EntryReader
from connectors.soroban.records import Batch
from connectors.soroban.upgrades import find_upgrades
from tests.support.chain_world import LEDGER_US, QUICK, Collected, World, running_world
from tests.support.following import following
from tests.support.waiting import CLOCK


@pytest.fixture(name="world")
async def _world() -> AsyncIterator[World]:
    async with running_world() as world:
        for _ in range(40):
            world.close(1)
        yield world


async def test_a_network_that_begins_anew_is_told_and_followed_from_its_first_ledger(world: World) -> None:
    async with following(world) as found:
        last = world.close(2)
        await found.until_at(last)
        world.begin_anew()
        for _ in range(5):
            again = world.close(2)
        await found.until_at(again)
        await found.until_at(world.close(1))
        found.check()
        assert found.sink.told.resets == [last + 1]
        assert found.sink.told.gaps == []
        assert len([1 for epoch, _ in found.sink.told.seen if epoch == 1]) == 11
        assert found.metrics.registry.get_sample_value("driftwatch_chain_epochs_total") == 1


async def test_a_network_that_began_anew_meanwhile_and_came_further_is_known_by_its_close_times(
    world: World,
) -> None:
    async with following(world) as first:
        last = world.close(1)
        await first.until_at(last)
    world.begin_anew()
    for _ in range(60):
        world.close(1)
    async with following(world, from_json(first.sink.cursor)) as second:
        second.sink.told = first.sink.told
        await second.until_at(world.close(1))
        second.check()
        assert second.sink.told.resets == [last + 1]


async def test_ledgers_without_events_are_known_by_their_close_times_too() -> None:
    async with running_world() as world:
        for _ in range(10):
            last = world.close()
        async with following(world) as first:
            last = world.close()
            await first.until_at(last)
        world.begin_anew()
        for _ in range(20):
            world.close()
        async with following(world, from_json(first.sink.cursor)) as second:
            second.sink.told = first.sink.told
            await second.until_at(world.close(1))
            second.check()
            assert second.sink.told.resets == [last + 1]


async def test_a_history_with_the_same_times_is_known_by_an_event_that_is_missing(world: World) -> None:
    async with following(world) as first:
        last = world.close(1)
        await first.until_at(last)
    times_us = world.clock.at_us - 41 * LEDGER_US
    world.begin_anew()
    world.clock.at_us = times_us
    for _ in range(60):
        world.close()
    async with following(world, from_json(first.sink.cursor)) as second:
        second.sink.told = first.sink.told
        await second.until_at(world.close(1))
        second.check()
        assert second.sink.told.resets == [last + 1]


async def test_the_same_history_is_proven_with_two_small_calls(world: World) -> None:
    asked: list[str] = []
    async with following(world) as first:
        await first.until_at(world.close(1))
    rpc = world.client()
    for node in rpc._nodes:
        node.rpc._observe = lambda method, outcome: asked.append(f"{method} {outcome}")
    poller = Poller(rpc, Collected(), world.scope(), CLOCK)
    cursor = from_json(first.sink.cursor)
    assert cursor.anchor is not None
    assert cursor.witness is not None
    assert await poller.resume(cursor) == cursor
    assert asked == ["getNetwork ok", "getEvents ok", "getEvents ok"]
    await rpc.close()


async def test_a_node_that_was_left_behind_in_the_old_history_is_not_believed() -> None:
    async with running_world(nodes=2) as world:
        for _ in range(20):
            world.close(1)
        async with following(world) as found:
            last = world.close(1)
            await found.until_at(last)
            old = world.chain.node.ledgers
            world.begin_anew()
            world.nodes[1].ledgers = old
            for _ in range(5):
                again = world.close(1)
            await found.until_at(again)
            world.trouble({"kind": "503", "times": 2})
            for _ in range(5):
                again = world.close(1)
            await found.until_at(again)
            found.check()
            assert found.sink.told.resets == [last + 1]


def test_the_detector_takes_the_new_epoch_up() -> None:
    """The records of an epoch, in their order in a partition, through the codec into a side's watermark."""
    world_codec = ChainCodec([])
    side = Watermark(Side.RIGHT, from_empty=False)
    told: list[Gap] = []
    marks = [
        {
            "kind": "mark",
            "network": "n",
            "ledger": 500,
            "closed_at": "2026-08-01T10:00:00Z",
            "from_ledger": 499,
        },
        {"kind": "gap", "network": "n", "from_ledger": 501, "cause": "epoch"},
        {"kind": "mark", "network": "n", "ledger": 1, "closed_at": "2026-08-01T11:00:00Z", "from_ledger": 1},
        {"kind": "mark", "network": "n", "ledger": 2, "closed_at": "2026-08-01T11:00:05Z", "from_ledger": 1},
    ]
    for record, epoch in zip(marks, ("0", None, "1", "1"), strict=True):
        raw = orjson.dumps(record if epoch is None else {**record, "epoch": epoch})
        (decoded,) = world_codec.decode(_Arrived(raw))
        assert isinstance(decoded, Mark | Gap)
        lost = side.advance(decoded) if isinstance(decoded, Mark) else side.lose(decoded)
        told += [each for each in lost if each.cause == "epoch"]
    assert (side.ledger, side.epoch) == (2, "1")
    assert len(told) == 2


class _Arrived:
    """A record of chain.events."""

    topic, partition, offset, timestamp, key = "chain.events", 0, 0, 0, b"n"
    headers: tuple[tuple[str, bytes], ...] = ()

    def __init__(self, value: bytes) -> None:
        self.value = value


def test_a_witness_stands_behind_the_cursor_before_it() -> None:
    assert Witness("0000004299262263296-0000000003", "t", "C").before == "0000004299262263296-0000000002"
    assert Witness("0000004299262263296-0000000000", "t", "C").before == "0000004299262263295-0000000000"


# ---- upgrades


def _upgrade(ledger: int, contract: str) -> Event:
    def code(number: int) -> str:
        return scval.to_vec([scval.to_symbol("Wasm"), scval.to_bytes(bytes([number]) * 32)]).to_xdr()

    topics = (scval.to_symbol("executable_update").to_xdr(), code(1), code(2))
    return Event(position_of(ledger, 1), "system", contract, topics, scval.to_vec([]).to_xdr(), hash_of("tx"))


async def test_a_contract_that_gets_other_code_is_told(world: World) -> None:
    async with following(world) as found:
        await found.until_at(world.close(1))
        number = world.chain._ledger = world.chain._ledger + 1
        world.clock.at_us += LEDGER_US
        ledger = Ledger(
            number, world.clock.at_us // 1_000_000, hash_of("u"), [_upgrade(number, world.contract)]
        )
        world.nodes[0].ledgers.append(ledger)
        world._note(ledger)
        await found.until_at(world.close(1))
        found.check()
        assert found.metrics.registry.get_sample_value("driftwatch_contract_upgrades_total") == 1


async def test_an_upgrade_says_what_ran_and_what_runs_and_cannot_be_forged(world: World) -> None:
    ledger = Ledger(2000, 1_795_000_000, hash_of("u"), [_upgrade(2000, world.contract)])
    rpc = world.client()
    world.nodes[0].ledgers = type(world.nodes[0].ledgers)(10)
    world.nodes[0].ledgers.append(ledger)
    page = await rpc.get_events([world.contract], 2000)
    await rpc.close()
    (found,) = find_upgrades(page.events)
    assert (found.contract, found.ledger) == (world.contract, 2000)
    assert (found.old, found.new) == ("01" * 32, "02" * 32)
    event = page.events[0]
    forged = type(event)(
        "contract",
        event.ledger,
        event.ledger_closed_at,
        event.id,
        event.tx_hash,
        event.contract_id,
        event.topic,
    )
    assert list(find_upgrades([forged])) == []


# ---- archival


async def test_an_archived_entry_is_there_and_a_restored_one_is_no_change(world: World) -> None:
    borrower = world.borrowers[0]
    world.change(borrower)
    first = world.close()
    reader = EntryReader(world.client(), world.contract, decoder_of("credit-line"))
    (live,) = (await reader.read([borrower])).states
    place = decoder_of("credit-line").ledger_key(world.contract, borrower)
    data = world.nodes[0].ledgers.view().entry(place)
    assert data is not None
    lives = []
    for change in (
        Change(place, data.data, first, archived=True),
        Change(place, data.data, first - 1),
        Change(place, data.data, first + 1000),
    ):
        number = world.chain._ledger = world.chain._ledger + 1
        world.clock.at_us += LEDGER_US
        world.nodes[0].ledgers.append(
            Ledger(number, world.clock.at_us // 1_000_000, hash_of(str(number)), (), (change,))
        )
        (state,) = (await reader.read([borrower])).states
        assert (state.exists, state.value) == (True, live.value)
        lives.append(state.live_until)
    assert lives == [None, None, first + 1000]
    await reader._rpc.close()


async def test_an_entry_whose_life_is_over_is_counted_as_archived_and_told_as_present(world: World) -> None:
    metrics = PollerMetrics()
    sink = Collected()
    told: list[bytes] = []

    class Keeping:
        async def publish(self, batch: Batch) -> None:
            told.extend(record.value for record in batch.records)
            await sink.publish(batch)

    rpc = world.client()
    original = rpc.get_ledger_entries

    async def past(keys: list[str]):  # type: ignore[no-untyped-def]
        ledger, found = await original(keys)
        return ledger, {key: _with_life(entry, ledger - 1) for key, entry in found.items()}

    rpc.get_ledger_entries = past  # type: ignore[method-assign,assignment]
    poller = Poller(rpc, Keeping(), world.scope(replace(QUICK)), CLOCK, metrics)
    cursor = Cursor(None, world.truth[0].ledger - 1)
    while not poller.at_tip:
        cursor = await poller.step(cursor)
    entries = [found for found in map(orjson.loads, told) if found["kind"] == "entry"]
    assert entries
    assert all(found["exists"] and found["live_until_ledger"] < found["read_ledger"] for found in entries)
    count = metrics.registry.get_sample_value("driftwatch_entries_read_total", {"outcome": "archived"})
    assert count == len(entries)
    await rpc.close()


def _with_life(entry, live_until: int):  # type: ignore[no-untyped-def]
    return msgspec.structs.replace(entry, live_until_ledger_seq=live_until)

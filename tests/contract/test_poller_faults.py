"""The poller against everything that a node does wrong: nothing is lost in silence, nothing is told twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from app.demo.rpc.node import Replica
from connectors.soroban.cursor import Cursor, from_json
from tests.support.chain_world import World, running_world
from tests.support.following import Following, following
from tests.support.waiting import eventually

FAULTS: list[dict[str, Any]] = [
    {"kind": "429"},
    {"kind": "429", "retry_after": 0.02},
    {"kind": "503"},
    {"kind": "503", "retry_after": 0.02},
    {"kind": "504"},
    {"kind": "500_text"},
    {"kind": "timeout", "ms": 500},
    {"kind": "truncated"},
    {"kind": "not_json"},
    {"kind": "wrong_id"},
    {"kind": "-32001"},
    {"kind": "-32098"},
    {"kind": "behind", "ledgers": 1},
    {"kind": "behind", "ledgers": 60},
    {"kind": "stale_entries", "ledgers": 3},
    {"kind": "old_shape"},
]


@pytest.fixture(name="world")
async def _world() -> AsyncIterator[World]:
    async with running_world() as world:
        for _ in range(70):
            world.close()
        yield world


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: "-".join(str(part) for part in fault.values()))
@pytest.mark.parametrize("times", [1, 4], ids=["once", "four-times"])
async def test_a_fault_delays_and_loses_nothing(world: World, fault: dict[str, Any], times: int) -> None:
    async with following(world) as found:
        await found.until_at(world.close(2))
        world.trouble({**fault, "times": times}, {**fault, "times": times, "method": "getLedgerEntries"})
        for _ in range(10):
            world.close(2)
        while world.nodes[0].script.faults:
            await found.until_at(world.close(1))
        await found.until_at(world.close(1))
        found.check()
        assert len(found.sink.told.seen) == len(world.truth) >= 20 + 3
        assert found.sink.told.gaps == []


@pytest.mark.parametrize("kind", ["503", "timeout", "not_json", "-32098", "behind"])
async def test_a_node_that_stays_bad_is_left_for_another(kind: str) -> None:
    async with running_world(nodes=2) as world:
        for _ in range(30):
            world.close()
        async with following(world) as found:
            await found.until_at(world.close(1))
            world.trouble({"kind": kind, "times": None, "ledgers": 20, "ms": 500})
            for _ in range(5):
                last = world.close(1)
            await found.until_at(last)
            assert found.rpc.subject == world.servers[1].url
            found.check()


async def test_a_node_that_is_behind_is_waited_for_and_the_cursor_stays(world: World) -> None:
    async with following(world) as found:
        last = world.close(1)
        await found.until_at(last)
        world.trouble({"kind": "behind", "times": None, "ledgers": 5})
        await eventually(lambda: found.metrics.state == "node_behind", 5, 0.005)
        assert found.poller.progress is not None
        assert found.poller.progress.ledger == last
        world.trouble()
        await found.until_at(world.close(1))
        found.check()


async def test_two_nodes_behind_one_address_with_different_tips(world: World) -> None:
    world.nodes[0].trouble.replicas = (Replica(), Replica(behind=2), Replica(behind=1, kept=40))
    async with following(world) as found:
        for _ in range(12):
            world.close(2)
        world.nodes[0].trouble.replicas = (Replica(), Replica())
        await found.until_at(world.close(1))
        found.check()
        assert found.sink.told.gaps == []


async def test_a_node_without_an_answer_is_told_as_such(world: World) -> None:
    async with following(world) as found:
        await found.until_at(world.close(1))
        world.trouble({"kind": "503", "times": None})
        await eventually(lambda: found.metrics.state == "unreachable", 5, 0.005)
        world.trouble()
        await found.until_at(world.close(1))


async def test_what_left_the_window_unread_is_a_gap_and_the_rest_is_told() -> None:
    async with running_world(retention=30) as world:
        for _ in range(40):
            world.close(1)
        cursor = Cursor(None, world.truth[0].ledger - 1)
        async with following(world, cursor) as found:
            await found.until_at(world.close(1))
            found.check()
            assert [gap[1] for gap in found.sink.told.gaps] == [cursor.ledger + 1]
            assert len(found.sink.told.seen) >= 29


async def test_what_is_trimmed_while_a_page_is_read_is_a_gap() -> None:
    async with running_world(retention=30) as world:
        for _ in range(40):
            world.close(1)
        cursor = Cursor(None, world.chain.node.ledgers.view().range.oldest.sequence - 1)  # type: ignore[union-attr]
        world.nodes[0].trouble.event_sleep_ms = 100

        def close_under_it() -> None:
            for _ in range(3):
                world.close(1)

        asyncio.get_running_loop().call_later(0.05, close_under_it)
        async with following(world, cursor) as found:
            await eventually(lambda: found.sink.batches > 0, 5, 0.005)
            world.nodes[0].trouble.event_sleep_ms = 0
            await found.until_at(world.close(1))
            found.check()
            assert found.sink.told.gaps


async def test_a_window_that_slides_all_the_time_is_followed_at_its_edge() -> None:
    async with running_world(retention=25) as world:
        for _ in range(30):
            world.close(1)
        async with following(world) as found:
            for _ in range(60):
                last = world.close(1)
                await eventually(_is_past(found, last - 20), 5, 0.002)
            await found.until_at(last)
            found.check()
            assert found.sink.told.gaps == []


def _is_past(found: Following, ledger: int) -> Callable[[], bool]:
    return lambda: found.poller.progress is not None and found.poller.progress.ledger >= ledger


async def test_a_cursor_is_taken_up_by_another_poller(world: World) -> None:
    async with following(world) as first:
        await first.until_at(world.close(2))
    world.close(3)
    async with following(world, from_json(first.sink.cursor)) as second:
        second.sink.told = first.sink.told
        await second.until_at(world.close(1))
        second.check()
        assert second.sink.told.gaps == []

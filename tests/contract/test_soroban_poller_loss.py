"""The poller against a node on loopback: what was lost, what is stale, what is waited out."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from aiohttp import web

from app.errors import Fatal, Transient
from connectors.soroban.answers import OutOfRange
from connectors.soroban.cursor import Cursor
from connectors.soroban.poller import Poller
from tests.support.shelf import NETWORK, RestlessClock, Shelf
from tests.support.soroban_node import (
    Node,
    borrower,
    drawn,
    line_xdr,
)

# ---- what was lost


async def test_ledgers_that_left_retention_are_a_gap_and_the_marks_still_join(
    node: Node, poll: Poller, shelf: Shelf
) -> None:
    node.oldest = 25

    following = await poll.step(Cursor(None, 9))

    gap, mark = shelf.values()
    assert gap == {
        "kind": "gap",
        "network": NETWORK,
        "from_ledger": 10,
        "to_ledger": 24,
        "cause": "retention",
    }
    assert (mark["from_ledger"], mark["ledger"], following.ledger) == (24, 40, 40)


async def test_the_ledger_of_a_page_cursor_must_lie_in_the_range_too(
    node: Node, poll: Poller, shelf: Shelf
) -> None:
    """A node that holds 25 and later refuses the cursor at the end of 24, though nothing is lost."""
    end_of_24 = Cursor(f"{24 << 32 | 0xFFFFFFFF:019d}-4294967295", 24)
    node.oldest = 25

    await poll.step(end_of_24)

    assert shelf.kinds() == ["mark"]
    assert shelf.values()[0]["from_ledger"] == 24


async def test_a_node_that_is_behind_is_waited_for(node: Node, poll: Poller, shelf: Shelf) -> None:
    with pytest.raises(OutOfRange) as raised:
        await poll.step(Cursor(None, 45))

    assert not raised.value.is_gone(46)
    assert shelf.batches == []


async def test_ledgers_that_are_trimmed_while_a_page_is_read_are_found_missing(
    node: Node, poll: Poller, shelf: Shelf
) -> None:
    """A node trims while it reads and tells nobody: near the floor the page is proven by asking again."""
    node.oldest = 20

    async def trim(request: web.Request) -> web.Response:
        asked = orjson.loads(await request.read())
        body = {"jsonrpc": "2.0", "id": asked["id"], **node.answer(asked["method"], asked["params"])}
        node.oldest = 23
        return web.json_response(body)

    node.scripted.append(trim)

    await poll.step(Cursor(None, 19))

    gap, mark = shelf.values()
    assert (gap["from_ledger"], gap["to_ledger"]) == (20, 22)
    assert (mark["from_ledger"], mark["ledger"]) == (19, 40)


async def test_a_page_far_from_the_floor_is_not_asked_for_twice(node: Node, poll: Poller) -> None:
    await poll.step(Cursor(None, 30))

    assert [request["method"] for request in node.requests] == ["getEvents"]


# ---- stale reads


async def test_a_read_older_than_its_event_is_refused(node: Node, poll: Poller, shelf: Shelf) -> None:
    node.close(drawn(borrower(1)))
    node.state_lag = 1

    with pytest.raises(Transient, match="the state is of ledger 40, needed: 41"):
        await poll.step(Cursor(None, 40))
    assert shelf.batches == []

    node.state_lag = 0
    await poll.step(Cursor(None, 40))
    assert shelf.kinds() == ["event", "entry", "mark"]


async def test_a_read_newer_than_the_page_asks_for_its_close_time(
    node: Node, poll: Poller, shelf: Shelf
) -> None:
    one = borrower(1)
    node.close(drawn(one), lines={one: line_xdr(one)})

    async def and_close(request: web.Request) -> web.Response:
        asked = orjson.loads(await request.read())
        body = {"jsonrpc": "2.0", "id": asked["id"], **node.answer(asked["method"], asked["params"])}
        node.close()
        return web.json_response(body)

    node.scripted.append(and_close)

    await poll.step(Cursor(None, 40))

    entry = shelf.values()[1]
    assert (entry["read_ledger"], entry["read_at"]) == (42, node.closed_at(42))
    assert [request["method"] for request in node.requests] == ["getEvents", "getLedgerEntries", "getHealth"]


# ---- a run


async def test_trouble_is_waited_out_and_nothing_is_skipped(
    node: Node, poll: Poller, shelf: Shelf, clock: RestlessClock
) -> None:
    stop = asyncio.Event()
    shelf.after = lambda count: stop.set()
    node.close(drawn(borrower(1)))
    node.scripted += [
        lambda request: web.Response(status=503),
        lambda request: web.Response(status=429, headers={"Retry-After": "7"}),
        lambda request: web.Response(status=429, headers={"Retry-After": "86400"}),
        lambda request: web.Response(body=b"<html>"),
    ]

    cursor = await poll.follow(Cursor(None, 40), stop)

    assert cursor.ledger == 41
    assert shelf.kinds() == ["event", "entry", "mark"]
    first, second, third, fourth = clock.slept[:4]
    assert 0.25 <= first <= 0.5
    assert second == 7.0
    assert third == 300.0
    assert 2.0 <= fourth <= 4.0


async def test_a_node_behind_is_asked_again_in_its_interval(
    node: Node, poll: Poller, shelf: Shelf, clock: RestlessClock
) -> None:
    stop = asyncio.Event()
    shelf.after = lambda count: stop.set()

    def catch_up(request: web.Request) -> web.Response:
        for _ in range(10):
            node.close()
        return web.Response(status=503)

    range_error = {"code": -32600, "message": "startLedger must be within the ledger range: 1 - 40"}
    node.scripted += [
        lambda request: web.json_response({"jsonrpc": "2.0", "id": 1, "error": range_error}),
        catch_up,
    ]

    cursor = await poll.follow(Cursor(None, 45), stop)

    assert cursor.ledger == 50
    assert clock.slept[0] == 1.0


async def test_what_nobody_can_wait_out_ends_the_run(node: Node, poll: Poller) -> None:
    node.scripted.append(lambda request: web.Response(status=401))

    with pytest.raises(Fatal, match="credential"):
        await poll.follow(Cursor(None, 40), asyncio.Event())


async def test_a_stopped_poller_does_not_begin_another_step(node: Node, poll: Poller) -> None:
    stop = asyncio.Event()
    stop.set()

    assert await poll.follow(Cursor(None, 40), stop) == Cursor(None, 40)
    assert node.requests == []

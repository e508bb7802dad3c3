"""The poller against a node on loopback: what one step publishes, pages and cursors."""

from __future__ import annotations

from collections import Counter

import pytest
from aiohttp import web
from stellar_sdk import scval

from app.errors import Fatal, Transient
from connectors.soroban import cursor as cursors
from connectors.soroban import keys
from connectors.soroban.contracts.credit import CreditLine
from connectors.soroban.cursor import Cursor
from connectors.soroban.poller import Pace, Poller
from connectors.soroban.reader import EntryReader
from connectors.soroban.rpc import Rpc
from tests.support.shelf import NETWORK, RestlessClock, Shelf, make_poller
from tests.support.soroban_node import (
    CONTRACT,
    Event,
    Node,
    borrower,
    drawn,
    entry_xdr,
    line_xdr,
)

# ---- one step


async def test_a_network_is_followed_from_its_latest_ledger_on(poll: Poller) -> None:
    assert await poll.first_cursor() == Cursor(None, 39)


async def test_a_step_publishes_events_entries_mark_and_cursor_at_once(
    node: Node, poll: Poller, shelf: Shelf
) -> None:
    first = borrower(1)
    ledger = node.close(drawn(first), lines={first: line_xdr(first, limit=1000, used=20)})
    node.close()

    following = await poll.step(Cursor(None, 40))

    event, entry, mark = shelf.values()
    assert len(shelf.batches) == 1
    assert (event["kind"], event["ledger"], event["key"], event["entries"]) == (
        "event",
        41,
        first,
        ["credit-line"],
    )
    assert event["topics"] == [{"symbol": "credit"}, {"symbol": "drawn"}]
    assert (entry["kind"], entry["key"], entry["exists"]) == ("entry", first, True)
    assert (entry["value"]["credit_limit"], entry["value"]["utilized_amount"]) == ("1000", "20")
    assert (entry["modified_ledger"], entry["read_ledger"], entry["event_id"]) == (ledger, 42, event["id"])
    assert (entry["modified_at"], entry["read_at"]) == (node.closed_at(41), node.closed_at(42))
    assert (mark["kind"], mark["ledger"], mark["from_ledger"]) == ("mark", 42, 40)
    assert mark["closed_at"] == node.closed_at(42)
    assert cursors.from_json(shelf.last.cursor) == following == Cursor(following.position, 42)
    assert shelf.last.network == NETWORK
    assert poll.at_tip


async def test_nothing_new_publishes_nothing(node: Node, poll: Poller, shelf: Shelf) -> None:
    cursor = await poll.step(Cursor(None, 30))
    assert (shelf.kinds(), cursor.ledger) == (["mark"], 40)

    again = await poll.step(cursor)

    assert again.ledger == 40
    assert len(shelf.batches) == 1


async def test_several_events_of_a_ledger_are_told_and_their_entry_is_read_once(
    node: Node, poll: Poller, shelf: Shelf
) -> None:
    one, two = borrower(1), borrower(2)
    node.close(drawn(one), drawn(two), drawn(one), lines={one: line_xdr(one), two: line_xdr(two)})

    await poll.step(Cursor(None, 40))

    assert shelf.kinds() == ["event", "event", "event", "entry", "entry", "mark"]
    events = [value for value in shelf.values() if value["kind"] == "event"]
    entries = [value for value in shelf.values() if value["kind"] == "entry"]
    assert [value["key"] for value in events] == [one, two, one]
    assert [(value["key"], value["event_id"]) for value in entries] == [
        (one, events[2]["id"]),
        (two, events[1]["id"]),
    ]
    reads = [request for request in node.requests if request["method"] == "getLedgerEntries"]
    assert [len(request["params"]["keys"]) for request in reads] == [2]


async def test_entries_are_read_again_by_two_hundred(node: Node, poll: Poller, shelf: Shelf) -> None:
    everyone = [borrower(number) for number in range(1, 451)]
    node.close(*map(drawn, everyone), lines={one: line_xdr(one) for one in everyone})

    await poll.step(Cursor(None, 40))

    reads = [request for request in node.requests if request["method"] == "getLedgerEntries"]
    assert [len(request["params"]["keys"]) for request in reads] == [200, 200, 50]
    assert Counter(shelf.kinds()) == {"event": 450, "entry": 450, "mark": 1}
    assert [record.key for record in shelf.last.records[450:]] == everyone


async def test_an_entry_that_is_not_there_is_absent_since_its_event(
    node: Node, poll: Poller, shelf: Shelf
) -> None:
    node.close(drawn(borrower(1)))

    await poll.step(Cursor(None, 40))

    entry = shelf.values()[1]
    assert (entry["exists"], entry["value"], entry["modified_ledger"]) == (False, None, 41)
    assert entry["modified_at"] == node.closed_at(41)


async def test_an_entry_of_another_shape_is_told_with_its_problem(
    node: Node, poll: Poller, shelf: Shelf
) -> None:
    one = borrower(1)
    strange = entry_xdr(keys.address_value(one), scval.to_uint32(5))
    node.close(drawn(one), lines={one: strange})

    await poll.step(Cursor(None, 40))

    entry = shelf.values()[1]
    assert (entry["exists"], entry["value"], entry["modified_ledger"]) == (True, None, 41)
    assert "it is no map" in entry["problem"]


async def test_an_event_without_topics_or_of_nobody_is_told_under_its_contract(
    node: Node, poll: Poller, shelf: Shelf
) -> None:
    node.close(Event([], scval.to_void()), Event([scval.to_symbol("paused")], scval.to_bool(True)))
    del node.events[0]["topic"]

    await poll.step(Cursor(None, 40))

    bare, paused, _ = shelf.values()
    assert (bare["topics"], bare["data"], bare["key"], bare["entries"]) == ([], {"void": None}, CONTRACT, [])
    assert (paused["data"], paused["key"], paused["entries"]) == ({"bool": True}, CONTRACT, [])


async def test_an_entry_that_changed_after_its_event_says_when_where_that_is_known(
    node: Node, poll: Poller, shelf: Shelf
) -> None:
    one = borrower(1)
    node.close(drawn(one))
    node.close()
    later = node.close(lines={one: line_xdr(one)})
    node.close()

    await poll.step(Cursor(None, 40))

    entry = shelf.values()[1]
    assert (entry["modified_ledger"], entry["read_ledger"]) == (later, 44)
    assert "modified_at" not in entry


async def test_pages_join_without_a_gap_and_without_a_record_twice(
    node: Node, rpc: Rpc, shelf: Shelf, clock: RestlessClock
) -> None:
    everyone = [borrower(number) for number in range(1, 8)]
    node.close(*map(drawn, everyone[:5]))
    node.close(*map(drawn, everyone[5:]))
    poll = make_poller(rpc, shelf, clock, Pace(page_events=3, floor_margin_ledgers=10))
    cursor = Cursor(None, 40)

    for _ in range(4):
        cursor = await poll.step(cursor)

    told = shelf.all_values()
    ids = [value["id"] for value in told if value["kind"] == "event"]
    marks = [(value["from_ledger"], value["ledger"]) for value in told if value["kind"] == "mark"]
    assert ids == [event["id"] for event in node.events]
    assert marks == [(40, 41), (41, 42)]
    assert (cursor.ledger, poll.at_tip) == (42, True)


async def test_a_node_that_looks_through_few_ledgers_at_a_time_is_followed_to_its_tip(
    node: Node, poll: Poller, shelf: Shelf
) -> None:
    node.scan = 7
    cursor, marks = Cursor(None, 20), []

    for _ in range(3):
        cursor = await poll.step(cursor)
        marks += [(value["from_ledger"], value["ledger"]) for value in shelf.values()]

    assert marks == [(20, 27), (27, 33), (33, 39)]
    assert not poll.at_tip


# ---- cursors


async def test_a_poller_goes_on_where_the_stored_cursor_stands(
    node: Node, rpc: Rpc, shelf: Shelf, clock: RestlessClock
) -> None:
    node.close(drawn(borrower(1)))
    await make_poller(rpc, shelf, clock).step(Cursor(None, 40))
    node.close(drawn(borrower(2)))

    await make_poller(rpc, shelf, clock).step(cursors.from_json(shelf.last.cursor))

    assert [value["key"] for value in shelf.values() if value["kind"] == "event"] == [borrower(2)]
    assert shelf.values()[-1]["from_ledger"] == 41


async def test_a_step_that_is_repeated_publishes_the_same_records(
    node: Node, rpc: Rpc, shelf: Shelf, clock: RestlessClock
) -> None:
    one = borrower(1)
    node.close(drawn(one), lines={one: line_xdr(one)})

    await make_poller(rpc, shelf, clock).step(Cursor(None, 40))
    await make_poller(rpc, shelf, clock).step(Cursor(None, 40))

    assert shelf.batches[0] == shelf.batches[1]


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b'{"cursor":null,"ledger":5}', b'{"cursor":5,"ledger":5}', b"\xff", b'{"cursor":"a"}']
)
def test_a_cursor_that_no_poller_wrote_stops(raw: bytes) -> None:
    with pytest.raises(Fatal, match=r"chain\.cursor"):
        cursors.from_json(raw)


async def test_a_cursor_that_goes_back_is_not_believed(node: Node, poll: Poller, shelf: Shelf) -> None:
    def back(request: web.Request) -> web.Response:
        result = {"events": [], "cursor": f"{5 << 32:019d}-0000000000", "latestLedger": 40, "oldestLedger": 1}
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": result})

    node.scripted.append(back)

    with pytest.raises(Transient, match="the cursor went back"):
        await poll.step(Cursor(None, 39))
    assert shelf.batches == []


# ---- the reader


async def test_the_reader_keeps_the_order_of_its_keys_and_tells_absence(node: Node, rpc: Rpc) -> None:
    one, two, three = borrower(1), borrower(2), "no address"
    node.close(lines={two: line_xdr(two)})

    reads = await EntryReader(rpc, CONTRACT, CreditLine()).read([one, two, three])

    assert reads.read_ledger == 41
    assert [(state.key, state.exists) for state in reads.states] == [
        (one, False),
        (two, True),
        (three, False),
    ]
    asked = node.requests[0]["params"]["keys"]
    assert len(asked) == 2


async def test_a_contract_that_is_not_there_cannot_be_listed(rpc: Rpc) -> None:
    reader = EntryReader(rpc, CONTRACT, CreditLine())

    with pytest.raises(Transient, match="no such contract on this network"):
        _ = [page async for page in reader.list_keys()]

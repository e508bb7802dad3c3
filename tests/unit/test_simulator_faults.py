"""Faults on demand: what a node does wrong, and what driftwatch's client makes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from app.clock import SystemClock
from app.demo.rpc.config import NodeConfig
from app.demo.rpc.ledgers import UNDO_LEDGERS, Change
from app.demo.rpc.node import Node
from app.demo.rpc.scripted import read_script
from app.demo.rpc.server import Server
from app.errors import Transient
from connectors.soroban.rpc import Limits, Rpc
from tests.support.simulator import A, ask, close, close_empty, entry, event, node
from tests.support.waiting import CLOCK


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server(Node(NodeConfig(max_latency_s=1e9), SystemClock())) as served:
        close(served.node, 1, event(1, 1, "first"), changes=[entry("one", 1)])
        yield served


@pytest.fixture
async def rpc(server: Server) -> AsyncIterator[Rpc]:
    client = Rpc(SecretStr(server.url), CLOCK, Limits(total_s=0.5))
    yield client
    await client.close()


async def script(server: Server, *faults: dict[str, Any]) -> tuple[int, str]:
    """Tell the node; (status, text) of its answer."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.url + "_sim/set", json={"faults": list(faults)}) as answer,
    ):
        return answer.status, await answer.text()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"kind": "429", "retry_after": 3}, "HTTP 429 Too Many Requests"),
        ({"kind": "503"}, "HTTP 503"),
        ({"kind": "504"}, "HTTP 504"),
        ({"kind": "500_text"}, "HTTP 500 Internal Server Error"),
        ({"kind": "timeout"}, "no answer within 0.5 s"),
        ({"kind": "truncated"}, "connection failed: ClientPayloadError"),
        ({"kind": "not_json"}, "no JSON-RPC answer"),
        ({"kind": "wrong_id"}, "answers request 'of somebody else'"),
        ({"kind": "-32001"}, "-32001 [-32001] request exceeded processing limit threshold"),
        ({"kind": "-32098"}, "-32098 rpc queue for getHealth surpassed queue limit"),
    ],
)
async def test_a_fault_strikes_once_and_is_transient(
    server: Server, rpc: Rpc, fault: dict[str, Any], told: str
) -> None:
    await script(server, fault)
    with pytest.raises(Transient) as failed:
        await rpc.get_health()
    assert told in str(failed.value)
    assert failed.value.retry_after_s == fault.get("retry_after")
    assert (await rpc.get_health()).latest_ledger == 1


async def test_a_fault_strikes_its_method_as_often_as_it_was_told(server: Server, rpc: Rpc) -> None:
    await script(server, {"kind": "503", "method": "getEvents", "times": 2})
    await rpc.get_health()
    for _ in range(2):
        with pytest.raises(Transient):
            await rpc.get_events([A], 1)
    assert len((await rpc.get_events([A], 1)).events) == 1


async def test_a_fault_without_an_end_stays_until_it_is_cleared(server: Server, rpc: Rpc) -> None:
    await script(server, {"kind": "504", "times": None})
    for _ in range(3):
        with pytest.raises(Transient):
            await rpc.get_health()
    await script(server)
    await rpc.get_health()


async def test_a_script_that_cannot_be_read_is_refused(server: Server) -> None:
    status, text = await script(server, {"kind": "418"})
    assert status == 400
    assert "418" in text


def changing_node() -> Node:
    """`one` is 1 in ledger 5, 2 in ledger 6, gone in ledger 7."""
    held = node(max_latency_s=1e9)
    close(held, 5, changes=[entry("one", 1)])
    close(held, 6, event(6, 1, "six"), changes=[entry("one", 2)])
    close(held, 7, event(7, 1, "seven"), changes=[Change(entry("one", 2).key, None)])
    return held


async def test_a_node_that_is_behind_knows_nothing_of_what_came_after() -> None:
    held = changing_node()
    held.script = read_script([{"kind": "behind", "ledgers": 1, "times": None}])
    assert (await ask(held, "getHealth"))["latestLedger"] == 6
    page = await ask(held, "getEvents", startLedger=5)
    assert [each["ledger"] for each in page["events"]] == [6]
    assert (await ask(held, "getEvents", startLedger=7))["message"].endswith("5 - 6")
    found = await ask(held, "getLedgerEntries", keys=[entry("one", 2).key])
    assert found["latestLedger"] == 6
    assert (found["entries"][0]["xdr"], found["entries"][0]["lastModifiedLedgerSeq"]) == (
        entry("one", 2).data,
        6,
    )


async def test_stale_entries_are_those_of_an_older_ledger_while_events_are_not() -> None:
    held = changing_node()
    held.script = read_script([{"kind": "stale_entries", "ledgers": 2, "times": None}])
    found = await ask(held, "getLedgerEntries", keys=[entry("one", 1).key])
    assert (found["latestLedger"], found["entries"][0]["xdr"]) == (5, entry("one", 1).data)
    assert (await ask(held, "getEvents", startLedger=5))["latestLedger"] == 7


async def test_a_node_is_never_behind_its_own_window() -> None:
    held = node(retention=3)
    close_empty(held, 1, UNDO_LEDGERS + 10)
    view = held.ledgers.view(10**6).range
    assert view is not None
    assert view.latest.sequence == view.oldest.sequence == UNDO_LEDGERS + 8

"""The JSON-RPC of the simulated node, and its HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest

from app.clock import SystemClock
from app.demo.rpc.config import NodeConfig
from app.demo.rpc.messages import answer_body
from app.demo.rpc.node import Node
from app.demo.rpc.server import MAX_BODY, Server
from app.errors import Fatal
from tests.support.simulator import close_empty, node, say, symbol

HEALTH = {"jsonrpc": "2.0", "id": 1, "method": "getHealth"}
JSON = {"Content-Type": "application/json"}


def young() -> Node:
    held = node(max_latency_s=1e9)
    close_empty(held, 1, 3)
    return held


@pytest.mark.parametrize("spelt", ["1", "1.0", "1e2", "-5", '"x"', '""', '"\\u00e4"'])
async def test_an_id_comes_back_as_it_was_spelt(spelt: str) -> None:
    answer = await answer_body(young(), f'{{"jsonrpc":"2.0","id":{spelt},"method":"getNetwork"}}'.encode())
    assert answer is not None
    assert answer.startswith(f'{{"jsonrpc":"2.0","id":{spelt},"result":'.encode())


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        ("5", -32700, "request is not a JSON object"),
        ("null", -32600, "invalid version marker"),
        ({**HEALTH, "jsonrpc": "1.0"}, -32600, "invalid version marker"),
        ({**HEALTH, "jsonrpc": 2}, -32700, "invalid version key"),
        ({**HEALTH, "id": True}, -32600, "invalid request ID"),
        ({**HEALTH, "params": "x"}, -32600, "parameters must be array or object"),
        ({**HEALTH, "more": 1}, -32600, "extra fields in request"),
        ({**HEALTH, "result": 1}, -32600, "mixed request and reply fields"),
        ({"jsonrpc": "2.0", "id": 1}, -32600, "empty method name"),
        ({**HEALTH, "method": "getFoo"}, -32601, "method not found"),
        ({**HEALTH, "params": []}, -32602, "invalid parameters"),
    ],
)
async def test_a_message_is_refused(body: Any, code: int, told: str) -> None:
    answer = await say(young(), body)
    assert (answer["error"]["code"], answer["error"]["message"]) == (code, told)


async def test_notifications_are_not_answered() -> None:
    held = young()
    for body in ({"jsonrpc": "2.0", "method": "getHealth"}, {**HEALTH, "id": None}, []):
        assert await say(held, body) is None


async def test_a_batch_answers_in_order_after_what_is_no_request() -> None:
    batch = [{**HEALTH, "id": 7}, 1, {"jsonrpc": "2.0", "method": "getHealth"}, {**HEALTH, "method": "x"}]
    answers = await say(young(), batch)
    assert [(each["id"], "error" in each) for each in answers] == [(None, True), (7, False), (1, True)]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server(Node(NodeConfig(max_latency_s=1e9), SystemClock())) as served:
        close_empty(served.node, 1, 3)
        yield served


async def send(
    server: Server, body: Any = None, method: str = "POST", path: str = "", headers: Any = None
) -> tuple[int, str | None, bytes]:
    """(status, content type, body) of one request."""
    raw = body if isinstance(body, bytes) else orjson.dumps(HEALTH if body is None else body)
    async with (
        aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session,
        session.request(method, server.url + path, data=raw, headers=headers or JSON) as answer,
    ):
        return answer.status, answer.headers.get("Content-Type"), await answer.read()


TEXT = "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"path": "health"}, (404, TEXT, b"404 page not found\n")),
        ({"method": "PUT"}, (405, None, b"")),
        (
            {"headers": {"Content-Type": "text/plain"}},
            (415, TEXT, b"content-type must be application/json\n"),
        ),
        ({"headers": {"X-None": "1"}}, (415, TEXT, b"content-type must be application/json\n")),
        ({"body": b""}, (500, TEXT, b"[-32700] invalid request value\n")),
        ({"body": b'{"a":1,}'}, (500, TEXT, b"[-32700] invalid request value\n")),
        ({"body": b"NaN"}, (500, TEXT, b"[-32700] invalid request value\n")),
        ({"body": b" " * (MAX_BODY + 1)}, (500, TEXT, b"http: request body too large\n")),
        ({"body": []}, (204, None, b"")),
    ],
)
async def test_http_refuses_as_the_real_server_does(server: Server, asked: Any, expected: Any) -> None:
    assert await send(server, **asked) == expected


async def test_a_content_type_may_have_parameters_and_any_case(server: Server) -> None:
    for named in ("application/json; charset=utf-8", "Application/JSON"):
        status, kind, _ = await send(server, headers={"Content-Type": named})
        assert (status, kind) == (200, "application/json")


async def test_the_largest_body_passes(server: Server) -> None:
    body = orjson.dumps(HEALTH)
    assert (await send(server, body + b" " * (MAX_BODY - len(body))))[0] == 200


async def test_a_taken_port_is_told(server: Server) -> None:
    port = int(server.url.rstrip("/").rpartition(":")[2])
    with pytest.raises(Fatal, match=f"serving on 127.0.0.1:{port}"):
        async with Server(server.node, port=port):
            pass


class Gate:
    """A clock whose sleeps last until the gate is opened."""

    def __init__(self) -> None:
        self.opened, self.reached = asyncio.Event(), asyncio.Event()

    def now_us(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.reached.set()
        await self.opened.wait()


EVENTS = {"jsonrpc": "2.0", "id": 1, "method": "getEvents", "params": {"startLedger": 1}}


async def test_queues_refuse_what_is_too_much_at_once() -> None:
    for config, expected in (
        (NodeConfig(events_queue=1), (200, b"rpc queue for getEvents surpassed queue limit of 1 requests")),
        (NodeConfig(global_queue=1), (503, b"")),
    ):
        gate = Gate()
        async with Server(Node(config, gate)) as served:
            close_empty(served.node, 1, 3)
            served.node.trouble.event_sleep_ms = 1
            waiting = asyncio.create_task(send(served, EVENTS))
            await gate.reached.wait()
            status, _, body = await send(served, EVENTS)
            assert (status, expected[1] in body) == (expected[0], True)
            gate.opened.set()
            assert (await waiting)[0] == 200


async def test_time_limits_end_a_call_and_a_request() -> None:
    for config, expected in (
        (NodeConfig(max_events_time_s=0.01), (200, b"request exceeded processing limit threshold")),
        (NodeConfig(max_request_time_s=0.01), (504, b"")),
    ):
        async with Server(Node(config, Gate())) as served:
            close_empty(served.node, 1, 3)
            served.node.trouble.event_sleep_ms = 1
            status, _, body = await send(served, EVENTS)
            assert (status, expected[1] in body) == (expected[0], True)


async def test_ledgers_are_closed_over_http(server: Server) -> None:
    happened = {"type": "contract", "topics": [symbol("fee")], "data": symbol("x")}
    ledger = {
        "seq": 4,
        "closeTime": 1_795_000_020,
        "txs": [
            {"beforeAllTxs": [happened], "ops": [[happened, happened], [happened]], "afterTx": [happened]},
            {"ok": False, "beforeAllTxs": [happened], "afterAllTxs": [happened]},
        ],
    }
    assert (await send(server, [ledger], path="_sim/close"))[0] == 200
    _, _, body = await send(server, {**EVENTS, "params": {"startLedger": 4}})
    found = orjson.loads(body)["result"]["events"]
    places = [(each["transactionIndex"], each["operationIndex"], int(each["id"][-10:])) for each in found]
    assert places == [(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 4095, 0), (1048575, 0, 0)]
    assert [each["inSuccessfulContractCall"] for each in found] == [True, False, *[True] * 4, False]
    status, _, body = await send(server, [ledger], path="_sim/close")
    assert (status, body) == (400, b"ValueError: ledger 4 does not follow 4\n")


async def test_empty_ledgers_are_filled_in(server: Server) -> None:
    asked = {"from": 4, "count": 3, "closeTime": 1_795_000_020, "step": 5}
    assert (await send(server, asked, path="_sim/fill"))[0] == 200
    _, _, body = await send(server)
    found = orjson.loads(body)["result"]
    assert (found["latestLedger"], found["latestLedgerCloseTime"]) == (6, "1795000030")

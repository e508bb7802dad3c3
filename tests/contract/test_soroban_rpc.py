"""The RPC client against a node on loopback: what is an answer, what is worth another try, what stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from app.errors import DriftwatchError, Fatal, Transient
from connectors.soroban import keys
from connectors.soroban.answers import OutOfRange
from connectors.soroban.rpc import Limits, Rpc
from tests.support.soroban_node import CONTRACT, PASSPHRASE, Node, borrower, drawn, line_xdr, running_node

NOW_US = 1_795_000_000_000_000


class FixedClock:
    """Always the same moment; nobody sleeps."""

    def now_us(self) -> int:
        return NOW_US

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"the client waits for nothing ({seconds} s)")


@pytest.fixture(name="node")
async def _node() -> AsyncIterator[Node]:
    async with running_node() as node:
        node.close()
        yield node


@pytest.fixture(name="seen")
def _seen() -> list[tuple[str, str]]:
    return []


@pytest.fixture(name="rpc")
async def _rpc(node: Node, seen: list[tuple[str, str]]) -> AsyncIterator[Rpc]:
    limits = Limits(total_s=0.5, connect_s=0.5, body_bytes=64 * 1024)
    client = Rpc(SecretStr(node.url), FixedClock(), limits, lambda *call: seen.append(call))
    yield client
    await client.close()


def replying(text: str | bytes, status: int = 200, **headers: str) -> Callable[[web.Request], web.Response]:
    body = text.encode() if isinstance(text, str) else text
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: web.Response(body=body, status=status, headers=named)


async def test_what_a_node_answers(node: Node, rpc: Rpc, seen: list[tuple[str, str]]) -> None:
    first, second = borrower(1), borrower(2)
    ledger = node.close(drawn(first), lines={first: line_xdr(first)})

    page = await rpc.get_events([CONTRACT], 1)
    place, other = (keys.persistent_key(CONTRACT, keys.address_value(one)) for one in (first, second))
    read_ledger, entries = await rpc.get_ledger_entries([place, other])

    assert [(event.ledger, event.contract_id) for event in page.events] == [(ledger, CONTRACT)]
    assert (page.latest_ledger, page.oldest_ledger) == (2, 1)
    assert (read_ledger, list(entries)) == (2, [place])
    assert (await rpc.get_health()).latest_ledger == 2
    assert (await rpc.get_network()).passphrase == PASSPHRASE
    assert seen == [(method, "ok") for method in ("getEvents", "getLedgerEntries", "getHealth", "getNetwork")]
    assert [request["id"] for request in node.requests] == [1, 2, 3, 4]


async def test_a_cursor_and_a_ledger_are_asked_for_differently(node: Node, rpc: Rpc) -> None:
    page = await rpc.get_events([CONTRACT], 1, 5)
    await rpc.get_events([CONTRACT], page.cursor, 5)

    by_ledger, by_cursor = (request["params"] for request in node.requests)
    assert (by_ledger["startLedger"], by_ledger["pagination"]) == (1, {"limit": 5})
    assert "startLedger" not in by_cursor
    assert by_cursor["pagination"] == {"limit": 5, "cursor": page.cursor}


async def test_diagnostic_events_are_left_out(node: Node, rpc: Rpc) -> None:
    node.close(drawn(borrower(1)), drawn(borrower(2)))
    node.events[0]["type"] = "diagnostic"

    page = await rpc.get_events([CONTRACT], 1)

    assert [event.id for event in page.events] == [node.events[1]["id"]]


async def test_the_passphrase_of_another_network_stops(rpc: Rpc) -> None:
    await rpc.check_passphrase(PASSPHRASE)

    with pytest.raises(Fatal, match=r"configured is 'Public .*STELLAR_NETWORK_PASSPHRASE"):
        await rpc.check_passphrase("Public Global Stellar Network ; September 2015")


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (408, "", Transient),
        (425, "", Transient),
        (429, "slow down", Transient),
        (500, "[-32603] internal error", Transient),
        (500, "", Transient),
        (502, "<html>bad gateway</html>", Transient),
        (503, "[-32098] too many requests in the queue", Transient),
        (504, "upstream request timeout", Transient),
        (500, "[-32700] parse error", Fatal),
        (500, "http: request body too large", Fatal),
        (413, "", Fatal),
        (204, "", Fatal),
        (301, "", Fatal),
        (400, "", Fatal),
        (401, "", Fatal),
        (403, "", Fatal),
        (404, "", Fatal),
        (405, "", Fatal),
    ],
)
async def test_a_status_is_worth_another_try_or_stops(
    node: Node, rpc: Rpc, seen: list[tuple[str, str]], status: int, text: str, kind: type[DriftwatchError]
) -> None:
    node.scripted.append(replying(text, status))

    with pytest.raises(kind) as raised:
        await rpc.get_health()

    assert type(raised.value) is kind
    assert f"HTTP {status}" in str(raised.value)
    assert seen == [("getHealth", "transient" if kind is Transient else "refused")]
    assert (await rpc.get_health()).latest_ledger == 1


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (-32001, "[-32001] request exceeded processing limit threshold", Transient),
        (-32098, "queue is full", Transient),
        (-32603, "DB is empty", Transient),
        (-32600, "startLedger must be within the ledger range: 5 - 9", OutOfRange),
        (
            -32602,
            "start ledger (3) must be between the oldest ledger: 5 and the latest ledger: 9",
            OutOfRange,
        ),
        (-32602, "filter 1 invalid: contract ID 5 invalid", Fatal),
        (-32601, "method not found", Fatal),
    ],
)
async def test_an_error_by_its_code(
    node: Node, rpc: Rpc, code: int, message: str, kind: type[DriftwatchError]
) -> None:
    def answer(request: web.Request) -> web.Response:
        return web.json_response({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message}})

    node.scripted.append(answer)

    with pytest.raises(kind) as raised:
        await rpc.get_events([CONTRACT], 1)

    if isinstance(raised.value, OutOfRange):
        assert (raised.value.is_gone(4), raised.value.is_gone(10)) == (True, False)


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        ("<html>welcome</html>", Transient, "no JSON-RPC answer"),
        ("", Transient, "no JSON-RPC answer"),
        (b"\xff\xfe", Transient, "no JSON-RPC answer"),
        ("[]", Transient, "no JSON-RPC answer"),
        ('{"jsonrpc":"2.0","id":1,"result":{"latestLed', Transient, "no JSON-RPC answer"),
        ('{"jsonrpc":"2.0","id":77,"result":{}}', Transient, "answers request 77 instead of 1"),
        ('{"jsonrpc":"2.0","id":null,"result":{}}', Transient, "instead of 1"),
        ('{"jsonrpc":"2.0","id":"1","result":{}}', Transient, "instead of 1"),
        ('{"jsonrpc":"2.0","id":1}', Transient, "without a result"),
        ('{"jsonrpc":"2.0","id":1,"result":null}', Transient, "without a result"),
        ('{"jsonrpc":"2.0","id":1,"result":{"status":"healthy"}}', Fatal, "stellar-rpc 22 or newer"),
        ('{"jsonrpc":"2.0","id":1,"result":{"latestLedger":{},"oldestLedger":1}}', Fatal, "another shape"),
        ("[" * 100_000, Transient, "bytes"),
        ("[" * 60_000, Transient, "no JSON-RPC answer"),
        ('{"id":1,"result":' + "[" * 60_000, Transient, "no JSON-RPC answer"),
        ('{"id":1,"result":{"x":' + "[" * 30_000 + "]" * 30_000 + "}}", Transient, "no JSON-RPC answer"),
        ('{"id":1,"result":{"latestLedger":' + "9" * 5_000 + "}}", Fatal, "another shape"),
    ],
)
async def test_what_is_no_answer(
    node: Node, rpc: Rpc, body: str | bytes, kind: type[DriftwatchError], told: str
) -> None:
    node.scripted.append(replying(body))

    with pytest.raises(kind, match=told) as raised:
        await rpc.get_health()

    assert type(raised.value) is kind


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Wed, 18 Nov 2026 11:07:10 GMT", 30.0),
        ("soon", None),
        ("", None),
    ],
)
async def test_the_time_that_the_node_names(node: Node, rpc: Rpc, header: str, seconds: float | None) -> None:
    node.scripted.append(replying("", 429, Retry_After=header))

    with pytest.raises(Transient) as raised:
        await rpc.get_health()

    assert raised.value.retry_after_s == seconds


async def test_an_answer_that_never_comes_is_not_waited_for(node: Node, rpc: Rpc) -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError(request)

    node.scripted.append(never)

    with pytest.raises(Transient, match=r"no answer within 0\.5 s"):
        await rpc.get_health()


async def test_an_answer_that_breaks_off(node: Node, rpc: Rpc) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "5000"})
        await response.prepare(request)
        await response.write(b'{"jsonrpc":"2.0"')
        assert request.transport is not None
        request.transport.close()
        return response

    node.scripted.append(broken)

    with pytest.raises(Transient, match="connection failed"):
        await rpc.get_health()


async def test_nobody_there_is_told_without_the_path_of_the_address(node: Node) -> None:
    port = node.url.rsplit(":", 1)[1].strip("/")
    closed = Rpc(SecretStr("http://user:hidden@127.0.0.1:1/hidden?key=hidden"), FixedClock())

    with pytest.raises(Transient) as raised:
        await closed.get_health()

    assert "hidden" not in str(raised.value)
    assert "http://127.0.0.1:1" in str(raised.value)
    assert port != "1"
    await closed.close()


async def test_an_address_that_is_none_stops() -> None:
    client = Rpc(SecretStr("http://"), FixedClock())

    with pytest.raises(Fatal, match="check SOROBAN_RPC_URL"):
        await client.get_health()

    await client.close()


@pytest.mark.parametrize("count", [0, 201])
async def test_at_most_two_hundred_keys_are_asked_for(rpc: Rpc, count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} ledger keys"):
        await rpc.get_ledger_entries(["AAAA"] * count)


async def test_a_client_may_be_used_again_after_it_was_closed(rpc: Rpc) -> None:
    await rpc.get_health()
    await rpc.close()

    assert (await rpc.get_health()).latest_ledger == 1


async def test_every_number_may_be_a_text(node: Node, rpc: Rpc) -> None:
    def old(request: web.Request) -> web.Response:
        result: dict[str, Any] = {"latestLedger": "50000", "oldestLedger": "1", "latestLedgerCloseTime": "17"}
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": result})

    node.scripted.append(old)

    health = await rpc.get_health()

    assert (health.latest_ledger, health.oldest_ledger, health.latest_ledger_close_time) == (50000, 1, 17)

"""How a scripted fault looks on the wire: answers of proxies, half an answer, somebody else's answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from app.demo.rpc.scripted import Kind, ScriptedFault

_TEXTS: Final = {
    Kind.TOO_MANY: (429, "Too Many Requests\n"),
    Kind.UNAVAILABLE: (503, ""),
    Kind.GATEWAY_TIMEOUT: (504, ""),
    Kind.INTERNAL: (500, "Internal Server Error\n"),
    Kind.NOT_JSON: (200, "<html><body>welcome</body></html>\n"),
}


def methods_of(body: bytes) -> list[str]:
    """The methods that a body asks for; none where it cannot be read."""
    try:
        found: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    messages = found if isinstance(found, list) else [found]
    return [str(each.get("method", "")) for each in messages if isinstance(each, dict)]


def refusal_of(fault: ScriptedFault) -> web.Response:
    """An answer that is none; Retry-After where the fault names a time."""
    status, text = _TEXTS[fault.kind]
    headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    if not text:
        return web.Response(status=status, headers=headers)
    content_type = "text/html" if fault.kind is Kind.NOT_JSON else "text/plain"
    return web.Response(status=status, text=text, content_type=content_type, headers=headers)


def with_wrong_id(answer: web.Response) -> web.Response:
    """The same answer, to a request that nobody sent."""
    if not isinstance(answer.body, bytes):
        return answer
    found = orjson.loads(answer.body)
    for each in found if isinstance(found, list) else [found]:
        each["id"] = "of somebody else"
    return web.Response(body=orjson.dumps(found), headers={"Content-Type": "application/json"})


def in_old_shape(answer: web.Response) -> web.Response:
    """The same answer in the spelling of servers of 2023 and 2024: numbers as strings, values in boxes,
    paging tokens, and nothing about an event's place in its ledger."""
    if not isinstance(answer.body, bytes):
        return answer
    found = orjson.loads(answer.body)
    result = found.get("result") if isinstance(found, dict) else None
    if isinstance(result, dict):
        found["result"] = {name: _spelt_as_of_old(value) for name, value in result.items()}
    return web.Response(body=orjson.dumps(found), headers={"Content-Type": "application/json"})


def _spelt_as_of_old(value: Any) -> Any:
    if isinstance(value, list):
        return [_spelt_as_of_old(each) for each in value]
    if isinstance(value, dict):
        boxed = {name: _spelt_as_of_old(each) for name, each in value.items() if not name.endswith("Index")}
        if "value" in boxed and "txHash" in boxed:
            boxed |= {"value": {"xdr": boxed["value"]}, "pagingToken": boxed["id"]}
        return boxed
    return str(value) if type(value) is int else value


SPOILT: Final[Mapping[Kind, Callable[[web.Response], web.Response]]] = {
    Kind.WRONG_ID: with_wrong_id,
    Kind.OLD_SHAPE: in_old_shape,
}
"""Faults that change a right answer."""


async def send_truncated(request: web.Request, answer: web.Response) -> web.StreamResponse:
    """The first half of an answer under the length of the whole, then the connection is gone."""
    body = answer.body if isinstance(answer.body, bytes) else b""
    half = web.StreamResponse(headers={"Content-Type": "application/json"})
    half.content_length = len(body)
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return half

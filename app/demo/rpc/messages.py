"""JSON-RPC 2.0 as the real server speaks it: what a message is refused for, batches, notifications."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import orjson

from app.demo.rpc import json_text
from app.demo.rpc.faults import INVALID_REQUEST, PARSE_ERROR, Fault
from app.demo.rpc.json_text import Json, Number, Object
from app.demo.rpc.node import Node

_NULL: Final = "null"


class NoJson(Exception):
    """The body is no JSON at all: the answer is not JSON either."""


@dataclass(slots=True)
class Message:
    """`id` is JSON text as it was spelt, None for a notification."""

    id: str | None = None
    version: str = ""
    method: str = ""
    params: Json = None
    fault: Fault | None = None
    replies: bool = False
    """It has the fields of an answer."""

    def fail(self, code: int, message: str, data: Any = None) -> None:
        """The first fault stays."""
        if self.fault is None:
            self.fault = Fault(code, message, data)


async def answer_body(node: Node, body: bytes) -> bytes | None:
    """The answer to a request or a batch; None where nothing asks for one. Raises `NoJson`.

    In a batch the answers of requests that are faulty in themselves come first, the others in order."""
    try:
        found = json_text.parse(body)
    except ValueError as error:
        raise NoJson from error
    messages = [read_message(each) for each in (found if isinstance(found, list) else [found])]
    faulty = [_answer(each, fault=each.fault) for each in messages if each.fault is not None]
    called = await asyncio.gather(*(_call(node, each) for each in messages if each.fault is None))
    answers = faulty + [each for each in called if each is not None]
    if not answers:
        return None
    return b"[" + b",".join(answers) + b"]" if isinstance(found, list) else answers[0]


def read_message(value: Json) -> Message:
    """A request as read, with its first fault."""
    message = Message()
    if value is None:
        value = Object(())
    if not isinstance(value, Object):
        message.fail(PARSE_ERROR, "request is not a JSON object")
        return message
    extra: list[str] = []
    for name, held in dict(value.members).items():
        if not _take(message, name, held):
            extra.append(name)
    if message.version != "2.0":
        message.fail(INVALID_REQUEST, "invalid version marker")
    if message.method and message.replies:
        message.fail(INVALID_REQUEST, "mixed request and reply fields")
    if extra:
        message.fail(INVALID_REQUEST, "extra fields in request", extra)
    if message.id is not None and not message.method:
        message.fail(INVALID_REQUEST, "empty method name")
    return message


def _take(message: Message, name: str, value: Json) -> bool:
    if name == "id":
        _take_id(message, value)
    elif name == "jsonrpc":
        message.version = _text(message, value, "invalid version key")
    elif name == "method":
        message.method = _text(message, value, "invalid method name")
    elif name == "params":
        message.params = value
        if value is not None and not isinstance(value, list | Object):
            message.fail(INVALID_REQUEST, "parameters must be array or object")
    elif name in ("error", "result"):
        message.replies = message.replies or name == "result" or value is not None
    else:
        return False
    return True


def _take_id(message: Message, value: Json) -> None:
    if isinstance(value, Number | str):
        message.id = json_text.spell(value)
    elif value is not None:
        message.fail(INVALID_REQUEST, "invalid request ID")


def _text(message: Message, value: Json, refusal: str) -> str:
    if isinstance(value, str) and not isinstance(value, Number):
        return value
    if value is not None:
        message.fail(PARSE_ERROR, refusal)
    return ""


async def _call(node: Node, message: Message) -> bytes | None:
    try:
        result = await node.call(message.method, message.params)
    except Fault as fault:
        return None if message.id is None else _answer(message, fault=fault)
    return None if message.id is None else _answer(message, result=result)


def _answer(message: Message, *, result: Any = None, fault: Fault | None = None) -> bytes:
    name, held = ("result", result) if fault is None else ("error", fault.as_json())
    head = f'{{"jsonrpc":"2.0","id":{message.id or _NULL},"{name}":'
    return head.encode() + orjson.dumps(held) + b"}"

"""A node over HTTP: one address, the answers of the real server's HTTP stack, and `/_sim/` to steer it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import orjson
from aiohttp import web

from app.demo.rpc import control
from app.demo.rpc.messages import NoJson, answer_body
from app.demo.rpc.node import Node
from app.demo.rpc.scripted import OF_TRANSPORT, Kind
from app.demo.rpc.transport import SPOILT, methods_of, refusal_of, send_truncated
from app.errors import Fatal

MAX_BODY: Final = 512 * 1024
_CONTROLS: Final[dict[str, Callable[[Node, Any], None]]] = {
    "/_sim/close": control.close,
    "/_sim/fill": control.fill,
    "/_sim/set": control.set_trouble,
}


class Server:
    """Serves a node on an address until it is left; port 0 picks a free one, which `url` names."""

    def __init__(self, node: Node, host: str = "127.0.0.1", port: int = 0) -> None:
        self.node, self._host, self._port = node, host, port
        self._under_way = 0
        self.url = ""

    async def __aenter__(self) -> Server:
        served = web.Application(client_max_size=0)
        served.router.add_route("*", "/{path:.*}", self._serve)
        served.on_response_prepare.append(_drop_type_of_nothing)
        self._runner = web.AppRunner(served, access_log=None, shutdown_timeout=0.1, auto_decompress=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise Fatal(
                "serving on", f"{self._host}:{self._port}", error, "--port 0 picks a free one"
            ) from error
        port = self._runner.addresses[0][1]
        self.url = f"http://{self._host}:{port}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.path in _CONTROLS:
            return await self._steer(request)
        if request.path != "/":
            return _text(404, "404 page not found\n")
        body = await request.read()
        try:
            allowed_s = self.node.config.max_request_time_s
            return await asyncio.wait_for(self._answer_in_turn(request, body), allowed_s)
        except TimeoutError:
            return web.Response(status=504)

    async def _answer_in_turn(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if self._under_way >= self.node.config.global_queue:
            return web.Response(status=503)
        self._under_way += 1
        try:
            return await self._answer(request, body)
        finally:
            self._under_way -= 1

    async def _answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        refused = _refusal(request, body)
        if refused is not None:
            return refused
        struck = self.node.script.take(OF_TRANSPORT, methods_of(body))
        if struck is None:
            return await self._answer_json(body)
        if struck.kind is Kind.SLOW:
            await self.node.clock.sleep(struck.ms / 1000)
            return await self._answer_json(body)
        if struck.kind is Kind.TRUNCATED:
            return await send_truncated(request, await self._answer_json(body))
        spoil = SPOILT.get(struck.kind)
        return refusal_of(struck) if spoil is None else spoil(await self._answer_json(body))

    async def _answer_json(self, body: bytes) -> web.Response:
        try:
            answer = await answer_body(self.node, body)
        except NoJson:
            return _text(500, "[-32700] invalid request value\n")
        if answer is None:
            return web.Response(status=204)
        return web.Response(body=answer, headers={"Content-Type": "application/json"})

    async def _steer(self, request: web.Request) -> web.StreamResponse:
        """400 with the reason for what cannot be done."""
        try:
            _CONTROLS[request.path](self.node, orjson.loads(await request.read()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return _text(400, f"{type(error).__name__}: {error}\n")
        return web.Response(text="{}", content_type="application/json")


def _refusal(request: web.Request, body: bytes) -> web.Response | None:
    """What the real server refuses before it reads any JSON."""
    if request.method != "POST":
        return web.Response(status=405)
    if request.content_type.lower() != "application/json":
        return _text(415, "content-type must be application/json\n")
    if (request.charset or "utf-8") not in ("utf-8", "utf8"):
        return _text(415, "invalid content-type charset\n")
    if len(body) > MAX_BODY:
        return _text(500, "http: request body too large\n")
    return None


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text)


async def _drop_type_of_nothing(request: web.Request, response: web.StreamResponse) -> None:
    """The real server names no content type where there is no content."""
    if isinstance(response, web.Response) and not response.body:
        response.headers.popall("Content-Type", None)

"""What surrounds every request: its id, its size, its key, its limits, its figures, the answer's headers."""

from __future__ import annotations

import re
import uuid
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.keys import Caller, Doorkeeper
from app.api.limits import TokenBuckets
from app.api.metrics import ApiMetrics
from app.api.problems import Kind, Refusal, refusal_of
from app.clock import Clock
from app.errors import DriftwatchError
from app.telemetry import get_logger

log = get_logger(__name__)

GUARDED: Final = "/api/"
"""Nothing below it is reached without a key."""
KEY_HEADER: Final = "X-API-Key"
LARGEST_BODY: Final = 65_536
"""Bytes; no request of this API comes near it."""
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
_SECURITY: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Guards:
    """What a request must pass. `largest_body`: bytes."""

    doorkeeper: Doorkeeper
    requests: TokenBuckets
    largest_body: int
    clock: Clock
    metrics: ApiMetrics


class Envelope:
    """ASGI middleware around the whole application; no failure inside it reaches the server."""

    def __init__(self, app: ASGIApp, guards: Guards) -> None:
        self._app, self._guards = app, guards

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        clock, metrics = self._guards.clock, self._guards.metrics
        asked = Headers(scope=scope).get("x-request-id", "")
        request_id = asked if _REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(send, request_id)
        began = clock.monotonic_s()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._serve(scope, receive, answer)
            except Exception:
                log.exception("A request failed", event_name="api_request_failed", route=_route(scope))
                if answer.status is None:
                    await Refusal(Kind.INTERNAL).answer(request_id)(scope, receive, answer)
            finally:
                route, method = _route(scope), scope["method"]
                method = method if method in _METHODS else "other"
                metrics.requests.labels(route, method, str(answer.status or 499)).inc()
                metrics.duration.labels(route).observe(clock.monotonic_s() - began)

    async def _serve(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            if scope["path"].startswith(GUARDED):
                scope["state"]["caller"] = await self._admit(Headers(scope=scope).get(KEY_HEADER))
            body = await self._read(scope, receive)
        except Refusal as refusal:
            await refusal.answer(scope["state"]["request_id"])(scope, receive, answer)
            return
        except DriftwatchError as error:
            await refusal_of(error).answer(scope["state"]["request_id"])(scope, receive, answer)
            return
        await self._app(scope, _Replay(body, receive), answer)

    async def _admit(self, key: str | None) -> Caller:
        guards = self._guards
        caller = await guards.doorkeeper.admit(key, guards.clock.now_us())
        if isinstance(caller, str):
            guards.metrics.refused_keys.labels(caller).inc()
            raise Refusal(Kind.UNAUTHENTICATED, headers={"WWW-Authenticate": f'ApiKey header="{KEY_HEADER}"'})
        wait_s = guards.requests.take(caller.id)
        if wait_s is not None:
            guards.metrics.limited.labels("requests").inc()
            raise Refusal(Kind.TOO_MANY, "this key asks too often", wait_s)
        return caller

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body: it is small, or refused before it has all been read."""
        most = self._guards.largest_body
        told = Headers(scope=scope).get("content-length", "0")
        if told.isdigit() and int(told[:20]) > most:
            raise Refusal(Kind.TOO_LARGE, f"at most {most} bytes")
        parts = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return bytes(parts)
            parts += message.get("body", b"")
            if len(parts) > most:
                raise Refusal(Kind.TOO_LARGE, f"at most {most} bytes")
            if not message.get("more_body", False):
                return bytes(parts)


class _Answer:
    """Sends, with the headers that every answer has; knows the status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send, self._request_id = send, request_id
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _SECURITY.items():
                headers[name] = value
            headers["X-Request-Id"] = self._request_id
        await self._send(message)


class _Replay:
    """Hands a body on that was read already; afterwards tells whether the client has gone."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _route(scope: MutableMapping[str, Any]) -> str:
    route = scope.get("route")
    return str(getattr(route, "path", "unmatched"))

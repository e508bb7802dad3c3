"""A webhook's receiver in a test: a real HTTP server that answers as the test says, and keeps what came."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
from aiohttp import web
from multidict import CIMultiDict

from app.clock import SystemClock


@dataclass(frozen=True, slots=True)
class Came:
    """One request; `status` is what it was answered, 0 where the connection was cut."""

    path: str
    headers: CIMultiDict[str]
    body: bytes
    status: int

    @property
    def id(self) -> str:
        return self.headers["Idempotency-Key"]

    @property
    def event(self) -> dict[str, object]:
        found: dict[str, object] = orjson.loads(self.body)
        return found


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer: after `after_s` seconds; status 0 cuts the connection."""

    status: int = 200
    after_s: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


OK = Reply()


class Receiver:
    """`decide` is asked for every request, with its path and its number at that path (from 1)."""

    def __init__(self) -> None:
        self.came: list[Came] = []
        self.decide: Callable[[str, str, int], Reply] = lambda path, notice, number: OK
        self.port = 0
        self._runner: web.AppRunner | None = None

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Came]:
        """What came at a path."""
        return [each for each in self.came if each.path == path]

    def taken(self, path: str) -> list[str]:
        """The ids that were answered well, in order, each once."""
        return list(dict.fromkeys(each.id for each in self.at(path) if each.status == 200))

    async def start(self) -> None:
        """Listen, at the port that it had before if it had one."""
        served = web.Application()
        served.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(served, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def die(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        notice = request.headers.get("Idempotency-Key", "")
        reply = self.decide(request.path, notice, 1 + len(self.at(request.path)))
        self.came.append(Came(request.path, request.headers.copy(), body, reply.status))
        await SystemClock().sleep(reply.after_s)
        if reply.status == 0 and request.transport is not None:
            request.transport.abort()
        return web.Response(status=reply.status or 500, headers=reply.headers)


@asynccontextmanager
async def running_receiver() -> AsyncIterator[Receiver]:
    """A receiver that listens inside the context."""
    receiver = Receiver()
    await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.die()

"""The sweeper as a process: takes requests, and keeps one desk for each rule that is its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from app.clock import Clock
from app.errors import Transient
from app.sweep.desk import Asked, Desk
from app.telemetry import get_logger

log = get_logger(__name__)

_POLL_S: Final = 0.25
_PAUSE_S: Final = 1.0


class Named(Asked, Protocol):
    """A request and its rule."""

    @property
    def rule(self) -> str: ...


class Requests(Protocol):
    """This process's share of the requests; `is_home` says whose desk is here."""

    def is_home(self, rule: str) -> bool: ...
    async def take(self, within_s: float) -> Sequence[Named]: ...
    async def done(self) -> None: ...


class SweepService:
    """Runs until `stop`. A desk is closed when its rule moves to another process, which takes its run up."""

    def __init__(
        self, rules: Sequence[str], make_desk: Callable[[str], Desk], requests: Requests, clock: Clock
    ) -> None:
        self._rules, self._make_desk, self._requests, self._clock = rules, make_desk, requests, clock
        self._desks: dict[str, tuple[Desk, asyncio.Task[None]]] = {}
        self._has_joined = False

    @property
    def why_not_ready(self) -> str | None:
        """None once it has joined the sweepers; a standby holds no rule and is ready."""
        return None if self._has_joined else "joining the sweepers"

    async def run(self, stop: asyncio.Event) -> None:
        """Raises what a desk failed with, should one fail."""
        try:
            while not stop.is_set():
                try:
                    await self._turn()
                except Transient as error:
                    log.warning("Requests cannot be read", event_name="requests_trouble", reason=str(error))
                    await self._clock.sleep(_PAUSE_S)
        finally:
            for rule in list(self._desks):
                await self._close(rule)

    async def _turn(self) -> None:
        requests = await self._requests.take(_POLL_S)
        self._has_joined = True
        await self._tend()
        for request in requests:
            if request.rule in self._desks:
                await self._desks[request.rule][0].ask(request)
            else:
                log.warning("No such rule here", event_name="request_unknown", rule=request.rule)
        if requests:
            await self._requests.done()

    async def _tend(self) -> None:
        for rule in self._rules:
            is_home = self._requests.is_home(rule)
            if is_home and rule not in self._desks:
                desk = self._make_desk(rule)
                self._desks[rule] = (desk, asyncio.create_task(desk.work()))
            elif not is_home and rule in self._desks:
                await self._close(rule)
        for _, task in self._desks.values():
            if task.done():
                task.result()

    async def _close(self, rule: str) -> None:
        _, task = self._desks.pop(rule)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

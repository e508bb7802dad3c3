"""Trouble that passes is waited out, for a bounded time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from app.clock import Clock
from app.errors import Transient
from app.telemetry import get_logger

log = get_logger(__name__)

T = TypeVar("T")
_FIRST_S: Final = 0.25
_MOST_S: Final = 10.0


class Patience:
    """Repeats what raises `Transient`, with a doubling pause, or the one that the other side named. After
    `limit_s` seconds of nothing but failures the last one is raised."""

    def __init__(self, clock: Clock, limit_s: float = 120.0) -> None:
        self._clock, self._limit_s = clock, limit_s

    async def __call__(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """The attempt's answer; an attempt must be harmless to repeat."""
        deadline = self._clock.monotonic_s() + self._limit_s
        pause = _FIRST_S
        while True:
            try:
                return await attempt()
            except Transient as error:
                wait = pause if error.retry_after_s is None else max(pause, error.retry_after_s)
                if self._clock.monotonic_s() + wait > deadline:
                    raise
                if pause == _FIRST_S:
                    log.warning("Waits for what is in the way", event_name="waiting", reason=str(error))
            await self._clock.sleep(wait)
            pause = min(pause * 2, _MOST_S)

"""The only place that reads a clock or sleeps; everything else is handed one."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time in integer microseconds UTC, a monotonic time in seconds, and a pause."""

    def now_us(self) -> int: ...

    def monotonic_s(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


async def sleep_unless(stop: asyncio.Event, seconds: float, clock: Clock) -> None:
    """Sleep, but not past `stop`; not at all for no time."""
    if seconds <= 0:
        return
    waiting = (asyncio.ensure_future(stop.wait()), asyncio.ensure_future(clock.sleep(seconds)))
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def now(self) -> datetime:
        """The present as an aware UTC datetime."""
        return datetime.now(UTC)

    def pause(self, seconds: float) -> None:
        """Block this thread; for code that has no event loop."""
        time.sleep(seconds)

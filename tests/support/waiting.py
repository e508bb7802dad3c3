"""The only waiters of the tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from app.clock import SystemClock

CLOCK = SystemClock()


async def eventually(
    predicate: Callable[[], object | Awaitable[object]], within: float = 10.0, every: float = 0.05
) -> object:
    """The predicate's first true value; AssertionError when it stays false for `within` seconds."""
    deadline = CLOCK.monotonic_s() + within
    while True:
        found = predicate()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        assert CLOCK.monotonic_s() < deadline, f"not within {within} s"
        await CLOCK.sleep(every)


def eventually_sync(predicate: Callable[[], object], within: float = 10.0, every: float = 0.05) -> object:
    """The same without an event loop."""
    deadline = CLOCK.monotonic_s() + within
    while True:
        found = predicate()
        if found:
            return found
        assert CLOCK.monotonic_s() < deadline, f"not within {within} s"
        CLOCK.pause(every)

"""Clocks that tests move."""

from __future__ import annotations


class SleepingClock:
    """Time passes only where somebody sleeps."""

    def __init__(self, now_us: int) -> None:
        self.now = now_us

    def now_us(self) -> int:
        return self.now

    def monotonic_s(self) -> float:
        return self.now / 1_000_000

    async def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1_000_000)

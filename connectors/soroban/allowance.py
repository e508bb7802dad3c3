"""How many calls may be made: so many a second of each node, so many a day of all of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from app.clock import Clock

DAY_S: Final = 86_400.0
_HOURS: Final = 24


class Purpose(StrEnum):
    """What calls are made for. Each has its own part of the day's calls, in whatever process it runs, so a
    sweep can never spend what the tip of the chain needs."""

    TIP = "tip"
    SWEEP = "sweep"


SHARES: Final = {Purpose.TIP: 0.75, Purpose.SWEEP: 0.25}


class Allowance:
    """Lets `per_s` calls a second through in the long run, `burst` at once after a pause. Calls beyond it
    wait, in their order."""

    def __init__(self, per_s: float, burst: float, clock: Clock) -> None:
        self._per_s, self._burst, self._clock = per_s, max(1.0, burst), clock
        self._left, self._seen_s = self._burst, clock.monotonic_s()
        self.waited_s = 0.0

    async def spend(self) -> None:
        """Take one call; sleeps until there is one."""
        now_s = self._clock.monotonic_s()
        self._left = min(self._burst, self._left + (now_s - self._seen_s) * self._per_s)
        self._seen_s = now_s
        self._left -= 1.0
        if self._left < 0.0:
            wait_s = -self._left / self._per_s
            self.waited_s += wait_s
            await self._clock.sleep(wait_s)


def rate_of(per_s: float, clock: Clock) -> Allowance | None:
    """A node's calls a second, a second's worth at once; None for 0, which is no limit."""
    return Allowance(per_s, per_s, clock) if per_s > 0 else None


def budget_of(calls_a_day: int, purpose: Purpose, clock: Clock) -> Allowance | None:
    """A purpose's part of the day's calls: never more in any day, an hour's worth at once; None for 0."""
    if calls_a_day <= 0:
        return None
    share = calls_a_day * SHARES[purpose]
    burst = max(1.0, share / _HOURS)
    return Allowance(max(share - burst, 1.0) / DAY_S, burst, clock)

"""Close times of ledgers: RFC 3339 in and out of integer microseconds, and what is known of which ledger."""

from __future__ import annotations

from bisect import bisect_right, insort
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
SECOND: Final = 1_000_000


def micros_of(moment: datetime) -> int:
    """An aware datetime as µs since 1970; raises ValueError for one without a zone."""
    if moment.tzinfo is None:
        raise ValueError(f"a time without a zone: {moment.isoformat()}")
    return (moment - _EPOCH) // _MICROSECOND


def text_of(micros: int) -> str:
    """µs since 1970 as RFC 3339 with `Z` and 0 or 6 fraction digits."""
    return (_EPOCH + micros * _MICROSECOND).isoformat().replace("+00:00", "Z")


class CloseTimes:
    """When ledgers closed, as far as nodes said so. Keeps the newest `capacity` ledgers."""

    def __init__(self, capacity: int = 8192) -> None:
        self._capacity = capacity
        self._at: dict[int, int] = {}
        self._ledgers: list[int] = []

    def learn(self, ledger: int, at_us: int) -> None:
        """Remember the close time of a ledger (it never changes); the oldest is forgotten when full."""
        if ledger in self._at:
            return
        self._at[ledger] = at_us
        insort(self._ledgers, ledger)
        if len(self._ledgers) > self._capacity:
            del self._at[self._ledgers.pop(0)]

    def contradict(self, ledger: int, at_us: int) -> bool:
        """It cannot have closed then, in the history that is known: it closed at another time, or would have
        closed before an older ledger or after a newer one."""
        known = self._at.get(ledger)
        if known is not None:
            return known != at_us
        place = bisect_right(self._ledgers, ledger)
        is_early = place > 0 and at_us < self._at[self._ledgers[place - 1]]
        return is_early or (place < len(self._ledgers) and at_us > self._at[self._ledgers[place]])

    def newest(self) -> tuple[int, int] | None:
        """The newest known ledger, and when it closed."""
        return (self._ledgers[-1], self._at[self._ledgers[-1]]) if self._ledgers else None

    def of(self, ledger: int) -> int | None:
        """The close time of exactly this ledger."""
        return self._at.get(ledger)

    def floor(self, ledger: int) -> tuple[int, int] | None:
        """(ledger, close time) of the newest known ledger up to this one."""
        place = bisect_right(self._ledgers, ledger)
        if place == 0:
            return None
        found = self._ledgers[place - 1]
        return found, self._at[found]

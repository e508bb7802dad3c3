"""When the tip is worth asking again: not while the next ledger cannot have closed yet."""

from __future__ import annotations

from typing import Final, NamedTuple

from connectors.soroban.times import SECOND

_SAMPLES: Final = 20
_EARLY: Final = 0.8
"""The part of a usual ledger's time in which nobody asks; ledgers vary."""
_MOST_S: Final = 5.0


class _Seen(NamedTuple):
    ledger: int
    closed_at_s: float
    at_s: float


class TipPace:
    """Learns how long ledgers take, and asks every `interval_s` once the next one may be there: a node asked
    every second about ledgers of five seconds says four times of five that there is nothing new. Never waits
    longer than the shorter of what close times and what our own clock say, nor than five seconds."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._seen: list[_Seen] = []

    def see(self, ledger: int, closed_at_us: int, now_s: float) -> None:
        """The latest ledger at the tip, and the monotonic moment at which it was heard of."""
        if self._seen and ledger <= self._seen[-1].ledger:
            return
        self._seen = [*self._seen[-_SAMPLES:], _Seen(ledger, closed_at_us / SECOND, now_s)]

    def forget(self) -> None:
        """The tip was left."""
        self._seen.clear()

    def pause_s(self, now_s: float) -> float:
        """How long to wait before asking again."""
        if len(self._seen) < 2:
            return self._interval_s
        first, last = self._seen[0], self._seen[-1]
        ledgers = last.ledger - first.ledger
        usual_s = min(last.closed_at_s - first.closed_at_s, last.at_s - first.at_s) / ledgers
        return max(self._interval_s, min(last.at_s + _EARLY * usual_s - now_s, _MOST_S))

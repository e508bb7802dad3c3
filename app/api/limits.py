"""How much one key may ask for: token buckets, by key."""

from __future__ import annotations

from dataclasses import dataclass

from app.clock import Clock


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class TokenBuckets:
    """A bucket a name: `burst` requests at once, `per_s` a second on average. No `per_s`: no limit.

    Each process has its own buckets.
    """

    def __init__(self, per_s: float, burst: float, clock: Clock) -> None:
        self._per_s, self._burst, self._clock = per_s, max(burst, 1.0), clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, name: str) -> float | None:
        """None where the request is allowed, else in how many seconds one will be."""
        if self._per_s <= 0:
            return None
        now = self._clock.monotonic_s()
        bucket = self._buckets.setdefault(name, _Bucket(self._burst, now))
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at_s) * self._per_s)
        bucket.at_s = now
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return None
        return (1 - bucket.tokens) / self._per_s

"""Which key must be looked at next, at which T: a heap with one live date a key."""

from __future__ import annotations

import heapq
from collections.abc import Iterator


class Schedule:
    """`put` keeps the earlier date; `take_due` yields a key once for its date. A key without a date costs
    nothing."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._due: dict[str, int] = {}

    def put(self, key: str, at: int) -> None:
        """Look at `key` once T reaches `at`."""
        held = self._due.get(key)
        if held is None or at < held:
            self._due[key] = at
            heapq.heappush(self._heap, (at, key))

    def has_due(self, through: int) -> bool:
        """Is any date (or one that an earlier date replaced) at or before `through`?"""
        return bool(self._heap) and self._heap[0][0] <= through

    def take_due(self, through: int) -> Iterator[str]:
        """Every key that is due at or before `through`, those put meanwhile included."""
        heap, due = self._heap, self._due
        while heap and heap[0][0] <= through:
            at, key = heapq.heappop(heap)
            if due.get(key) == at:
                del due[key]
                yield key

    def __len__(self) -> int:
        return len(self._due)

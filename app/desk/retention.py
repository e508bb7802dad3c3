"""Deletes what has been over for long enough, a little at a time."""

from __future__ import annotations

from typing import Final

from app.clock import Clock
from app.desk.ports import Store
from app.desk.recorder_counts import BOUNDS_S
from app.desk.recorder_metrics import RecorderMetrics

_MOST: Final = 1000
"""Of each table in one look, so that no transaction is long."""
_EVERY_S: Final = 3600.0


class Retention:
    """`look`, called every few seconds, deletes one batch of each table; an hour after a look that found no
    more it begins again. `retain_us` None: everything is kept for ever."""

    def __init__(self, store: Store, metrics: RecorderMetrics, clock: Clock, retain_us: int | None) -> None:
        self._store, self._metrics, self._clock = store, metrics, clock
        self._retain_us = retain_us
        self._not_before_s = 0.0

    async def look(self) -> None:
        """Raises what the store raises."""
        now_s = self._clock.monotonic_s()
        if self._retain_us is None or now_s < self._not_before_s:
            return
        found = await self._store.forget(self._clock.now_us() - self._retain_us, _MOST, BOUNDS_S)
        for table, count in found.items():
            self._metrics.forgotten.labels(table).inc(count)
        if all(count < _MOST for count in found.values()):
            self._not_before_s = now_s + _EVERY_S

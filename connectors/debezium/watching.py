"""What changes under a running connector: the database's clock, and the columns that rules read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from app.clock import Clock
from app.errors import Transient
from app.telemetry import get_logger
from connectors.debezium.capture import CapturedTable
from connectors.debezium.database import Place, SourceDatabase
from connectors.debezium.metrics import ConnectMetrics

log = get_logger(__name__)

_LOOK_S: Final = 1.0
_TELL_EVERY_S: Final = 30.0
_NEWS_US: Final = 100_000
_SLOW_US: Final = 1_000_000
"""An answer that took longer says too little of a clock."""


@dataclass(frozen=True, slots=True)
class Voice:
    """Whom it is told to. `clock`: the database's clock less ours (µs); `broken`: a table that lacks columns
    that rules read, since when (µs, the database's clock) and what is missing; `mended`: it has them
    again."""

    clock: Callable[[int], Awaitable[None]]
    broken: Callable[[CapturedTable, int, str], Awaitable[None]]
    mended: Callable[[CapturedTable], Awaitable[None]]


class Watch:
    """Looks at most once a second. What could not be told is told at the next look."""

    def __init__(
        self, tables: tuple[CapturedTable, ...], voice: Voice, clock: Clock, metrics: ConnectMetrics
    ) -> None:
        self.tables, self.voice, self.clock, self.metrics = tables, voice, clock, metrics
        self.place: Place | None = None
        """Where the log stood when it was looked at last."""
        self._looked_s = self._told_s = float("-inf")
        self._told_us: int | None = None
        self._broken: set[str] = set()

    async def look(self, database: SourceDatabase) -> None:
        """Look, and tell what is new. Raises `Transient` where the database does not answer."""
        if self.clock.monotonic_s() - self._looked_s < _LOOK_S:
            return
        self._looked_s = self.clock.monotonic_s()
        asked_us = self.clock.now_us()
        place = self.place = await database.place()
        answered_us = self.clock.now_us()
        ahead_us, behind_us = place.at_us - answered_us, place.at_us - asked_us
        offset_us = max(ahead_us, min(0, behind_us))  # what is certain: it was read between the two
        self.metrics.clock_offset.set(offset_us / 1e6)
        missing = {table: await database.find_missing_columns(table) for table in self.tables}
        try:
            if answered_us - asked_us <= _SLOW_US:
                await self._tell_clock(offset_us)
            for table, columns in missing.items():
                await self._tell_columns(table, columns, place.at_us)
        except Transient as error:
            log.warning("The workers cannot be told", event_name="not_told", reason=str(error))

    async def _tell_clock(self, offset_us: int) -> None:
        now_s = self.clock.monotonic_s()
        is_news = self._told_us is None or abs(offset_us - self._told_us) >= _NEWS_US
        if is_news or now_s - self._told_s >= _TELL_EVERY_S:
            await self.voice.clock(offset_us)
            self._told_us, self._told_s = offset_us, now_s

    async def _tell_columns(self, table: CapturedTable, missing: list[str], at_us: int) -> None:
        is_broken = bool(missing)
        self.metrics.columns_missing.labels(table.name).set(len(missing))
        if is_broken == (table.name in self._broken):
            return
        if is_broken:
            detail = f"{table.name} has no column {', '.join(missing)}"
            log.error("A column that rules read is gone", event_name="column_missing", table=table.name)
            await self.voice.broken(table, at_us, detail)
            self._broken.add(table.name)
        else:
            log.info("The columns are there again", event_name="columns_back", table=table.name)
            await self.voice.mended(table)
            self._broken.discard(table.name)

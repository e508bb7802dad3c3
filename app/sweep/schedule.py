"""When a rule is swept by the clock: every so often, or each day at a time of some zone (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from app.detector.model import SECOND
from app.rules import RuleSettings

_MINUTE: Final = timedelta(minutes=1)
_DAY: Final = timedelta(days=1)
_LONGEST_GAP: Final = 26 * 60
"""Minutes: a whole day was skipped when a zone changed sides of the date line."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Times in µs; neither `every_us` nor `daily`: never by the clock. `daily` is by the clocks of `zone`."""

    every_us: int | None = None
    daily: time | None = None
    zone: str = "UTC"

    def next_after(self, at_us: int) -> int | None:
        """The first instant after `at_us` at which a run is due; None: there is none."""
        due = [] if self.every_us is None else [at_us + self.every_us]
        if self.daily is not None:
            due.append(next_daily(at_us, self.daily, ZoneInfo(self.zone)))
        return min(due, default=None)


def schedule_of(settings: RuleSettings, default_every_us: int | None) -> Schedule:
    """What the rule file says; where it says nothing, every `default_every_us`."""
    daily = None if settings.sweep_daily is None else time.fromisoformat(settings.sweep_daily)
    every_us = settings.sweep_every_us
    if every_us is None and daily is None:
        every_us = default_every_us
    return Schedule(every_us, daily, settings.sweep_zone)


def next_daily(at_us: int, daily: time, zone: ZoneInfo) -> int:
    """The first instant after `at_us` at which the zone's clock says `daily`, once a day: a time that comes
    twice counts the first time, one that does not exist is taken at the next minute that does."""
    day = _local(at_us, zone).date() - _DAY
    while True:
        due = _instant(day, daily, zone)
        if due > at_us:
            return due
        day += _DAY


def _instant(day: date, daily: time, zone: ZoneInfo) -> int:
    wanted = datetime.combine(day, daily)
    for _ in range(_LONGEST_GAP):
        found = wanted.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if found.astimezone(zone).replace(tzinfo=None) == wanted:
            break
        wanted = wanted.replace(second=0, microsecond=0) + _MINUTE
    return int(found.timestamp()) * SECOND


def _local(at_us: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at_us // SECOND, zone)

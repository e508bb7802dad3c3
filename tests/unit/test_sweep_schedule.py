"""When sweeps are due: the two nights on which a zone changes its clocks, and all others."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest

from app.rules import RuleSettings
from app.sweep.schedule import Schedule, schedule_of

HOUR = 3_600_000_000


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000


def show(at: int | None) -> str:
    assert at is not None
    return datetime.fromtimestamp(at // 1_000_000, UTC).isoformat()


@pytest.mark.parametrize(
    ("zone", "daily", "after", "due"),
    [
        ("UTC", "02:00", "2026-08-01T01:59:59+00:00", "2026-08-01T02:00:00+00:00"),
        ("UTC", "02:00", "2026-08-01T02:00:00+00:00", "2026-08-02T02:00:00+00:00"),
        ("Europe/Berlin", "02:00", "2026-07-01T00:00:00+00:00", "2026-07-02T00:00:00+00:00"),
        # 2026-03-29 in Berlin: 02:00 to 03:00 does not exist
        ("Europe/Berlin", "02:30", "2026-03-28T12:00:00+00:00", "2026-03-29T01:00:00+00:00"),
        ("Europe/Berlin", "02:30", "2026-03-29T01:00:00+00:00", "2026-03-30T00:30:00+00:00"),
        # 2026-10-25 in Berlin: 02:30 comes twice, at 00:30 and at 01:30 UTC
        ("Europe/Berlin", "02:30", "2026-10-24T12:00:00+00:00", "2026-10-25T00:30:00+00:00"),
        ("Europe/Berlin", "02:30", "2026-10-25T00:30:00+00:00", "2026-10-26T01:30:00+00:00"),
        ("Europe/Berlin", "02:30", "2026-10-25T01:00:00+00:00", "2026-10-26T01:30:00+00:00"),
        # Lord Howe moves by half an hour, and Samoa left out a day
        ("Australia/Lord_Howe", "02:15", "2026-10-03T12:00:00+00:00", "2026-10-03T15:30:00+00:00"),
        ("Pacific/Apia", "12:00", "2011-12-29T23:00:00+00:00", "2011-12-30T10:00:00+00:00"),
        ("Pacific/Apia", "12:00", "2011-12-30T10:00:00+00:00", "2011-12-30T22:00:00+00:00"),
    ],
)
def test_daily_runs_once_a_day_whatever_the_zone_does(zone: str, daily: str, after: str, due: str) -> None:
    assert show(Schedule(None, time.fromisoformat(daily), zone).next_after(us(after))) == due


def test_every_day_of_a_decade_has_one_run_in_new_york() -> None:
    schedule = Schedule(None, time(2, 30), "America/New_York")
    at, runs = us("2020-01-01T07:30:00+00:00"), 0
    while at < us("2030-01-01T07:30:00+00:00"):
        due = schedule.next_after(at)
        assert due is not None
        assert 23 * HOUR - HOUR // 2 <= due - at <= 25 * HOUR
        at, runs = due, runs + 1
    assert runs == 3653


def test_the_rule_file_wins_over_the_environment_and_the_earlier_of_both_over_the_later() -> None:
    assert schedule_of(RuleSettings(), HOUR) == Schedule(HOUR)
    assert schedule_of(RuleSettings(), None).next_after(0) is None
    assert schedule_of(RuleSettings(sweep_daily="02:00"), HOUR).every_us is None
    both = schedule_of(RuleSettings(sweep_every_us=5 * HOUR, sweep_daily="02:00"), None)
    assert both.next_after(0) == 2 * HOUR
    assert both.next_after(2 * HOUR) == 7 * HOUR

"""How many calls may be made in a second, and in a day."""

from __future__ import annotations

import pytest

from connectors.soroban.allowance import DAY_S, Allowance, Purpose, budget_of, rate_of
from connectors.soroban.pacing import TipPace


class Sleeper:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def now_us(self) -> int:
        return int(self.at_s * 1e6)

    def monotonic_s(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        self.at_s += seconds


async def spend(allowance: Allowance | None, calls: int) -> None:
    assert allowance is not None
    for _ in range(calls):
        await allowance.spend()


async def test_a_second_s_worth_goes_at_once_and_the_rest_in_its_time() -> None:
    clock = Sleeper()
    allowance = rate_of(5.0, clock)
    await spend(allowance, 5)
    assert clock.at_s == 0.0
    await spend(allowance, 10)
    assert clock.at_s == pytest.approx(2.0)


async def test_what_was_not_used_is_not_saved_beyond_the_burst() -> None:
    clock = Sleeper()
    allowance = rate_of(2.0, clock)
    clock.at_s = 1000.0
    await spend(allowance, 2)
    assert clock.at_s == 1000.0
    await spend(allowance, 2)
    assert clock.at_s == pytest.approx(1001.0)


@pytest.mark.parametrize("purpose", list(Purpose))
async def test_a_day_never_has_more_calls_than_its_part(purpose: Purpose) -> None:
    clock = Sleeper()
    allowance, calls = budget_of(2400, purpose, clock), 0
    assert allowance is not None
    while True:
        await allowance.spend()
        if clock.at_s > DAY_S:
            break
        calls += 1
    share = {Purpose.TIP: 1800, Purpose.SWEEP: 600}[purpose]
    assert 0.95 * share <= calls <= share


async def test_a_sweep_cannot_spend_what_the_tip_needs() -> None:
    clock = Sleeper()
    await spend(budget_of(2400, Purpose.SWEEP, clock), 100)
    swept_s, clock.at_s = clock.at_s, 0.0
    await spend(budget_of(2400, Purpose.TIP, clock), 75)
    assert clock.at_s == 0.0
    assert swept_s > 3600


def test_no_number_is_no_limit() -> None:
    assert rate_of(0.0, Sleeper()) is None
    assert budget_of(0, Purpose.TIP, Sleeper()) is None


def test_a_tip_is_not_asked_while_the_next_ledger_cannot_have_closed() -> None:
    pace = TipPace(1.0)
    assert pace.pause_s(0.0) == 1.0
    for number in range(6):
        pace.see(100 + number, number * 5_000_000, number * 5.0)
    assert pace.pause_s(25.0) == pytest.approx(4.0)
    assert pace.pause_s(29.5) == 1.0


def test_the_shorter_of_two_clocks_says_how_long_a_ledger_takes() -> None:
    pace = TipPace(0.1)
    for number in range(6):
        pace.see(100 + number, number * 5_000_000, number * 0.01)
    assert pace.pause_s(0.05) == 0.1


def test_a_tip_never_waits_longer_than_five_seconds() -> None:
    pace = TipPace(1.0)
    for number in range(3):
        pace.see(100 + number, number * 600_000_000, number * 600.0)
    assert pace.pause_s(1200.0) == 5.0


def test_after_catching_up_the_pace_is_learned_anew() -> None:
    pace = TipPace(1.0)
    pace.see(1, 0, 0.0)
    pace.see(2, 5_000_000, 5.0)
    pace.forget()
    assert pace.pause_s(5.0) == 1.0

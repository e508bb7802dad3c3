"""When a key flaps, and when it is calm."""

from __future__ import annotations

from app.desk.notifier.flapping import NOTHING, Limits, calm_at, is_calm, remember
from app.detector.model import SECOND
from app.notices import Flapping
from tests.unit.desk.notifier.transitions import at

LIMITS = Limits(flaps=3, within_us=100 * SECOND)


def after(*seconds: int) -> Flapping:
    """Reopened at these seconds."""
    state = NOTHING
    for number, second in enumerate(seconds):
        state = remember(state, at(second, "reopened", number), LIMITS)
    return state


def test_it_flaps_once_it_was_reopened_as_often_as_the_rule_says() -> None:
    assert after(0, 10).began is None
    assert after(0, 10, 20).began == at(20, "reopened", 2).id


def test_only_reopening_counts() -> None:
    state = after(0, 10)
    for number, kind in enumerate(("resolved", "updated", "opened"), 2):
        state = remember(state, at(20, kind, number), LIMITS)
    assert state.began is None


def test_what_lies_further_back_than_the_rule_says_does_not_count() -> None:
    assert after(0, 60, 100).began is None
    assert after(1, 60, 100).began is not None


def test_it_stays_the_same_flapping_however_often_it_is_reopened() -> None:
    assert after(0, 10, 20, 30, 40).began == after(0, 10, 20).began


def test_no_more_times_are_kept_than_are_needed() -> None:
    assert after(0, 10, 20, 30, 40).flaps_us == after(20, 30, 40).flaps_us


def test_it_is_calm_as_long_after_the_last_time_as_the_rule_says() -> None:
    state, last = after(0, 10, 20), at(20, "reopened").at_us
    assert calm_at(state, LIMITS) == last + 100 * SECOND
    assert not is_calm(state, last + 100 * SECOND - 1, LIMITS)
    assert is_calm(state, last + 100 * SECOND, LIMITS)


def test_a_transition_that_is_not_a_flap_does_not_put_calm_off() -> None:
    state = after(0, 10, 20)
    assert calm_at(remember(state, at(90, "resolved", 9), LIMITS), LIMITS) == calm_at(state, LIMITS)

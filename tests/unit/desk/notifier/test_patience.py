"""What an answer means, and how long to wait."""

from __future__ import annotations

import pytest

from app.desk.notifier.patience import Retry, pause_s, settle
from app.notices import Answer, Outcome, Queued, Settled

RETRY = Retry(attempts=4, first_s=1.0, most_s=5.0)


def longest(low: float, high: float) -> float:
    assert low == 0.0
    return high


def judged(answer: Answer, attempts: int = 0) -> Settled:
    return settle(Queued("n", "{}", attempts), answer, RETRY, longest)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.DELIVERED),
        (204, Outcome.DELIVERED),
        (301, Outcome.DEAD),
        (400, Outcome.DEAD),
        (404, Outcome.DEAD),
        (408, Outcome.RETRY),
        (425, Outcome.RETRY),
        (429, Outcome.RETRY),
        (500, Outcome.RETRY),
        (503, Outcome.RETRY),
        (None, Outcome.RETRY),
    ],
)
def test_what_would_be_refused_again_is_given_up_at_once(status: int | None, outcome: Outcome) -> None:
    assert judged(Answer(status, "cut")).outcome is outcome


def test_the_pause_doubles_up_to_its_most_and_is_any_part_of_that() -> None:
    assert [pause_s(attempts, RETRY, longest) for attempts in (1, 2, 3, 4, 50)] == [1, 2, 4, 5, 5]
    assert pause_s(3, RETRY, lambda low, high: low) == 0.0


def test_a_time_that_the_target_names_is_waited_for_an_hour_at_most() -> None:
    assert judged(Answer(429, retry_after_s=30.0)).again_in_s == 30.0
    assert judged(Answer(429, retry_after_s=0.5)).again_in_s == 1.0
    assert judged(Answer(503, retry_after_s=86_400.0)).again_in_s == 3600.0


def test_the_last_attempt_is_the_last() -> None:
    assert judged(Answer(500), attempts=2).outcome is Outcome.RETRY
    assert judged(Answer(500), attempts=3) == Settled("n", Outcome.DEAD, error="HTTP 500, after 4 attempts")

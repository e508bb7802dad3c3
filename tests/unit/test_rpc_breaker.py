"""When a node is asked, and when it is left alone."""

from __future__ import annotations

from app.circuit import Breaker, Circuit, Endurance

LIMITS = Endurance(failures=3, rest_s=5.0, rest_max_s=60.0)


def failed(times: int, at_s: float = 100.0) -> Breaker:
    breaker = Breaker(LIMITS)
    for _ in range(times):
        breaker.fail(at_s)
    return breaker


def test_two_failures_in_a_row_are_borne() -> None:
    assert failed(2).circuit(100.0) is Circuit.CLOSED


def test_the_third_failure_opens_the_circuit_for_its_rest() -> None:
    breaker = failed(3)
    assert (breaker.circuit(100.0), breaker.rests_s(102.0)) == (Circuit.OPEN, 3.0)
    assert (breaker.circuit(105.0), breaker.rests_s(105.0)) == (Circuit.HALF_OPEN, 0.0)


def test_an_answer_between_failures_begins_the_count_anew() -> None:
    breaker = failed(2)
    breaker.succeed()
    breaker.fail(100.0)
    breaker.fail(100.0)
    assert breaker.circuit(100.0) is Circuit.CLOSED


def test_a_failed_trial_doubles_the_rest_and_an_answer_ends_it() -> None:
    breaker = failed(3)
    breaker.fail(105.0)
    assert breaker.rests_s(105.0) == 10.0
    breaker.fail(115.0)
    assert breaker.rests_s(115.0) == 20.0
    breaker.succeed()
    assert breaker.circuit(115.0) is Circuit.CLOSED
    for _ in range(3):
        breaker.fail(200.0)
    assert breaker.rests_s(200.0) == 5.0


def test_the_rest_never_grows_beyond_its_bound() -> None:
    breaker, now_s = failed(3), 100.0
    for _ in range(30):
        now_s += breaker.rests_s(now_s)
        breaker.fail(now_s)
    assert breaker.rests_s(now_s) == 60.0


def test_a_time_that_the_node_names_holds_at_once_and_within_the_bound() -> None:
    breaker = Breaker(LIMITS)
    breaker.fail(100.0, named_s=7.0)
    assert breaker.rests_s(100.0) == 7.0
    breaker.fail(107.0, named_s=3600.0)
    assert breaker.rests_s(107.0) == 60.0


def test_a_node_that_refuses_us_rests_as_long_as_there_is() -> None:
    breaker = Breaker(LIMITS)
    breaker.refuse(100.0)
    assert breaker.rests_s(100.0) == 60.0

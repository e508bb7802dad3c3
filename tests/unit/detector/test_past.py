"""What was lost and swept: kept one by one while there is little of it, as one loss beyond."""

from __future__ import annotations

from app.detector.model import ABSENT, INFINITY, UNKNOWN
from app.detector.past import KEPT, Loss, Past, Sweep, shorten
from app.detector.timeline import Version


def filled(count: int) -> Past:
    """`count` losses of five seconds, each with the sweep that ends it."""
    past = Past(from_empty=False)
    for number in range(1, count + 1):
        past.add(Loss(number * 100, number * 100 + 5, number == 1))
        past.add(Sweep(number * 100 + 10, number * 100 + 20))
    return past


def test_a_thousand_losses_take_no_more_room_than_a_few() -> None:
    past = filled(1000)

    assert len(past) == 2000
    assert len(past.recent) == KEPT
    assert len(past.unheard) <= KEPT + 1
    assert past.last == Sweep(100_010, 100_020)
    assert (past.unheard[0].value, past.unheard[-1].value) == (UNKNOWN, ABSENT)


def test_older_losses_become_one_that_spans_them() -> None:
    past = filled(40)

    assert past.forgotten == 80 - KEPT
    assert past.blur == Loss(100, 805, True)
    assert past.has_lost(700)
    assert not past.has_lost(950)
    assert past.knows(Loss(100, 105, True))
    assert past.knows(Loss(4000, 4005, False))
    assert not past.knows(Loss(4100, 4105, False))


def test_a_key_gets_what_came_after_the_events_that_are_laid_over_it() -> None:
    past = filled(40)

    assert list(past.since(len(past))) == []
    assert list(past.since(len(past) - 1)) == [Sweep(4010, 4020)]
    assert list(past.since(past.forgotten)) == past.recent
    assert list(past.since(3)) == [past.blur, *past.recent]


def test_sweeps_alone_leave_no_blur() -> None:
    past = Past(from_empty=False)
    for number in range(KEPT + 2):
        past.add(Sweep(number, number))

    assert past.blur is None
    assert list(past.since(0)) == past.recent
    assert past.losses == []


def test_what_is_kept_comes_back() -> None:
    for past in (filled(0), filled(3), filled(500)):
        again = Past(from_empty=True)
        again.restore(past.plain())
        assert again.plain() == past.plain()
        assert (len(again), again.unheard, again.losses) == (len(past), past.unheard, past.losses)


def test_a_long_timeline_of_the_unheard_forgets_what_was_long_ago() -> None:
    versions = [Version(at, -1, ABSENT, None) for at in range(KEPT)]
    assert shorten(versions) is versions
    assert shorten([*versions, Version(KEPT, -1, ABSENT, None)]) == [
        Version(-INFINITY, -1, UNKNOWN, None),
        *versions[1:],
        Version(KEPT, -1, ABSENT, None),
    ]

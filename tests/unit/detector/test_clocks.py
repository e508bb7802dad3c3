"""How far the clocks of both sides are apart at least, as their inputs tell."""

from __future__ import annotations

import pytest

from app.detector.clocks import SURELY_LATE_US, Clocks
from app.detector.model import Mark, Side
from tests.support.detecting import us


def right(closed: float, told: float | None) -> Mark:
    return Mark(Side.RIGHT, "net", us(closed), told_at=None if told is None else us(told))


def clocks(*late_s: float, left_s: float | None = 0.0) -> Clocks:
    """After right marks, one a second from 1000 s on, each so late."""
    found = Clocks(us(2))
    found.left_us = None if left_s is None else us(left_s)
    for second, late in enumerate(late_s, 1000):
        found.see(right(second, second + late), has_moved=True)
    return found


def test_nothing_is_known_before_both_were_seen() -> None:
    assert clocks().offset_us is None
    assert clocks(1.0, left_s=None).offset_us is None
    unstamped = clocks()
    unstamped.see(right(5, None), has_moved=True)
    assert unstamped.offset_us is None


@pytest.mark.parametrize(
    ("late_s", "left_s", "offset_s"),
    [
        ((1.0, 2.0, 6.0, 1.5, 1.0), 0.0, 0.0),  # late as ledgers are
        ((-60.0,), 0.0, -60.0),  # ahead: one mark proves it
        ((1.0, 1.0, -60.0), 0.0, -60.0),
        ((1.0,) * 5, -60.0, -59.0),  # the left one behind, at least by what the right one is not late
        ((1.0,) * 5, 60.0, 51.0),
        ((61.0,) * 4, 0.0, 0.0),  # late, and not for long yet
        ((61.0,) * 5, 0.0, 51.0),  # steadily so: behind
        ((80.0, 75.0, 70.0, 65.0, 61.0), 0.0, 0.0),  # it catches up
        ((9.0,) * 5, 0.0, 0.0),
        ((-60.0,) * 5, 60.0, 0.0),  # both are off our clock, and agree
    ],
)
def test_the_smallest_possible_difference_is_told(
    late_s: tuple[float, ...], left_s: float, offset_s: float
) -> None:
    assert clocks(*late_s, left_s=left_s).offset_us == us(offset_s)


def test_only_the_latest_marks_count() -> None:
    assert clocks(-60.0, *[1.0] * 4).offset_us == us(-60)
    assert clocks(-60.0, *[1.0] * 5).offset_us == 0


def test_marks_of_long_ago_say_nothing_of_clocks() -> None:
    assert clocks(-60.0, 3600.0).offset_us is None
    assert clocks(3600.0, -60.0).offset_us == us(-60)


def test_a_right_side_may_be_so_late_without_a_wrong_clock() -> None:
    late_s = SURELY_LATE_US / 1e6 + 2
    assert clocks(*[late_s] * 5).begins(7) is False
    assert clocks(*[late_s + 0.1] * 5).begins(7) is True


def test_they_are_apart_from_the_first_sign_until_both_sides_have_moved_on() -> None:
    held = clocks(-60.0)
    assert held.begins(7)
    assert held.apart_since == 7
    assert not held.begins(8), "it is known"
    held.see(Mark(Side.LEFT, "db", us(2000)), has_moved=True)
    assert not held.ends(), "still apart"
    for second in range(1001, 1006):
        held.see(right(second, second + 1), has_moved=False)
    assert not held.begins(9)
    held.see(Mark(Side.LEFT, "db", us(2001)), has_moved=True)
    assert not held.ends(), "the right marks stand still: its clock was set back"
    held.see(right(1061, 1062), has_moved=True)
    assert held.ends()
    assert held.apart_since is None
    assert not held.ends()


def test_its_state_comes_back() -> None:
    held = clocks(-60.0, 1.0)
    held.begins(7)
    again = Clocks(us(2))
    again.restore(held.plain())
    assert again.plain() == held.plain()
    assert again.offset_us == held.offset_us
    fresh = Clocks(us(2))
    fresh.restore(Clocks(us(2)).plain())
    assert fresh.plain() == Clocks(us(2)).plain()

"""A step has room for so much; the rest is judged in the steps that follow, and told the same."""

from __future__ import annotations

import pytest

from app.detector.model import ABSENT
from tests.support.detecting import Story, us

KEYS = ("GA", "GB", "GC", "GD")


def rows_without_entries(room: int | None) -> Story:
    """Four rows at 100 s, each of them drift from 132 s on; T comes to 138 s with one mark."""
    story = Story()
    if room is not None:
        story.detector.limit_steps(room)
    for key in KEYS:
        story.row(100, (1, "a"), ABSENT, key=key)
    story.right_mark(30)
    story.left_mark(139)
    return story


def go_on(story: Story) -> int:
    """Steps until nothing is left to judge; how many."""
    steps = 0
    while story.detector.has_more:
        story.take(story.detector.go_on())
        story.detector.step_done()
        steps += 1
    return steps


@pytest.mark.parametrize(
    ("room", "told", "steps"),
    [(None, 4, 0), (10_000, 4, 0), (44, 4, 0), (43, 4, 0), (33, 3, 1), (12, 2, 1), (11, 1, 3), (1, 1, 3)],
)
def test_what_a_step_has_no_room_for_is_told_by_the_next_ones(
    room: int | None, told: int, steps: int
) -> None:
    story = rows_without_entries(room)
    first = len(story.told)

    assert (first, go_on(story)) == (told, steps)
    assert [one.value for one in story.told] == [one.value for one in rows_without_entries(None).told]


def test_verified_through_stands_still_until_all_of_it_is_judged() -> None:
    whole, split = rows_without_entries(None), rows_without_entries(11)

    assert whole.detector.judged_through == us(138) == split.detector.verified_through
    assert split.detector.judged_through < us(132)
    split.right_mark(31)
    split.left_mark(142)
    assert split.detector.judged_through < us(132)
    go_on(split)
    assert split.detector.judged_through == us(142) - 1


def test_a_version_of_a_rule_is_not_over_before_all_of_it_is_judged() -> None:
    story = Story()
    story.detector.limit_steps(11)
    story.detector.ends_at = us(135)
    for key in KEYS:
        story.row(100, (1, "a"), ABSENT, key=key)
    story.right_mark(30)
    story.left_mark(139)

    assert not story.detector.is_over
    go_on(story)
    assert story.detector.is_over
    assert [one.value["key"] for one in story.told] == list(KEYS)

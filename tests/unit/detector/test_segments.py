"""Two timelines compared: the common case by whole values, and where that does not do, segment by segment."""

from __future__ import annotations

import pytest

from app.detector.model import ABSENT, INFINITY, OUT, SECOND, UNKNOWN, Exemption, Field, Value
from app.detector.segments import Comparison, find_cover, find_segments
from app.detector.timeline import Version
from tests.support.detecting import KEY, LIMIT, NEAR, Story, agreed, rule_of, us

V, W, X = (100, "a"), (7, "a"), (7, "b")
MICRO = 0.000001


def timeline(*pieces: tuple[float, Value]) -> list[Version]:
    """Pieces that begin at these seconds, the first one since ever."""
    first, *later = pieces
    versions = [Version(-INFINITY, -1, first[1], None)]
    return versions + [Version(us(at), n, value, (n, n, None)) for n, (at, value) in enumerate(later)]


def cover(left: list[Version], right: list[Version], judged: float, end: float) -> float | None:
    """In seconds; infinity as it is."""
    found = find_cover(Comparison(rule_of()), left, right, us(judged), us(end))
    return found if found in (None, INFINITY) else found / SECOND


def test_what_agrees_and_does_not_change_is_covered_for_ever() -> None:
    assert cover(timeline((0, ABSENT), (100, V)), timeline((0, ABSENT), (100, V)), 0, 200) == INFINITY


def test_a_value_that_the_entry_left_is_covered_for_lag_and_skew() -> None:
    left, right = timeline((0, V)), timeline((0, V), (150, W))
    assert cover(left, right, 0, 100) == 182
    assert cover(left, right, 0, 182) == 182
    assert cover(left, timeline((0, V), (150, W), (170, X)), 0, 182) == 182
    assert cover(left, right, 0, 182 + MICRO) is None


def test_a_row_may_lead_by_lead_and_skew() -> None:
    left = timeline((0, V), (150, W))
    assert cover(left, timeline((0, V), (162, W)), 0, 200) == INFINITY
    assert cover(left, timeline((0, V), (162 + MICRO, W)), 0, 200) is None


@pytest.mark.parametrize(("left_until", "until"), [(192, 182), (182, INFINITY), (172, INFINITY)])
def test_a_row_that_will_change_needs_no_cover_beyond(left_until: float, until: float) -> None:
    left = timeline((0, V), (left_until, W))
    assert cover(left, timeline((0, V), (150, W)), 0, 160) == until


def test_what_is_judged_already_is_not_looked_at() -> None:
    left, right = timeline((0, X), (150, V)), timeline((0, V))
    assert cover(left, right, 150 - MICRO, 200) is None
    assert cover(left, right, 150, 200) == INFINITY
    assert cover(timeline((0, UNKNOWN), (150, V)), right, 150, 200) == INFINITY
    assert cover(timeline((0, UNKNOWN), (150, V)), right, 149, 200) is None


def test_what_is_out_of_scope_needs_no_cover_nor_what_begins_at_the_end() -> None:
    assert cover(timeline((0, OUT), (200, W)), timeline((0, V)), 0, 200) == INFINITY
    assert cover(timeline((0, OUT), (200, W)), timeline((0, V)), 0, 200 + MICRO) is None


def test_a_segment_shows_what_is_in_force_where_it_begins() -> None:
    left = timeline((0, X), (150, V), (160, X))
    right = timeline((0, W), (100, (9, "z")), (150, (8, "z")))
    segments, _ = find_segments(Comparison(rule_of()), KEY, left, right, (us(90), us(170)))
    shown = {
        segment.start / SECOND: (segment.left.at / SECOND, segment.right.at / SECOND) for segment in segments
    }
    assert shown[100] == (-INFINITY / SECOND, 100)
    assert shown[150] == (150, 150)
    assert shown[160] == (160, 150)


def test_what_the_entry_is_meanwhile_is_told_when_it_moves() -> None:
    story = agreed(Story())
    story.entry(40, (300, "a"))
    story.entry(60, (400, "a"))
    story.until(350)
    assert story.lines == ["opened 03:52 limit", "updated 05:00 limit"]


def test_an_end_at_the_first_instant_that_is_not_judged_is_looked_at_next() -> None:
    story = agreed(Story())
    story.entry(40, (300, "a"))
    story.entry(60, (100, "a"))
    story.until(260)
    story.detector.schedule(KEY)
    story.until(288)
    assert story.lines == ["opened 03:52 limit"]
    story.until(288 + MICRO)
    assert story.lines == ["opened 03:52 limit", "resolved 04:48"]


@pytest.mark.parametrize("field", [LIMIT, NEAR])
def test_an_exemption_of_others_resolves_nothing_that_cannot_be_judged_and_tells_nothing(
    field: Field,
) -> None:
    others = Exemption("GB", frozenset(), 0, INFINITY, "known")
    story = agreed(Story(rule_of(field, exemptions=(others,))), (100,))
    story.row(150, (105,), (100,))
    story.row(160, (300,), (105,))
    story.until(170)
    told = ["opened 02:30 limit", "updated 02:40 limit"] if field is LIMIT else ["opened 02:40 near"]
    assert story.lines == told
    story.event(54)
    story.until(320)
    assert story.lines == told


def test_an_exemption_of_others_makes_no_drift_of_what_cannot_be_judged() -> None:
    others = Exemption("GB", frozenset(), 0, INFINITY, "known")
    story = agreed(Story(rule_of(exemptions=(others,))))
    story.row(160, OUT, (100, "a"))
    story.row(170, (100, "a"), OUT)
    story.event(40)
    story.until(300)
    story.row(310, UNKNOWN)
    story.until(400)
    assert story.lines == []
    assert story.counts["exempt"] == 0

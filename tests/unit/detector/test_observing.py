"""What an input makes durable, and when its key is looked at because of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.detector import detector as module
from app.detector.detector import Detector
from app.detector.model import ABSENT, UNKNOWN, ClockReading, Mark, Mute, Side
from app.detector.suspects import LIVE
from tests.support.detecting import KEY, Story, agreed, drifting, rule_of, us

MICRO = 0.000001


def first_look(story: Story, at: float) -> bool:
    """Is the key looked at when T reaches that instant, and not before?"""
    looks = story.counts["judged"]
    story.until(at)
    was_early = story.counts["judged"] != looks
    story.until(at + MICRO)
    return not was_early and story.counts["judged"] == looks + 1


# ---- durable


@pytest.mark.parametrize(
    ("tell", "side"),
    [
        (lambda story: story.row(200, (7, "a"), (100, "a")), Side.LEFT),
        (lambda story: story.row_as_of(200, (7, "a")), Side.LEFT),
        (lambda story: story.event(60), Side.RIGHT),
        (lambda story: story.entry_as_of(60, (7, "a")), Side.RIGHT),
        (lambda story: story.read(42, (7, "a"), read=43), Side.RIGHT),
    ],
)
def test_what_an_input_changes_is_durable(tell: Callable[[Story], None], side: Side) -> None:
    story = agreed(Story())
    story.detector.take_changed()
    assert not story.detector.has_changed
    tell(story)
    assert story.detector.has_changed
    changed = story.detector.take_changed()
    assert (changed.left, changed.right) == (({KEY}, set()) if side is Side.LEFT else (set(), {KEY}))


def test_what_a_read_fills_is_durable() -> None:
    story = agreed(Story())
    story.event(40)
    story.detector.take_changed()
    story.read(40, (7, "a"))
    assert story.detector.take_changed() == (set(), {KEY}, set())


# ---- looked at


def test_a_change_is_looked_at_when_it_has_lasted_and_at_once_where_there_is_a_record() -> None:
    story = agreed(Story())
    story.row(200, (7, "a"), (100, "a"))
    assert first_look(story, 202 - MICRO)
    story = drifting(Story())
    story.row(300, (300, "a"), (100, "a"))
    assert first_look(story, 300)


def test_an_event_is_looked_at_when_its_row_is_late_and_where_there_is_a_record_when_it_may_end() -> None:
    story = agreed(Story())
    story.event(40)
    assert first_look(story, 232)
    story = drifting(Story())
    story.event(60)
    assert first_look(story, 288)


def test_reads_of_a_moment_are_looked_at_when_that_has_come() -> None:
    story = agreed(Story())
    story.row_as_of(200, (100, "a"))
    assert first_look(story, 200)
    story.entry_as_of(60, (100, "a"), modified=20)
    assert first_look(story, 288)


def test_an_entry_that_waits_for_its_event_is_looked_at() -> None:
    story = agreed(Story())
    story.read(42, (7, "a"), read=43)
    assert first_look(story, 198)


def test_what_is_learned_late_is_looked_at_with_the_next_mark() -> None:
    story = agreed(Story())
    story.event(40)
    story.until(300)
    assert story.lines == []
    story.read(40, (300, "a"))
    story.until(310)
    assert story.lines == ["opened 03:52 limit"]


def test_what_is_learned_in_time_costs_no_look() -> None:
    story = agreed(Story())
    story.event(40)
    story.until(210)
    story.read(40, (300, "a"))
    assert first_look(story, 232)


def test_what_is_learned_late_of_an_episode_is_looked_at_with_the_next_mark() -> None:
    story = drifting(Story())
    story.event(60)
    story.until(320)
    assert story.lines == ["opened 03:52 limit"]
    story.read(60, (100, "a"))
    story.until(320.1)
    assert story.lines == ["opened 03:52 limit", "resolved 05:20"]


def test_a_silent_change_is_looked_at_when_its_row_is_late() -> None:
    story = agreed(Story())
    story.event(40)
    story.until(231)
    story.read(38, (3, "a"), read=40)
    assert first_look(story, 231)


def test_a_mute_is_looked_at_where_it_begins() -> None:
    story = agreed(Story())
    story.take(story.detector.control(Mute("r", KEY, us(300), us(400), "known")))
    assert first_look(story, 300)
    story.take(story.detector.control(Mute("r", KEY, us(100), us(400), "of long ago")))
    assert first_look(story, 300 + MICRO)


def test_a_restored_key_is_looked_at_with_the_next_mark_or_so_much_later() -> None:
    story = agreed(Story())
    looks = story.counts["judged"]
    story.detector.schedule(KEY)
    story.until(150.1)
    assert story.counts["judged"] == looks + 1
    story.detector.schedule(KEY, 5)
    assert first_look(story, 155.1 - MICRO)


def test_keys_that_waited_for_a_seed_are_looked_at_in_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOT", 2)
    story = Story(from_empty=False)
    for number in range(5):
        story.entry(20, (100, "a"), key=f"G{number}")
    story.until(200)
    story.seeded(Side.LEFT, 150)
    seen = []
    for second in (0, MICRO, 1, 1 + MICRO, 2, 2 + MICRO):
        story.until(200 + second)
        seen.append(len(story.lines))
    assert seen == [0, 2, 2, 4, 4, 5]


def test_a_sweep_after_a_loss_looks_at_every_key_and_a_first_one_at_those_that_waited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SPREAD", 2)
    story = Story(from_empty=False)
    for number in range(4):
        story.entry(20, (100, "a"), key=f"G{number}")
        story.row(101, (100, "a"), key=f"G{number}")
    story.until(200)
    looks = story.counts["judged"]
    story.seeded(Side.RIGHT, 150)
    story.until(210)
    assert story.counts["judged"] == looks
    story.gap(Side.LEFT, 160, 170)
    story.seeded(Side.LEFT, 180)
    seen = []
    for second in (0, MICRO, 1, 1 + MICRO):
        story.until(210 + second)
        seen.append(story.counts["judged"] - looks)
    assert seen == [0, 2, 2, 4]


@pytest.mark.parametrize("side", list(Side))
def test_a_suspect_is_looked_at_as_soon_as_one_side_has_answered(side: Side) -> None:
    """T stands still meanwhile."""
    story = agreed(Story(confirmed=LIVE))
    story.entry(40, (150, "a"))
    story.until(240)
    if side is Side.LEFT:
        story.row_as_of(246, (150, "a"))
        story.left_mark(250)
    else:
        story.entry_as_of(52, (100, "a"), modified=42)
        story.right_mark(52)
    assert story.counts["withdrawn"] == 1


# ---- versions of a rule, restarts


def test_what_is_judged_ends_where_another_version_begins() -> None:
    story = agreed(Story())
    story.detector.ends_at = us(200)
    story.until(200 - MICRO)
    assert not story.detector.is_over
    story.until(300)
    assert story.detector.verified_through == us(200) - 1
    assert story.detector.is_over
    again = Detector(rule_of(), from_empty=True)
    again.ends_at = us(200)
    again.restore_partition(story.detector.partition_state())  # type: ignore[arg-type]
    assert again.verified_through == us(200) - 1


def test_how_far_is_judged_follows_from_the_later_side_after_a_restart() -> None:
    story = agreed(Story())
    story.left_mark(300)
    story.right_mark(43)
    again = Detector(rule_of(), from_empty=True)
    again.restore_partition(story.detector.partition_state())  # type: ignore[arg-type]
    assert again.verified_through == story.detector.verified_through == us(215 - 12)


def test_while_clocks_are_apart_it_stays_where_it_was_through_a_restart() -> None:
    story = agreed(Story())
    story.take(story.detector.control(ClockReading("db", 0)))
    story.take(story.detector.advance(Mark(Side.RIGHT, "net", us(320), None, 64, None, us(160))))
    story.left_mark(300)
    assert story.detector.trust.is_blind
    again = Detector(rule_of(), from_empty=True)
    again.restore_partition(story.detector.partition_state())  # type: ignore[arg-type]
    assert again.verified_through == us(150) - 1
    assert agreed(Story()).detector.partition_state()[-2] == [None]


def test_a_detector_knows_nothing_of_before_unless_it_is_told_that_there_was_nothing() -> None:
    assert Detector(rule_of()).left.unheard[-1].value == UNKNOWN
    assert Detector(rule_of(), from_empty=True).right.unheard[-1].value == ABSENT

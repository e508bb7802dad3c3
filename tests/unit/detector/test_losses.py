"""What was lost, what explains it, what is unknown since, and the log of it."""

from __future__ import annotations

import pytest

from app.detector.detector import Detector
from app.detector.model import ABSENT, UNKNOWN, Mark, Side
from app.detector.segments import Segment
from app.detector.timeline import BIRTH
from app.detector.unverifiable import UnknownKeys, UnverifiableLog
from tests.support.detecting import KEY, Story, agreed, rule_of, us

MICRO = 0.000001


def test_after_a_loss_every_key_is_unknown_until_it_is_found_known() -> None:
    story = agreed(Story())
    assert story.detector.count_unverifiable(5) == 0
    story.gap(Side.LEFT, 160, 170)
    assert story.detector.count_unverifiable(5) == 5
    story.row(180, (100, "a"), UNKNOWN)
    story.until(200)
    assert story.detector.count_unverifiable(5) == 4
    story.gap(Side.LEFT, 201, 202)
    assert story.detector.count_unverifiable(5) == 5
    story.seeded(Side.LEFT, 205)
    story.until(300)
    assert story.detector.count_unverifiable(5) == 0


def test_a_loss_that_a_mark_proves_counts_and_is_taken_up_after_a_restart() -> None:
    story = agreed(Story(from_empty=False))
    story.seeded(Side.LEFT, 120)
    story.until(200)
    story.right_mark(60, first=55)
    assert story.detector.count_unverifiable(3) == 3
    again = Detector(rule_of())
    again.restore_partition(story.detector.partition_state())  # type: ignore[arg-type]
    assert again.count_unverifiable(3) == 3


def test_incidents_are_counted_by_what_they_are() -> None:
    story = agreed(Story(rule_of(max_versions=4)))
    story.row(200, (7, "a"), (8, "a"))
    assert (story.counts["lost"], story.counts["too_hot"]) == (1, 0)
    for number in range(6):
        story.row(201 + number, (number, "a"))
    assert story.counts["lost"] == 1
    assert story.counts["too_hot"] > 0


def test_a_loss_says_from_when() -> None:
    story = Story()
    story.gap(Side.LEFT, 0, 10)
    story.gap(Side.LEFT, 160, 170)
    assert [incident.from_us for incident in story.incidents] == [0, us(160)]


def test_a_gap_that_ends_an_epoch_lets_what_waited_be_judged() -> None:
    story = Story()
    story.left_mark(150, "a")
    story.right_mark(60)
    story.left_mark(200, "b")
    assert story.detector.verified_through == us(150) - 1
    story.gap(Side.LEFT, None, None, "slot")
    assert story.detector.verified_through == us(200) - 1


def test_after_a_loss_a_change_that_was_seen_is_seen_still() -> None:
    story = agreed(Story())
    story.gap(Side.LEFT, 151, 152)
    story.gap(Side.RIGHT, 166, 167)
    story.row(101, (9, "x"), ABSENT, lsn=10)
    story.event(20)
    assert story.counts["seen"] == 2


def test_in_a_new_epoch_positions_begin_anew() -> None:
    story = Story()
    story.row(101, (100, "a"), ABSENT, lsn=5000)
    story.entry(40, (100, "a"))
    story.detector.advance(mark(Side.LEFT, 250, "a"))
    story.detector.advance(mark(Side.RIGHT, 250, "a"))
    for side in Side:
        story.detector.advance(mark(side, 300, "b"))
        story.gap(side, 251, 260, "epoch")
    story.row(310, (7, "a"), lsn=3)
    story.event(2)
    assert story.counts["seen"] == 0
    assert story.left_versions()[-1] == (310, (7, "a"))


def mark(side: Side, at: float, epoch: str) -> Mark:
    """A promise of everything up to `at`."""
    return Mark(side, None, us(at), epoch)


def test_an_insert_of_a_row_that_was_there_waits_for_what_explains_it() -> None:
    """A table that was emptied is told in every partition, and may come later than what came after."""
    story = agreed(Story())
    story.row(200, (7, "a"), ABSENT)
    story.until(205)
    assert story.incidents == []
    story.until(205 + MICRO)
    assert [incident.cause for incident in story.incidents] == ["continuity"]


@pytest.mark.parametrize(("lost_from", "is_explained"), [(199, True), (200, True), (201, False)])
def test_a_loss_from_before_the_insert_explains_it(lost_from: float, is_explained: bool) -> None:
    story = agreed(Story())
    story.row(200, (7, "a"), ABSENT)
    story.gap(Side.LEFT, lost_from, lost_from + 1)
    story.gap(Side.LEFT, 203, 204)
    story.until(206)
    causes = ["offsets", "offsets"] if is_explained else ["offsets", "offsets", "continuity"]
    assert [incident.cause for incident in story.incidents] == causes


def test_rows_that_a_snapshot_has_ruled_out_are_absent_again_after_a_loss_and_a_sweep() -> None:
    story = Story(from_empty=False)
    story.entry(20, (100, "a"))
    story.row_as_of(160, ABSENT, row=None)
    story.until(200)
    assert story.lines == ["opened 02:40 existence"]
    story.gap(Side.LEFT, 210, 220)
    story.until(230)
    assert story.detector.count_unverifiable(1) == 1
    story.seeded(Side.LEFT, 240)
    story.until(300)
    assert story.detector.count_unverifiable(1) == 0


# ---- parts


def test_unknown_keys_are_those_seen_to_be_or_after_a_loss_all_but_those_seen_not_to_be() -> None:
    keys = UnknownKeys()
    for key in ("a", "b"):
        keys.add(key)
    keys.discard("b")
    assert (keys.count(5), set(keys)) == (1, {"a"})
    keys.lose(is_lost=True)
    assert keys.count(5) == 5
    keys.discard("b")
    keys.discard("a")
    assert (keys.count(5), keys.count(1)) == (3, 0)
    keys.add("a")
    assert keys.count(5) == 4
    keys.lose(is_lost=True)
    assert keys.count(5) == 5
    keys.lose(is_lost=False)
    assert keys.count(5) == 1
    keys.clear()
    assert keys.count(5) == 0


def test_the_log_holds_each_unknown_piece_as_far_as_it_was_judged() -> None:
    story = agreed(Story())
    story.event(40)
    story.read(42, (7, "a"), read=43)
    story.event(44)
    state = story.detector.snapshot(KEY)
    assert state is not None
    assert state.left is not None
    assert state.right is not None
    sides = (state.left.rows[1].versions, state.right.versions)
    assert [(at, value) for at, value in story.right_versions()] == [
        (100, (100, "a")),
        (200, UNKNOWN),
        (220, UNKNOWN),
    ]
    bad, unknown = (segment(kind) for kind in ("bad", "unknown"))
    log = UnverifiableLog()
    log.note(KEY, sides, (us(210), us(220)), [bad])
    assert log.pieces == {}
    log.note(KEY, sides, (us(210), us(220)), [bad, unknown])
    assert log.pieces == {(KEY, Side.RIGHT, us(200)): us(220)}
    log.note(KEY, sides, (us(240), us(250)), [unknown])
    assert log.pieces == {(KEY, Side.RIGHT, us(200)): us(220), (KEY, Side.RIGHT, us(220)): us(250)}


def segment(kind: str) -> Segment:
    """A segment of which only the kind counts."""
    return Segment(0, 1, kind, 0, BIRTH, BIRTH)

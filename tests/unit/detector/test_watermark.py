"""Promises, losses, epochs, seeds, and silence of a side."""

from __future__ import annotations

import pytest

from app.detector.model import (
    ABSENT,
    INFINITY,
    UNKNOWN,
    Blind,
    EntryRead,
    Gap,
    Mark,
    RowChange,
    Seeded,
    Side,
    Value,
)
from app.detector.past import Loss, Sweep, lay_loss, lay_sweep
from app.detector.timeline import Version
from app.detector.watermark import Watermark
from tests.support.detecting import KEY, Story, agreed, rule_of, us


def left(at: int, epoch: str | None = None) -> Mark:
    return Mark(Side.LEFT, "db", at, epoch)


def right(at: int, ledger: int, first: int) -> Mark:
    return Mark(Side.RIGHT, "net", at, None, ledger, first)


def watermark(side: Side = Side.LEFT, *, from_empty: bool = False) -> Watermark:
    return Watermark(side, from_empty=from_empty)


def unheard(held: Watermark) -> list[tuple[int, Value]]:
    return [(version.at, version.value) for version in held.unheard]


def test_a_watermark_never_moves_back() -> None:
    held = watermark()
    held.advance(left(10))
    held.advance(left(5))
    assert held.at == 10


def test_ledgers_that_join_lose_nothing_though_their_close_times_are_the_same() -> None:
    held = watermark(Side.RIGHT)
    assert [held.advance(mark) for mark in (right(10, 4, 3), right(10, 6, 5), right(20, 8, 7))] == [
        [],
        [],
        [],
    ]
    assert (held.at, held.ledger) == (20, 8)


def test_ledgers_that_do_not_join_are_lost_since_the_last_mark() -> None:
    held = watermark(Side.RIGHT)
    held.advance(right(10, 4, 3))

    assert held.advance(right(20, 9, 6)) == [Gap(Side.RIGHT, "net", 11, 21, "continuity")]
    assert held.past.recent == [Loss(11, 21, False)]


def test_a_mark_told_again_loses_nothing() -> None:
    held = watermark(Side.RIGHT)
    held.advance(right(10, 4, 3))
    held.advance(right(20, 6, 5))
    assert held.advance(right(10, 4, 3)) == []


def test_a_gap_without_times_begins_after_the_last_mark() -> None:
    held = watermark(Side.RIGHT)
    held.advance(right(10, 4, 3))

    assert held.lose(Gap(Side.RIGHT, "net", None, None, "retention", 5, 7)) == [
        Gap(Side.RIGHT, "net", 11, 12, "retention", 5, 7)
    ]
    assert held.advance(right(20, 9, 8)) == []


def test_a_gap_told_again_is_nothing_new() -> None:
    held = watermark(Side.RIGHT)
    gap = Gap(Side.RIGHT, "net", 5, 9, "retention", 5, 7)
    assert held.lose(gap)
    assert held.lose(gap) == []
    assert held.lose(gap._replace(from_ledger=None, to_ledger=None)) == []


def test_a_gap_before_the_first_mark_begins_at_the_epoch_of_time() -> None:
    assert watermark().lose(Gap(Side.LEFT, None, None, None, "slot"))[0].from_us == 0


def test_marks_of_a_new_epoch_are_held_back_until_its_gap_has_come() -> None:
    held = watermark()
    held.advance(left(10, "a"))
    assert held.advance(left(20, "b")) == []
    assert held.at == 10

    told = held.lose(Gap(Side.LEFT, "db", 12, 15, "slot"))

    assert [(gap.from_us, gap.until_us, gap.cause) for gap in told] == [(12, 15, "slot"), (11, 21, "epoch")]
    assert (held.at, held.epoch) == (20, "b")
    assert held.past.last == Loss(11, 21, True)


def test_a_gap_may_come_before_the_first_mark_of_the_new_epoch() -> None:
    held = watermark()
    held.advance(left(10, "a"))
    held.lose(Gap(Side.LEFT, "db", 11, 15, "epoch"))
    held.advance(left(14, "a"))

    assert [gap.cause for gap in held.advance(left(20, "b"))] == ["epoch"]
    assert held.at == 20


def test_another_gap_does_not_let_a_new_epoch_in() -> None:
    held = watermark()
    held.advance(left(10, "a"))
    held.advance(left(20, "b"))
    held.lose(Gap(Side.LEFT, "db", 11, 15, "truncate"))
    assert held.at == 10


def test_an_old_mark_of_another_epoch_is_nothing() -> None:
    held = watermark()
    held.advance(left(10, "b"))
    held.advance(left(5, "a"))
    held.lose(Gap(Side.LEFT, "db", 3, 4, "slot"))
    assert (held.at, held.epoch) == (10, "b")


def test_a_mark_without_an_epoch_belongs_to_the_present_one() -> None:
    held = watermark()
    held.advance(left(10, "a"))
    held.advance(left(20))
    assert (held.at, held.epoch) == (20, "a")


def test_never_heard_of_is_unknown_until_the_seed_and_absent_from_its_first_page_on() -> None:
    held = watermark()
    held.advance(left(50))
    held.seed(Seeded("r", Side.LEFT, 30))
    assert unheard(held) == [(-INFINITY, UNKNOWN), (30, ABSENT)]


def test_a_seed_counts_once_the_marks_have_come_to_its_last_page() -> None:
    held = watermark()
    held.advance(left(50))
    held.seed(Seeded("r", Side.LEFT, 30, 60))
    assert unheard(held) == [(-INFINITY, UNKNOWN)]
    held.advance(left(60))
    assert unheard(held) == [(-INFINITY, UNKNOWN), (30, ABSENT)]


def test_a_later_seed_changes_nothing() -> None:
    held = watermark()
    held.advance(left(50))
    held.seed(Seeded("r", Side.LEFT, 30))
    held.seed(Seeded("r", Side.LEFT, 40))
    assert held.past.recent == [Sweep(30, 30)]


def test_a_loss_makes_never_heard_of_unknown_until_the_next_sweep() -> None:
    held = watermark(from_empty=True)
    held.advance(left(50))
    held.lose(Gap(Side.LEFT, None, 20, 30, "offsets"))
    held.seed(Seeded("r", Side.LEFT, 40))
    assert unheard(held) == [(-INFINITY, ABSENT), (20, UNKNOWN), (40, ABSENT)]


def test_a_sweep_that_a_loss_falls_into_proves_nothing() -> None:
    held = watermark(from_empty=True)
    held.advance(left(50))
    held.lose(Gap(Side.LEFT, None, 20, 30, "offsets"))
    held.seed(Seeded("r", Side.LEFT, 25, 40))
    assert unheard(held)[-1] == (20, UNKNOWN)


def test_an_instant_inside_a_loss_is_told_from_one_outside() -> None:
    held = watermark()
    held.advance(left(50))
    held.seed(Seeded("r", Side.LEFT, 10))
    held.lose(Gap(Side.LEFT, None, 20, 30, "offsets"))
    assert [held.has_lost(at) for at in (19, 20, 29, 30)] == [False, True, True, False]


def test_what_is_durable_is_taken_up_again() -> None:
    held = watermark()
    held.advance(left(50, "a"))
    held.seed(Seeded("r", Side.LEFT, 30))
    held.lose(Gap(Side.LEFT, None, 40, 45, "slot"))
    held.seed(Seeded("r", Side.LEFT, 48, 90))

    again = watermark(from_empty=True)
    again.restore(held.plain())

    assert again.plain() == held.plain()
    assert again.unheard == held.unheard
    assert [gap.cause for gap in again.advance(left(95, "b"))] == ["epoch"]


def test_nothing_durable_is_a_new_watermark() -> None:
    held = watermark()
    held.restore([None] * 8)
    assert held.plain() == watermark().plain()


def test_a_side_that_is_silent_for_longer_than_its_limit_is_blind_once_and_sees_again_once() -> None:
    held, rule = watermark(), rule_of()
    held.advance(left(1))
    assert held.tick(rule, 0) == []
    assert held.tick(rule, us(60)) == []
    assert held.tick(rule, us(60) + 1) == [Blind("r", Side.LEFT, 0)]
    assert held.tick(rule, us(90)) == []
    held.advance(left(2))
    assert held.tick(rule, us(91)) == [Blind("r", Side.LEFT, None)]
    held.advance(left(3))
    assert held.tick(rule, us(92)) == []


def version(at: int, value: Value, position: int = 1) -> Version:
    return Version(at, position, value, ("t", "e"))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ((12, 15), [(10, (1,)), (12, UNKNOWN), (20, (2,))]),
        ((5, 15), [(10, UNKNOWN), (20, (2,))]),
        ((12, 20), [(10, (1,)), (12, UNKNOWN), (20, (2,))]),
        ((12, 25), [(10, (1,)), (12, UNKNOWN)]),
        ((2, 10), [(10, (1,)), (20, (2,))]),
        ((22, 25), [(10, (1,)), (20, (2,)), (22, UNKNOWN)]),
    ],
)
def test_a_loss_makes_unknown_what_was_in_force_until_heard_of_again(
    loss: tuple[int, int], expected: list[tuple[int, Value]]
) -> None:
    laid = lay_loss([version(10, (1,)), version(20, (2,))], Loss(*loss, False))
    assert [(v.at, v.value) for v in laid] == expected


def test_a_read_between_two_losses_says_nothing_of_the_second() -> None:
    story = agreed(Story())
    story.gap(Side.RIGHT, 166, 170)
    story.entry_as_of(36, (100, "a"), modified=20)
    story.gap(Side.RIGHT, 180.000001, 190)
    story.row_as_of(180, (100, "a"))
    story.gap(Side.LEFT, 160, 170)
    story.gap(Side.LEFT, 180.000001, 190)
    story.until(183)
    assert story.right_versions()[-2:] == [(166, (100, "a")), (180.000001, UNKNOWN)]
    assert story.left_versions()[-2:] == [(180, (100, "a")), (180.000001, UNKNOWN)]


def test_a_sweep_ends_a_hole_and_nothing_else() -> None:
    hole, waiting = [Version(10, 1, UNKNOWN, None)], [version(10, UNKNOWN)]
    for versions in (hole, waiting):
        lay_sweep(versions, 20)
        lay_sweep(versions, 20)
    assert [v.value for v in hole] == [UNKNOWN, ABSENT]
    assert [v.value for v in waiting] == [UNKNOWN]


def test_a_mark_of_a_new_epoch_lets_positions_begin_anew() -> None:
    story = agreed(Story())
    story.left_mark(151, "a")
    story.event(32)
    story.gap(Side.LEFT, 152, 155, "slot")
    story.left_mark(160, "b")
    story.row(170, (7, "x"), lsn=1)
    assert story.left_versions()[-2:] == [(151, UNKNOWN), (170, (7, "x"))]
    assert [incident.cause for incident in story.incidents] == ["slot", "epoch"]


def test_a_new_epoch_of_a_network_lets_ledgers_begin_anew() -> None:
    story = agreed(Story())
    for epoch in ("a", "b"):
        story.take(story.detector.advance(Mark(Side.RIGHT, "net", us(170 if epoch == "a" else 180), epoch)))
    story.gap(Side.RIGHT, 171, 172, "epoch")
    story.event(37, key="GB")
    story.take(story.detector.observe(EntryRead("r", KEY, (7, "x"), 3, us(190), 3, us(190), None)))
    state = story.detector.snapshot(KEY)
    assert state is not None
    assert state.right is not None
    assert state.right.position == -1


def test_a_change_is_told_by_nobody_after_a_gap_until_it_is_heard_of() -> None:
    story = agreed(Story())
    story.gap(Side.LEFT, 160, 170)
    story.entry(40, (300, "a"))
    story.until(300)
    assert story.lines == []
    story.take(story.detector.observe(RowChange("r", KEY, 1, 99, us(310), None, (5, "a"), 99)))
    story.until(330)
    assert story.lines == ["opened 05:10 limit"]


def test_an_episode_whose_own_stretch_was_proven_lost_ends_as_lost_input() -> None:
    story = agreed(Story())
    story.entry(40, (300, "a"))
    story.until(260)
    story.gap(Side.LEFT, 160, 262)
    story.row(270, (300, "a"))
    story.until(290)
    assert story.lines == ["opened 03:52 limit", "resolved 04:30"]
    assert story.told[-1].value["cause"] == "input_lost"


def test_after_a_sweep_a_row_that_it_did_not_meet_is_absent() -> None:
    story = agreed(Story())
    story.gap(Side.LEFT, 160, 170)
    story.until(200)
    story.seeded(Side.LEFT, 180, 190)
    for at in (201, 260):
        story.until(at)
    assert story.lines == ["opened 03:10 existence"]


def test_after_a_sweep_a_row_that_it_met_is_what_it_read() -> None:
    story = agreed(Story())
    story.gap(Side.LEFT, 160, 170)
    story.row_as_of(185, (100, "a"))
    story.seeded(Side.LEFT, 180, 190)
    for at in (200, 260):
        story.until(at)
    assert story.lines == []
    assert story.left_versions()[-1] == (185, (100, "a"))


def test_after_a_sweep_an_entry_that_it_did_not_meet_is_absent() -> None:
    story = agreed(Story())
    story.gap(Side.RIGHT, 166, 170)
    story.seeded(Side.RIGHT, 180, 190)
    for at in (200, 201, 260):
        story.until(at)
    assert story.lines == ["opened 03:42 existence"]


def test_after_a_sweep_an_entry_that_it_met_is_what_it_read() -> None:
    story = agreed(Story())
    story.gap(Side.RIGHT, 166, 170)
    story.entry_as_of(37, (100, "a"), modified=20)
    story.seeded(Side.RIGHT, 180, 190)
    for at in (200, 260):
        story.until(at)
    assert story.lines == []
    assert story.right_versions()[-1] == (166, (100, "a"))


def test_a_read_inside_a_loss_proves_nothing() -> None:
    story = agreed(Story())
    story.row_as_of(165, (9, "x"))
    story.entry_as_of(34, (9, "x"))
    story.gap(Side.LEFT, 160, 170)
    story.gap(Side.RIGHT, 166, 171)
    story.until(200)
    assert story.counts["as_of_inconclusive"] == 2
    assert story.left_versions()[-1] == (160, UNKNOWN)
    assert story.right_versions()[-1] == (166, UNKNOWN)


def test_what_a_read_said_of_rows_never_heard_of_is_lost_too() -> None:
    story = Story(from_empty=False)
    story.entry(20, (100, "a"))
    story.row_as_of(160, ABSENT, row=None)
    story.until(170)
    story.gap(Side.LEFT, 171, 175)
    story.until(280)
    story.seeded(Side.LEFT, 270)
    story.until(300)
    assert story.lines == ["opened 02:40 existence"]
    assert story.counts["gaps"] == 1

"""The left side: changes in the log's order, continuity, and reads as of a snapshot."""

from __future__ import annotations

from app.detector.model import ABSENT, OUT, UNKNOWN, RowChange, Side, Snapshot
from tests.support.detecting import KEY, NOTHING_SEEN, Story, agreed, us


def test_a_change_that_was_seen_is_dropped() -> None:
    story = agreed(Story())
    story.row(101, (9, "x"), ABSENT, lsn=10)
    assert story.counts["seen"] == 1
    assert story.left_versions() == [(101, (100, "a"))]


def test_a_change_later_than_its_mark_begins_after_the_mark() -> None:
    story = agreed(Story())
    story.row(140, (9, "x"), (100, "a"))
    assert story.counts["late"] == 1
    assert story.left_versions()[-1] == (150, (9, "x"))


def test_a_change_at_the_last_instant_that_its_mark_spoke_of_is_late_too() -> None:
    story = agreed(Story())
    story.row(149.999999, (9, "x"), (100, "a"))
    assert story.counts["late"] == 1
    assert story.left_versions()[-1] == (150, (9, "x"))
    story.row(150, (8, "x"), (9, "x"))
    assert story.counts["late"] == 1


def test_a_clock_that_steps_back_does_not_turn_versions_round() -> None:
    story = Story()
    story.row(101, (1, "a"), ABSENT)
    story.row(100, (2, "a"), (1, "a"))
    assert story.left_versions()[1:] == [(101, (2, "a"))]


def test_an_unchanged_value_moves_the_position_only() -> None:
    story = agreed(Story())
    story.row(160, (100, "a"), (100, "a"), lsn=50)
    story.row(160, (9, "x"), (100, "a"), lsn=50)
    assert story.counts["seen"] == 1


def test_a_before_image_that_is_not_held_proves_lost_input() -> None:
    story = agreed(Story())
    story.row(160, (9, "x"), (8, "x"))
    assert [(i.cause, i.side, i.from_us) for i in story.incidents] == [("continuity", Side.LEFT, us(160))]
    assert story.left_versions() == [(101, UNKNOWN), (160, (9, "x"))]


def test_a_before_image_proves_it_even_where_the_value_stays() -> None:
    story = agreed(Story())
    story.row(160, (100, "a"), (8, "x"))
    assert story.left_versions() == [(101, UNKNOWN), (160, (100, "a"))]


def test_a_before_image_of_a_row_never_heard_of_proves_nothing() -> None:
    story = Story(from_empty=False)
    story.row(160, (9, "x"), (8, "x"))
    assert story.incidents == []


def test_a_row_first_heard_of_by_an_update_was_not_absent() -> None:
    story = Story(from_empty=False)
    story.until(110)
    story.seeded(Side.LEFT, 100)
    story.row(160, (9, "x"))
    assert [value for _, value in story.left_versions()] == [UNKNOWN, (9, "x")]


def test_a_row_first_heard_of_by_its_insert_was_absent_since_the_seed() -> None:
    story = Story(from_empty=False)
    story.until(110)
    story.seeded(Side.LEFT, 100)
    story.row(160, (9, "x"), ABSENT)
    assert [value for _, value in story.left_versions()] == [UNKNOWN, ABSENT, (9, "x")]


def test_a_row_that_the_connector_s_snapshot_found_says_nothing_of_before() -> None:
    for lsn, before in ((0, [UNKNOWN, ABSENT]), (1, [UNKNOWN])):
        story = Story(from_empty=False)
        story.until(110)
        story.seeded(Side.LEFT, 100)
        story.row(160, (9, "x"), lsn=lsn)
        assert [value for _, value in story.left_versions()] == [*before, (9, "x")]


def test_too_many_versions_are_too_hot() -> None:
    story = agreed(Story())
    for n in range(1030):
        story.row(200 + n / 1000, (n, "a"), (n - 1, "a") if n else (100, "a"))
    assert {incident.cause for incident in story.incidents} == {"too_hot"}
    assert len(story.left_versions()) < 1024


def test_a_read_waits_for_a_later_mark_and_confirms() -> None:
    story = agreed(Story())
    for _ in range(2):
        story.row_as_of(160, (100, "a"))
    story.until(160)
    assert "as_of_confirmed" not in story.counts
    story.until(161)
    assert story.counts["as_of_confirmed"] == 1


def test_a_read_of_another_value_proves_lost_input_and_repairs() -> None:
    story = agreed(Story())
    story.row_as_of(160, (9, "x"))
    story.until(161)
    assert [incident.cause for incident in story.incidents] == ["as_of"]
    story.until(170)
    assert story.lines == ["opened 02:40 limit status"]
    assert story.told[0].value["trace"]["left"] is None  # type: ignore[index]


def test_a_read_is_compared_with_what_its_snapshot_saw() -> None:
    story = agreed(Story())
    story.row(160, (9, "x"), (100, "a"), tx=77)
    story.row_as_of(161, (100, "a"), seen=Snapshot(70, 80, frozenset({77})))
    story.until(170)
    assert story.counts["as_of_confirmed"] == 1


def test_a_read_that_sees_nothing_of_what_is_held_is_inconclusive() -> None:
    story = agreed(Story())
    story.row_as_of(160, (9, "x"), seen=NOTHING_SEEN)
    story.until(161)
    assert story.counts["as_of_inconclusive"] == 1


def test_a_read_amid_commits_whose_clocks_cross_is_inconclusive() -> None:
    story = agreed(Story())
    story.row(160, (9, "x"), (100, "a"), tx=99)
    story.row_as_of(161, (8, "x"), seen=Snapshot(99, 100, frozenset({99})))
    story.until(170)
    assert story.counts["as_of_inconclusive"] == 1
    assert story.incidents == []


def test_a_read_that_did_not_see_what_began_with_it_is_inconclusive() -> None:
    story = agreed(Story())
    story.row(160, (9, "x"), (100, "a"), tx=99)
    story.row_as_of(160, (8, "x"), seen=Snapshot(99, 100, frozenset({99})))
    story.until(170)
    assert story.counts["as_of_inconclusive"] == 1
    assert story.incidents == []


def test_what_a_snapshot_saw_before_its_clock_says_so_is_repaired_right_after_it() -> None:
    story = agreed(Story())
    story.row(165, (9, "x"), (100, "a"))
    story.row_as_of(160, (8, "x"))
    story.until(161)
    assert story.left_versions()[-2:] == [(165, UNKNOWN), (165.000001, (8, "x"))]


def test_a_seed_at_the_instant_of_the_first_change_makes_no_empty_piece() -> None:
    story = Story(from_empty=False)
    story.row(165, (9, "x"), tx=99)
    story.row_as_of(165, (100, "a"), seen=Snapshot(99, 100, frozenset({99})))
    story.until(166)
    assert [at for at, _ in story.left_versions()][-1:] == [165]
    assert len(story.left_versions()) == 2


def test_two_snapshots_of_one_instant_say_the_same() -> None:
    story = Story(from_empty=False)
    for seen in (Snapshot(9, 9, frozenset()), Snapshot(8, 9, frozenset())):
        story.row_as_of(160, (100, "a"), seen=seen)
    story.until(170)
    assert (story.counts["as_of_learned"], story.counts["as_of_confirmed"]) == (1, 1)


def test_a_seed_is_known_from_its_read_on() -> None:
    story = Story(from_empty=False)
    story.row_as_of(160, (100, "a"))
    story.entry(20, (100, "a"))
    story.until(170)
    assert story.counts["as_of_learned"] == 1
    assert story.left_versions() == [(160, (100, "a"))]


def test_a_seed_from_before_the_first_change_stands_before_it() -> None:
    story = Story(from_empty=False)
    story.row(165, (9, "x"), tx=99)
    story.row_as_of(160, (100, "a"), seen=Snapshot(99, 100, frozenset({99})))
    story.until(161)
    assert story.left_versions()[-2:] == [(160, (100, "a")), (165, (9, "x"))]


def test_a_seed_that_saw_less_than_the_first_change_is_of_no_use() -> None:
    story = Story(from_empty=False)
    story.row(159, (9, "x"), tx=99)
    story.row_as_of(160, (100, "a"), seen=Snapshot(99, 100, frozenset({99})))
    story.until(161)
    assert story.left_versions()[-1] == (159, (9, "x"))


def test_a_seeded_row_is_never_absent_before_its_read_settles() -> None:
    story = Story(from_empty=False)
    story.entry(20, (100, "a"))
    story.row_as_of(400, (100, "a"))
    story.seeded(Side.LEFT, 200)
    story.until(390)
    story.until(420)
    assert story.lines == []


def test_a_snapshot_without_a_row_makes_those_never_heard_of_absent() -> None:
    story = Story(from_empty=False)
    story.entry(20, (100, "a"))
    story.row_as_of(160, ABSENT, row=None)
    story.until(200)
    assert story.lines == ["opened 02:40 existence"]


def test_a_snapshot_without_a_row_adds_nothing_where_that_was_known() -> None:
    story = agreed(Story())
    story.row_as_of(160, ABSENT, row=None, besides=(1,))
    story.until(170)
    state = story.detector.snapshot(KEY)
    assert state is not None
    assert state.left is not None
    assert state.left.others is None


def test_a_snapshot_without_a_row_proves_a_lost_delete() -> None:
    story = agreed(Story())
    story.row_as_of(160, ABSENT, row=None)
    story.until(161)
    assert [incident.cause for incident in story.incidents] == ["as_of"]
    story.until(200)
    assert story.lines == ["opened 02:40 existence"]


def test_a_read_of_a_row_that_was_forgotten_says_nothing() -> None:
    story = Story()
    story.row_as_of(160, (1, "a"))
    state = story.detector.snapshot(KEY)
    assert state is not None
    assert state.left is not None
    state.left.rows.clear()
    story.until(170)
    assert story.lines == []


def test_a_deleted_row_whose_key_may_hold_others_is_unknown_until_the_seed() -> None:
    story = Story(from_empty=False)
    story.entry(20, (100, "a"))
    story.row(101, ABSENT, (100, "a"))
    story.row(102, OUT, OUT, row=2)
    story.until(300)
    assert story.lines == []
    story.seeded(Side.LEFT, 310)
    story.until(350)
    assert story.lines == []
    story.row(360, ABSENT, OUT, row=2)
    story.until(400)
    assert story.lines == ["opened 06:00 existence"]


def test_a_field_that_was_not_sent_keeps_what_the_row_held() -> None:
    story = agreed(Story())
    told = RowChange("r", KEY, 1, 900, us(160), None, (200, None), None, None, (1,))
    story.take(story.detector.observe(told))
    assert story.left_versions()[-1] == (160, (200, "a"))


def test_a_field_that_was_not_sent_of_a_row_that_is_not_known_makes_it_unknown() -> None:
    story = agreed(Story())
    story.row(160, ABSENT)
    told = RowChange("r", KEY, 1, 900, us(170), None, (200, None), None, None, (1,))
    story.take(story.detector.observe(told))
    assert story.left_versions()[-1] == (170, UNKNOWN)
    story.take(story.detector.observe(told._replace(lsn=901, at=us(180), after=OUT)))
    assert story.left_versions()[-1] == (180, OUT)

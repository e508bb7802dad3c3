"""The right side: events open versions, reads fill them, and what no event told of."""

from __future__ import annotations

from app.detector.model import ABSENT, UNKNOWN, EntryRead, Side
from tests.support.detecting import KEY, Story, agreed, rule_of, us


def test_an_event_begins_a_version_that_its_read_fills() -> None:
    story = Story()
    story.event(20)
    assert story.right_versions()[-1] == (100, UNKNOWN)
    story.read(20, (1, "a"))
    assert story.right_versions()[-1] == (100, (1, "a"))


def test_an_event_that_was_seen_is_dropped() -> None:
    story = agreed(Story())
    story.event(20)
    story.event(19)
    assert story.counts["seen"] == 2


def test_an_event_later_than_its_mark_begins_after_the_mark() -> None:
    story = agreed(Story())
    story.event(22)
    assert story.counts["late"] == 1
    assert story.right_versions()[-1] == (165.000001, UNKNOWN)


def test_two_late_events_do_not_make_an_empty_piece() -> None:
    story = agreed(Story())
    story.event(22)
    story.event(23)
    assert [at for at, _ in story.right_versions()] == [100, 165.000001]


def test_too_many_versions_are_too_hot() -> None:
    story = Story(rule_of(max_versions=8))
    for ledger in range(20, 40):
        story.entry(ledger, (ledger, "a"))
    assert {(incident.cause, incident.side) for incident in story.incidents} == {("too_hot", Side.RIGHT)}
    assert len(story.right_versions()) <= 8


def test_a_read_fills_every_piece_since_the_modification_and_equals_merge() -> None:
    story = Story()
    for ledger in (20, 21, 22):
        story.event(ledger)
    story.read(20, (1, "a"), read=22)
    assert story.right_versions()[1:] == [(100, (1, "a"))]


def test_a_piece_before_the_modification_stays_unknown() -> None:
    story = Story()
    story.event(20)
    story.event(21)
    story.read(21, (1, "a"))
    assert story.right_versions()[1:] == [(100, UNKNOWN), (105, (1, "a"))]


def test_a_piece_after_the_read_stays_unknown() -> None:
    story = Story()
    story.event(20)
    story.event(22)
    story.read(20, (1, "a"), read=21)
    assert story.right_versions()[1:] == [(100, (1, "a")), (110, UNKNOWN)]


def test_a_value_that_did_not_change_joins_the_piece_before() -> None:
    story = agreed(Story())
    story.event(40)
    story.read(20, (100, "a"), read=40)
    assert story.right_versions() == [(100, (100, "a"))]


def test_a_read_with_nothing_to_fill_is_stale() -> None:
    story = agreed(Story())
    story.read(20, (100, "a"))
    assert story.counts["stale"] == 1


def test_a_change_newer_than_all_events_waits_for_its_own() -> None:
    story = Story()
    story.event(20)
    story.read(22, (1, "a"), read=23)
    assert story.right_versions()[-1] == (100, UNKNOWN)
    story.entry(22, (1, "a"))
    story.until(130)
    assert story.right_versions()[-1] == (110, (1, "a"))
    assert story.incidents == []


def test_a_change_whose_event_never_came_is_lost_input() -> None:
    story = agreed(Story())
    story.event(40)
    story.read(40, (2, "a"))
    story.read(42, (3, "a"), read=43)
    story.until(230)
    assert [incident.cause for incident in story.incidents] == ["as_of"]
    assert story.right_versions()[-2:] == [(200.000001, UNKNOWN), (210, (3, "a"))]


def test_a_change_without_a_time_begins_where_it_was_read() -> None:
    story = agreed(Story())
    story.read(42, (3, "a"), read=43, dated=False)
    story.until(230)
    assert story.right_versions()[-1] == (215, (3, "a"))


def test_a_silent_change_before_an_event_is_found_by_its_read() -> None:
    story = agreed(Story())
    story.event(40)
    story.read(38, (3, "a"), read=40)
    assert [incident.cause for incident in story.incidents] == ["continuity"]
    assert story.right_versions() == [(100, UNKNOWN), (190, (3, "a")), (200, (3, "a"))]


def test_a_silent_change_without_a_time_leaves_the_piece_unknown() -> None:
    story = agreed(Story())
    story.event(40)
    story.read(38, (3, "a"), read=40, dated=False)
    assert story.right_versions() == [(100, UNKNOWN), (200, (3, "a"))]


def test_what_was_unknown_is_learned_from_an_older_modification() -> None:
    story = Story(from_empty=False)
    story.event(40)
    story.read(38, (3, "a"), read=40)
    assert story.incidents == []
    assert story.right_versions()[1:] == [(190, (3, "a")), (200, (3, "a"))]


def test_a_modification_at_the_close_where_the_next_piece_began_is_not_silent() -> None:
    story = agreed(Story())
    story.event(40)
    read = EntryRead("r", KEY, (3, "a"), 39, us(200), 40, us(200), "40-0")
    story.take(story.detector.observe(read))
    assert story.incidents == []
    assert story.right_versions() == [(100, (100, "a")), (200, (3, "a"))]


def test_an_absence_waits_for_the_mark_of_its_read() -> None:
    story = agreed(Story())
    story.event(40)
    story.read(40, ABSENT, read=42)
    story.event(42)
    story.read(42, ABSENT)
    story.until(300)
    assert story.right_versions()[-1] == (210, ABSENT)
    assert story.lines == ["opened 04:02 existence"]


def test_while_an_absence_waits_nothing_that_it_may_change_is_judged() -> None:
    story = agreed(Story())
    story.row(160, (7, "b"), (100, "a"))
    story.until(170)
    story.event(40)
    story.read(40, ABSENT, read=60)
    story.row(240, (100, "a"), (7, "b"))
    story.until(270)
    assert story.lines == ["opened 02:40 limit status"]
    story.until(300)
    assert story.lines[1:] == ["resolved 03:08", "reopened 03:52 existence"]


def test_an_absence_of_unknown_age_speaks_of_the_newest_version() -> None:
    story = agreed(Story())
    story.event(40)
    story.read(-1, ABSENT, read=40, dated=False)
    story.until(260)
    assert story.lines == ["opened 03:52 existence"]


def test_an_absence_older_than_all_that_is_held_is_stale() -> None:
    story = agreed(Story())
    for ledger in (40, 41, 60):
        story.entry(ledger, (ledger, "a"))
    story.until(290)
    story.read(-1, ABSENT, read=30, dated=False)
    assert story.counts["stale"] == 1


def test_a_read_as_of_a_ledger_confirms_what_is_held() -> None:
    story = agreed(Story())
    story.entry_as_of(40, (100, "a"), modified=20)
    story.until(210)
    assert story.counts["as_of_confirmed"] == 1


def test_a_read_of_an_older_ledger_confirms_what_was_held_then() -> None:
    story = agreed(Story())
    story.entry(40, (2, "a"))
    story.entry_as_of(39, (100, "a"), modified=20)
    story.until(210)
    assert story.counts["as_of_confirmed"] == 1


def test_a_read_as_of_a_ledger_proves_a_silent_change() -> None:
    story = agreed(Story())
    story.entry_as_of(40, (3, "a"), modified=38)
    story.until(210)
    assert [incident.cause for incident in story.incidents] == ["as_of"]
    assert story.right_versions()[-2:] == [(100.000001, UNKNOWN), (190, (3, "a"))]


def test_a_second_read_leaves_certain_what_the_first_confirmed() -> None:
    story = agreed(Story())
    story.entry_as_of(36, (100, "a"), modified=20)
    story.until(190)
    story.entry_as_of(44, (3, "a"))
    story.until(230)
    assert story.right_versions()[-2:] == [(180.000001, UNKNOWN), (220, (3, "a"))]


def test_a_read_finds_a_silent_change_behind_an_equal_newest_value() -> None:
    story = agreed(Story())
    story.event(40)
    story.read(-1, ABSENT, read=40, dated=False)
    story.event(44)
    story.read(44, (3, "a"))
    story.entry_as_of(45, (3, "a"), modified=42)
    story.until(240)
    assert [incident.cause for incident in story.incidents] == ["as_of"]
    assert story.right_versions()[-3:] == [(200, UNKNOWN), (210, (3, "a")), (220, (3, "a"))]


def test_a_seed_is_known_since_its_modification() -> None:
    story = Story(from_empty=False)
    story.entry_as_of(40, (3, "a"), modified=20)
    story.until(210)
    assert story.right_versions()[-1] == (100, (3, "a"))


def test_a_seed_without_a_time_is_known_from_its_read_on() -> None:
    story = Story(from_empty=False)
    story.entry_as_of(40, (3, "a"), modified=20, dated=False)
    story.until(210)
    assert story.right_versions()[-1] == (200, (3, "a"))


def test_a_seed_fills_what_an_event_began() -> None:
    story = Story(from_empty=False)
    story.event(38)
    story.entry_as_of(40, (3, "a"), modified=38)
    story.until(210)
    assert story.right_versions()[-1] == (190, (3, "a"))
    assert story.counts["as_of_learned"] == 1


def test_a_seed_of_a_coalesced_piece_leaves_it_unknown_before_the_modification() -> None:
    story = Story(from_empty=False)
    story.event(36)
    story.entry_as_of(40, (3, "a"), modified=38)
    story.until(210)
    assert story.right_versions()[-2:] == [(180, UNKNOWN), (190, (3, "a"))]


def test_a_read_older_than_all_that_is_held_is_inconclusive() -> None:
    story = agreed(Story())
    for ledger in (40, 41, 60):
        story.entry(ledger, (ledger, "a"))
    story.until(290)
    story.entry_as_of(19, (3, "a"))
    story.until(300)
    assert story.counts["as_of_inconclusive"] == 1


def test_a_read_that_waits_for_later_holds_no_verdict_back() -> None:
    story = agreed(Story())
    story.entry_as_of(80, (100, "a"), modified=20)
    story.entry_as_of(80, (100, "a"), modified=20)
    story.row(200, (7, "a"), (100, "a"))
    story.until(220)
    assert story.lines == ["opened 03:20 limit"]

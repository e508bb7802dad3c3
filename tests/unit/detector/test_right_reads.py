"""What exactly a read of an entry fills, proves and leaves certain."""

from __future__ import annotations

from app.detector.left import Settled
from app.detector.model import ABSENT, UNKNOWN, EntryAsOf, Value
from app.detector.right import settle_read
from app.detector.timeline import RightState, Version
from tests.support.detecting import KEY, Story, agreed, us


def right_of(story: Story) -> RightState:
    state = story.detector.snapshot(KEY)
    assert state is not None
    assert state.right is not None
    return state.right


def settle(story: Story, ledger: int, value: Value, modified: int = -1, *, dated: bool = True) -> Settled:
    """A read as of a ledger whose mark has come."""
    modified_at = None if modified < 0 or not dated else us(modified * 5)
    read = EntryAsOf("r", KEY, value, modified, modified_at, ledger, us(ledger * 5))
    return settle_read(right_of(story), read, story.detector.keys.count)


def newest(story: Story) -> Version:
    return right_of(story).versions[-1]


# ---- events


def test_an_older_event_is_never_the_trace_whatever_its_id() -> None:
    story = agreed(Story())
    story.event(40)
    story.event(9)
    assert (story.counts["seen"], story.counts["coalesced"]) == (1, 0)
    assert newest(story).trace == ("tx40", "40-0")
    story.event(40, number=1)
    assert (story.counts["seen"], story.counts["coalesced"]) == (1, 1)
    assert newest(story).trace == ("tx40", "40-1")


# ---- reads because of an event


def test_an_absence_speaks_of_the_newest_version_by_its_ledger_only() -> None:
    story = agreed(Story())
    story.event(40)
    story.event(41)
    story.read(40, ABSENT, read=41)
    assert story.right_versions()[1:] == [(200, UNKNOWN), (205, ABSENT)]


def test_an_absence_of_unknown_age_speaks_of_what_had_begun_by_its_ledger() -> None:
    story = agreed(Story())
    story.event(40)
    story.event(42)
    story.read(-1, ABSENT, read=40, dated=False)
    assert story.right_versions()[1:] == [(200, ABSENT), (210, UNKNOWN)]


def test_a_value_of_unknown_age_speaks_of_the_newest_version_by_its_ledger_only() -> None:
    story = agreed(Story())
    story.event(40)
    story.event(41)
    story.read(-1, (7, "a"), read=41, dated=False)
    assert story.right_versions()[1:] == [(200, UNKNOWN), (205, (7, "a"))]


def test_an_absence_whose_mark_has_come_waits_for_nothing() -> None:
    story = agreed(Story())
    story.event(40)
    story.right_mark(42)
    story.read(40, ABSENT, read=42)
    assert story.right_versions()[-1] == (200, ABSENT)


def test_a_silent_change_is_counted_where_it_proves_lost_input() -> None:
    story = agreed(Story())
    story.event(40)
    story.read(38, (3, "a"), read=40)
    assert story.counts["unannounced"] == 1
    story = Story(from_empty=False)
    story.event(40)
    story.read(38, (3, "a"), read=40)
    assert story.counts["unannounced"] == 0


# ---- what holds a verdict back


def held_at(*waiting: int) -> Story:
    """An episode is open, and events of these ledgers are not read yet."""
    story = agreed(Story())
    story.row(160, (7, "b"), (100, "a"))
    story.until(165)
    assert story.lines == ["opened 02:40 limit status"]
    for ledger in waiting:
        story.event(ledger)
    return story


def judged_through(story: Story) -> int:
    state = story.detector.snapshot(KEY)
    assert state is not None
    assert state.record is not None
    return state.record.judged


def test_what_an_absence_that_waits_may_fill_is_not_judged() -> None:
    story = held_at(36, 40)
    story.read(40, ABSENT, read=60)
    story.until(270)
    assert judged_through(story) == us(188)


def test_other_reads_that_wait_hold_nothing_back() -> None:
    story = held_at(40)
    story.entry_as_of(80, (100, "a"), modified=20)
    story.entry_as_of(80, ABSENT)
    story.detector.schedule(KEY)
    story.until(270)
    assert judged_through(story) == us(270)


# ---- reads as of a ledger


def test_a_read_as_of_a_ledger_without_a_date_fills_the_piece_that_it_saw() -> None:
    story = agreed(Story())
    story.event(40)
    story.event(42)
    story.entry_as_of(44, (3, "a"))
    story.until(240)
    assert story.right_versions() == [(200, UNKNOWN), (210, (3, "a"))]


def test_what_is_repaired_is_counted_apart_from_what_is_learned() -> None:
    story = agreed(Story())
    story.entry_as_of(40, (3, "a"), modified=38)
    story.until(210)
    assert (story.counts["as_of_repaired"], story.counts["as_of_learned"]) == (1, 0)
    story = Story(from_empty=False)
    story.entry_as_of(40, (3, "a"), modified=38)
    story.until(210)
    assert (story.counts["as_of_repaired"], story.counts["as_of_learned"]) == (0, 1)


def test_a_lost_version_leaves_a_hole_that_no_read_of_an_event_fills() -> None:
    story = agreed(Story())
    assert settle(story, 40, (3, "a"), modified=38).is_lost
    kept, hole, repaired = right_of(story).versions
    assert (kept.at, kept.trace) == (us(100), ("tx20", "20-0"))
    assert (hole.value, hole.trace) == (UNKNOWN, None)
    assert (repaired.at, repaired.position, repaired.trace) == (us(190), 38, None)


def test_a_coalesced_piece_goes_on_waiting_for_its_read() -> None:
    story = Story(from_empty=False)
    story.event(36)
    story.entry_as_of(40, (3, "a"), modified=38)
    story.until(210)
    waiting = right_of(story).versions[-2]
    assert (waiting.at, waiting.trace) == (us(180), ("tx36", "36-0"))


def test_another_value_of_the_same_ledger_takes_its_place() -> None:
    story = agreed(Story())
    assert settle(story, 40, (3, "a"), modified=20).is_lost
    assert story.right_versions() == [(100, (3, "a"))]


def test_what_was_written_again_unheard_and_is_the_same_proves_nothing() -> None:
    story = agreed(Story())
    assert not settle(story, 40, (100, "a"), modified=38).is_lost
    story.entry(42, (7, "a"))
    assert not settle(story, 50, (7, "a"), modified=45, dated=False).is_lost
    assert story.right_versions() == [(100, (100, "a")), (210, (7, "a"))]
    assert story.counts["as_of_confirmed"] == 2


def test_a_confirmed_value_that_was_another_one_already_is_unknown_altogether() -> None:
    """The later read contradicts the earlier one: neither is certain."""
    story = agreed(Story())
    assert not settle(story, 36, (100, "a"), modified=20).is_lost
    assert settle(story, 44, (3, "a"), modified=34).is_lost
    assert story.right_versions() == [(100, UNKNOWN), (170, (3, "a"))]


def test_each_read_of_the_newest_version_leaves_it_certain_until_then() -> None:
    story = agreed(Story())
    story.event(40)
    story.event(41)
    story.read(40, (7, "a"), read=44)
    settle(story, 50, (8, "a"))
    settle(story, 60, (9, "a"))
    assert story.right_versions()[1:] == [
        (200, (7, "a")),
        (220.000001, UNKNOWN),
        (250, (8, "a")),
        (250.000001, UNKNOWN),
        (300, (9, "a")),
    ]


def test_a_read_as_of_a_ledger_that_fills_leaves_certain_as_well() -> None:
    story = agreed(Story())
    story.event(40)
    settle(story, 44, (7, "a"), modified=40)
    settle(story, 50, (8, "a"))
    assert story.right_versions()[2:] == [(220.000001, UNKNOWN), (250, (8, "a"))]


def test_a_read_of_an_older_version_says_nothing_of_the_newest() -> None:
    story = agreed(Story())
    story.entry(44, (7, "a"))
    settled = settle(story, 39, (5, "a"), modified=30)
    assert (settled.is_lost, settled.is_conclusive) == (True, True)
    assert right_of(story).certain == us(220)
    assert story.right_versions() == [(100, UNKNOWN), (150, (5, "a")), (220, (7, "a"))]


def test_a_change_of_the_first_version_that_is_held_is_found() -> None:
    """The entry was modified after the piece before its event began, and in that piece it was another one."""
    story = Story()
    story.entry(20, (1, "a"))
    story.entry(30, (2, "a"))
    story.row(101, (1, "a"), ABSENT)
    story.until(190)
    assert story.right_versions()[0] == (150, (2, "a"))
    story.event(40)
    story.read(35, (3, "a"), read=40)
    assert [incident.cause for incident in story.incidents] == ["continuity"]


def test_a_value_as_old_as_the_piece_before_its_event_is_no_silent_change() -> None:
    story = agreed(Story())
    story.event(40)
    story.read(20, (3, "a"), read=40)
    assert story.counts["unannounced"] == 0


# ---- what an entry was before


def before(modified: int, value: Value, until: int) -> EntryAsOf:
    """What the ledger behind `until` says that the entry was: to the last instant before it closed."""
    return EntryAsOf("r", KEY, value, modified, us(modified * 5), until, us((until + 1) * 5) - 1)


def test_what_an_entry_was_between_two_changes_is_known_to_the_microsecond() -> None:
    story = agreed(Story())
    story.entry(44, (3, "active"))
    story.until(230)
    right, count = right_of(story), story.detector.keys.count
    first = right.versions[-2].value
    old, middle = before(9, first, 39), before(40, (2, "active"), 43)

    settle_read(right, old, count)
    settled = settle_read(right, middle, count, old)

    assert settled.is_lost
    assert story.right_versions()[-3:] == [(100.0, first), (200, (2, "active")), (220, (3, "active"))]


def test_without_the_statement_before_it_the_piece_up_to_the_change_is_unknown() -> None:
    story = agreed(Story())
    story.entry(44, (3, "active"))
    story.until(230)

    settled = settle_read(right_of(story), before(40, (2, "active"), 43), story.detector.keys.count)

    assert settled.is_lost
    assert story.right_versions()[-3:] == [(100.0, UNKNOWN), (200, (2, "active")), (220, (3, "active"))]

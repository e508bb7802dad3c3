"""Events and the reads that they caused find each other; a change that no event told of is known as such."""

from __future__ import annotations

from app.detector.model import ABSENT, EntryAsOf, EntryEvent, EntryRead, Mark, Side
from app.sweep.announced import Announced, Announcements

RULE, KEY = "r", "GA"
SECOND_US = 1_000_000


def closed(ledger: int) -> int:
    """A ledger closes every five seconds."""
    return ledger * 5 * SECOND_US


def event(ledger: int, key: str = KEY) -> EntryEvent:
    return EntryEvent(RULE, key, ledger, closed(ledger), "tx", f"{ledger}-0")


def read(modified: int, at_ledger: int, value: tuple[str, ...] | str = ("1",), key: str = KEY) -> EntryRead:
    place = (modified, None, at_ledger, closed(at_ledger))
    return EntryRead(RULE, key, value, *place, f"{modified}-0")  # type: ignore[arg-type]


def mark(ledger: int) -> Mark:
    return Mark(Side.RIGHT, None, closed(ledger), None, ledger, ledger - 1)


def was(modified: int, value: tuple[str, ...] | str = ("1",)) -> EntryAsOf:
    return EntryAsOf(RULE, KEY, value, modified, None, modified + 1, closed(modified + 1))  # type: ignore[arg-type]


def announcements(*inputs: EntryEvent | EntryRead | Mark) -> tuple[Announcements, list[Announced]]:
    known = Announcements()
    return known, [found for each in inputs if (found := known.take(each)) is not None]


def test_a_read_answers_the_oldest_event_of_its_key_since_the_mark_before() -> None:
    _, found = announcements(
        event(3), event(3, "GB"), event(5), read(5, 6), mark(6), event(7), read(7, 7), mark(7)
    )

    assert [(each.entry.modified_ledger, each.ledger, each.at) for each in found] == [
        (5, 3, closed(3)), (7, 7, closed(7)),
    ]  # fmt: skip
    assert found[0].entry == EntryAsOf(RULE, KEY, ("1",), 5, None, 6, closed(6))


def test_an_event_whose_entry_could_not_be_read_is_forgotten_with_its_mark() -> None:
    _, found = announcements(event(3), mark(3), event(7), read(7, 7))

    assert [each.ledger for each in found] == [7]


def test_a_read_whose_event_was_not_met_speaks_of_its_own_ledger() -> None:
    _, found = announcements(read(7, 9)._replace(modified_at=closed(7)), read(8, 9))

    assert [(each.ledger, each.at) for each in found] == [(7, closed(7)), (8, 0)]


def test_a_read_that_no_event_caused_is_none() -> None:
    _, found = announcements(read(7, 9)._replace(event_id=None), read(-1, 9))

    assert found == []


def test_what_is_gone_is_gone_since_its_event() -> None:
    known, [found] = announcements(event(7), read(7, 8, ABSENT))

    assert (found.entry.value, found.entry.modified_ledger, found.ledger) == (ABSENT, 7, 7)
    assert not known.is_read(was(7)), "nobody has read what the entry was"


def test_what_was_read_is_known_and_what_only_an_event_told_of_is_not() -> None:
    known, _ = announcements(mark(1), event(3), event(5), read(5, 6), mark(6))

    assert known.is_read(was(5))
    assert not known.is_read(was(3))
    assert not known.is_read(was(5, ABSENT))
    assert known.silent_from(was(3)) is None


def test_a_change_between_the_marks_of_which_no_event_told_was_silent() -> None:
    known, _ = announcements(mark(1), mark(4), event(6), read(6, 6), mark(6))

    assert known.silent_from(was(4)) == closed(4) - 1, "the instant before it"
    assert known.silent_from(was(5)) == closed(4), "not marked by itself: behind the mark before"


def test_what_was_before_the_first_mark_may_have_been_told_of() -> None:
    known, _ = announcements(event(3), mark(3), mark(9))

    assert known.silent_from(was(2)) is None
    assert known.silent_from(was(3)) is None
    assert announcements()[0].silent_from(was(3)) is None


def test_after_an_hour_of_ledgers_changes_are_forgotten_and_silent_no_more() -> None:
    known, _ = announcements(mark(1), event(3), read(3, 3), mark(3), mark(4), mark(723), mark(730))

    assert not known.is_read(was(3))
    assert known.silent_from(was(3)) is None
    assert known.silent_from(was(8)) is None
    assert known.silent_from(was(725)) == closed(723)


def test_a_network_that_begins_anew_is_learned_anew() -> None:
    known, _ = announcements(mark(100), event(103), read(103, 103), mark(103), mark(2), mark(4))

    assert not known.is_read(was(103))
    assert known.silent_from(was(3)) == closed(2)

"""What happens to an open episode is read live before it is told, as its opening was: a record that is lost
while it is open must not make an update or an end wrong."""

from __future__ import annotations

from collections import Counter

import pytest

from app.detector.left import settle_read
from app.detector.model import ABSENT, UNKNOWN, EntryAsOf, RowAsOf, Side
from app.detector.settling import note_refuted
from app.detector.suspects import LIVE
from app.detector.timeline import EpisodeRecord, KeyState, LeftState, RowState, Version
from app.detector.values import derive_id
from app.detector.watermark import Watermark
from app.stream.state import decode_record, encode_record
from tests.support.detecting import EVERYTHING_SEEN, KEY, Story, agreed, rule_of, us

OLD, NEW, LATER = (100, "a"), (150, "a"), (170, "a")


def opened() -> Story:
    """The entry moved at 200 s and the row did not: open since 232 s, the entry read live as of 260 s."""
    story = agreed(Story(rule_of(), confirmed=LIVE), OLD)
    story.entry(40, NEW)
    story.until(240)
    story.answer(241, {1: OLD}, 52, NEW, modified=40)
    story.until(260)
    assert story.lines == ["opened 03:52 limit"]
    return story


def was(value: tuple[int, str], modified: int, until: int) -> EntryAsOf:
    """What the ledger behind `until` says that the entry was."""
    return EntryAsOf("r", KEY, value, modified, us(modified * 5), until, us((until + 1) * 5) - 1)


def test_an_update_waits_for_a_live_read_of_its_own() -> None:
    story = opened()
    story.entry(60, LATER)
    story.until(340)
    assert story.lines[1:] == []
    [_, asked] = story.asked
    assert asked.episode == derive_id("r", KEY, us(232))
    assert (asked.not_before_us, asked.not_before_ledger) == (us(340) - 1, 71)
    assert asked.history_from_us == us(260), "what the entry was until then has been read"

    story.answer(341, {1: OLD}, 72, LATER, modified=60)
    story.until(350)
    assert story.lines[1:] == ["updated 05:00 limit"]
    assert [told.headers["drift_confirmed"] for told in story.told] == ["live", "live"]


def test_an_update_that_the_read_refutes_is_not_told() -> None:
    """The row had followed at 320 s, unheard, and the entry has moved on."""
    story = opened()
    story.entry(60, LATER)
    story.until(340)
    story.answer(341, {1: LATER}, 72, LATER, modified=60)
    story.until(350)
    story.answer(351, {1: LATER}, 74, LATER, modified=60)
    story.until(360)

    assert story.lines[1:] == ["resolved 05:41"]
    assert story.counts["withdrawn"] == 1
    assert [incident.cause for incident in story.incidents] == ["as_of"]


def test_an_end_waits_for_a_live_read_and_asks_for_all_that_was_not_read_yet() -> None:
    story = opened()
    story.row(400, NEW, OLD)
    story.until(440)
    assert story.lines[1:] == []
    assert story.asked[1].history_from_us == us(260)

    story.answer(441, {1: NEW}, 92, NEW, modified=40)
    story.until(450)
    assert story.lines[1:] == ["resolved 06:40"]
    assert story.told[-1].value["cause"] == "left_moved"


def test_an_end_that_the_read_refutes_leaves_the_episode_open() -> None:
    """The row was changed back at 420 s, unheard."""
    story = opened()
    story.row(400, NEW, OLD)
    story.until(440)
    story.answer(441, {1: OLD}, 92, NEW, modified=40)
    story.until(460)

    assert story.lines[1:] == []
    assert story.counts["withdrawn"] == 1


def test_an_end_that_went_unheard_is_declared_as_far_as_it_was_told_wrongly() -> None:
    """The entry was OLD, as the row, from 300 s on; then both moved on to LATER."""
    story = opened()
    story.entry(80, LATER)
    story.row(401, LATER, OLD)
    story.until(440)
    assert story.right_versions() == [(200, NEW), (400, LATER)], "kept until it has been read live"

    for statement in (was(NEW, 40, 59), was(OLD, 60, 79)):
        story.detector.observe(statement)
    story.answer(441, {1: LATER}, 92, LATER, modified=80)
    story.until(450)

    assert story.lines[1:] == ["resolved 06:40"]
    assert story.log.pieces[KEY, Side.RIGHT, us(300)] == us(400) - us(32)
    [incident] = story.incidents
    assert (incident.from_us, incident.until_us) == (us(300), us(400) - 1)


def test_what_an_entry_was_is_let_go_once_it_has_been_read_live() -> None:
    story = opened()
    story.entry(60, LATER)
    story.until(340)
    story.answer(341, {1: OLD}, 72, LATER, modified=60)
    story.until(345)
    story.until(380)

    assert story.right_versions() == [(300, LATER)]


def test_without_an_answer_an_update_is_told_when_the_time_is_up_and_says_so() -> None:
    story = opened()
    story.entry(60, LATER)
    story.until(340)
    for at in (1000, 1010, 1011):
        story.tick(at)

    assert story.lines[1:] == ["updated 05:00 limit"]
    assert [told.headers["drift_confirmed"] for told in story.told] == ["live", "timeout"]


def test_several_turns_by_the_time_of_the_read_are_confirmed_together() -> None:
    story = opened()
    story.entry(60, LATER)
    story.row(335, NEW, OLD)
    story.row(338, LATER, NEW)
    story.until(340)
    story.answer(341, {1: LATER}, 72, LATER, modified=60)
    story.until(380)

    assert story.lines[1:] == ["updated 05:00 limit", "updated 05:35 limit", "resolved 05:38"]
    assert len(story.asked) == 2


def test_how_far_the_past_of_the_entry_was_read_survives_a_restart() -> None:
    state = opened().detector.snapshot(KEY)
    assert state is not None
    assert state.record is not None
    assert state.record.checked == us(260)
    record, _ = decode_record(encode_record(state.record, None) or b"")
    assert record is not None
    assert record.checked == us(260)


def test_a_reopened_stretch_begins_to_be_checked_anew() -> None:
    story = opened()
    story.row(270, NEW, OLD)
    story.until(310)
    story.answer(311, {1: NEW}, 66, NEW, modified=40)
    story.until(320)
    story.row(330, LATER, NEW)
    story.until(345)
    assert story.lines[1:] == ["resolved 04:30"]
    assert story.asked[-1].history_from_us == us(330) - us(32)

    story.tick(1000)
    story.tick(1010)
    story.tick(1011)
    state = story.detector.snapshot(KEY)
    assert story.lines[2:] == ["reopened 05:30 limit"]
    assert state is not None
    assert state.record is not None
    assert state.record.checked == us(330) - us(32), "nothing was read"


@pytest.mark.parametrize("knows_the_event", [True, False])
def test_an_absence_says_since_when_only_where_its_own_event_has_come(knows_the_event: bool) -> None:
    """The read of an event was lost; then the entry goes, and the event of that has come, or has not."""
    story = agreed(Story(), OLD)
    story.event(40)
    if knows_the_event:
        story.event(60)
    story.read(60, ABSENT)
    story.until(305)

    held = story.right_versions()[-2:]
    assert held == [(200, UNKNOWN), (300, ABSENT)]


def test_an_absence_whose_ledger_is_later_than_its_event_began_at_some_time_before() -> None:
    story = agreed(Story(), OLD)
    story.event(40)
    story.read(60, ABSENT, read=64)
    story.until(325)

    assert story.right_versions()[-2:] == [(200, UNKNOWN), (320, ABSENT)]


def test_a_live_absence_does_not_say_since_when() -> None:
    story = agreed(Story(), OLD)
    story.event(40)
    story.entry_as_of(60, ABSENT)
    story.until(305)

    assert story.right_versions()[-2:] == [(200, UNKNOWN), (300, ABSENT)]


def test_a_past_that_nobody_had_looked_at_is_judged_by_what_it_was() -> None:
    """The entry was NEW from 200 s on, unheard, and LATER from 400 s: the key was quiet all the time."""
    story = agreed(Story(), OLD)
    story.until(440)
    for statement in (was(OLD, 9, 39), was(NEW, 40, 79)):
        story.detector.observe(statement)
    story.entry_as_of(88, LATER, modified=80)
    story.until(460)

    assert story.lines == ["opened 03:52 limit", "updated 06:40 limit"]
    assert story.log.pieces == {}


@pytest.mark.parametrize(
    ("later", "between"), [(LATER, [(0, UNKNOWN)]), (NEW, [(0, UNKNOWN), (us(310), NEW)])]
)
def test_a_read_that_is_settled_after_a_later_one_does_not_say_what_was_between_them(
    later: tuple[int, str], between: list[tuple[int, object]]
) -> None:
    left = LeftState(rows={1: RowState(5, [Version(0, 5, OLD, (5, 7, None))])})
    watermark, counts = Watermark(Side.LEFT, from_empty=True), Counter[str]()
    for at, value in ((320, later), (310, NEW)):
        read = RowAsOf("r", KEY, 1, value, EVERYTHING_SEEN, us(at))
        settle_read(left, read, watermark, lambda name: counts.update([name]))

    found = [(version.at, version.value) for version in left.rows[1].versions]
    assert found == [*between, (us(320), later)]


JUDGED, REACH = us(1000), us(1000) - us(32)
"""Up to when a key is judged, and what of the entry's past no other instant depends on any more."""


@pytest.mark.parametrize(
    ("side", "state", "since", "until"),
    [
        (Side.RIGHT, "resolved", REACH - 1, REACH),
        (Side.RIGHT, "resolved", REACH, None),
        (Side.RIGHT, "open", REACH - 1, REACH),
        (Side.RIGHT, "open", REACH, REACH + 1),
        (Side.RIGHT, "open", us(1012) - 1, us(1012)),
        (Side.RIGHT, "open", us(1012), None),
        (Side.LEFT, "resolved", JUDGED - 1, JUDGED),
        (Side.LEFT, "resolved", JUDGED, None),
        (Side.LEFT, "open", JUDGED, None),
    ],
)
def test_what_is_refuted_is_declared_as_far_as_it_was_judged_with(
    side: Side, state: str, since: int, until: int | None
) -> None:
    """What an entry was is judged with for `lag` more, and by an open episode `lead` ahead."""
    story = Story()
    record = EpisodeRecord(JUDGED, state, "e", us(900))
    story.detector.keys.live[KEY] = KeyState(record=record)
    note_refuted(story.rule, story.detector.keys, KEY, side, since)

    assert story.log.pieces == ({} if until is None else {(KEY, side, since): until})


def test_of_a_key_that_nothing_is_held_of_nothing_is_refuted() -> None:
    story = Story()
    note_refuted(story.rule, story.detector.keys, KEY, Side.LEFT, 0)
    assert story.log.pieces == {}

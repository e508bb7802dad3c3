"""Before an episode is told both sides of its key are read live: what confirms and what withdraws it."""

from __future__ import annotations

import pytest

from app.detector import suspects
from app.detector.detector import Detector
from app.detector.model import ABSENT, INFINITY, SECOND, Activation, Confirm, Mark, RowChange, Side, Snapshot
from app.detector.panel import Panel
from app.detector.suspects import LIVE
from app.detector.values import derive_id
from app.stream.state import decode_key, encode_left, encode_record, encode_right
from tests.support.detecting import KEY, Story, agreed, rule_of, us

OLD, NEW, LATER = (100, "a"), (150, "a"), (170, "a")


def suspected(**changes: object) -> Story:
    """The entry moved at 200 s and the row did not: a stretch begins at 232 s, found at T = 240 s."""
    story = agreed(Story(rule_of(**changes), confirmed=LIVE), OLD)  # type: ignore[arg-type]
    story.entry(40, NEW)
    story.until(240)
    return story


def test_a_suspect_is_asked_about_once_and_nothing_is_told() -> None:
    story = suspected()
    story.until(245)

    assert story.lines == []
    assert story.asked == [Confirm("r", KEY, derive_id("r", KEY, us(232)), us(240) - 1, 51, us(200))]


def test_reads_that_agree_with_what_is_held_confirm() -> None:
    story = suspected()
    story.answer(241, {1: OLD}, 52, NEW, modified=40)
    story.left_mark(240.5)
    assert story.lines == []
    story.left_mark(242)
    assert story.lines == []
    story.right_mark(52)

    assert story.lines == ["opened 03:52 limit"]
    assert story.told[0].headers["drift_confirmed"] == "live"
    assert story.told[0].value["episode"] == story.asked[0].episode
    assert not story.detector.suspects.waiting


def test_what_happened_meanwhile_is_told_in_order_once_confirmed() -> None:
    story = suspected()
    story.row(242, LATER, OLD)
    story.row(250, NEW, LATER)
    story.until(260)
    story.answer(261, {1: NEW}, 56, NEW, modified=40)
    story.until(270)

    assert story.lines == ["opened 03:52 limit", "updated 04:02 limit", "resolved 04:10"]
    assert {told.headers["drift_confirmed"] for told in story.told} == {"live"}


def test_a_read_that_proves_lost_input_withdraws() -> None:
    """The row had followed at 210 s, unheard."""
    story = suspected()
    story.detector.take_changed()
    story.answer(241, {1: NEW}, 52, NEW, modified=40)
    story.until(260)

    assert story.detector.take_changed().records == {KEY}
    assert story.lines == []
    assert [incident.cause for incident in story.incidents] == ["as_of"]
    assert story.counts["withdrawn"] == 1
    state = story.detector.snapshot(KEY)
    assert state is not None
    assert state.suspect is None


def test_an_entry_that_never_changed_withdraws_as_well() -> None:
    """The entry had moved back before the stretch began, unheard."""
    story = suspected()
    story.answer(241, {1: OLD}, 52, OLD, modified=42)
    story.until(260)

    assert story.lines == []
    assert story.counts["withdrawn"] == 1


def test_what_the_read_itself_shows_to_be_wrong_is_told_from_then_on() -> None:
    story = suspected()
    story.answer(241, {1: LATER}, 52, NEW, modified=40)
    story.until(260)

    assert story.counts["withdrawn"] == 1
    assert story.lines == ["opened 04:01 limit"]
    assert story.told[0].value["episode"] == derive_id("r", KEY, us(241))


def test_a_read_from_before_the_question_answers_nothing() -> None:
    story = suspected()
    [asked] = story.asked
    assert asked.not_before_us == us(240) - 1
    story.until(250)
    state = story.detector.snapshot(KEY)
    assert state is not None
    assert state.suspect is not None
    state.suspect.not_before = (us(249), 52)
    story.answer(248, {1: OLD}, 51, NEW, modified=40)
    story.until(270)

    assert story.lines == []


def test_a_row_that_cannot_be_compared_spoils_the_answer_of_its_snapshot() -> None:
    story = suspected()
    story.row(241, LATER, OLD, tx=77)
    blind = Snapshot(1, 1, frozenset())
    story.row_as_of(242, OLD, row=2, seen=blind)
    story.detector.keys.live[KEY].left.rows[2].versions[:] = [  # type: ignore[union-attr]
        version._replace(trace=(1, 99, None), at=us(230))
        for version in story.detector.keys.live[KEY].left.rows[2].versions  # type: ignore[union-attr]
    ]
    story.row_as_of(242, ABSENT, row=None, besides=(1, 2))
    story.entry_as_of(52, NEW, modified=40)
    story.until(260)

    state = story.detector.snapshot(KEY)
    assert state is not None
    assert state.suspect is not None
    assert (state.suspect.spoiled_at, state.suspect.left_at) == (us(242), None)


def test_a_second_row_that_the_snapshot_does_not_know_was_deleted_unheard() -> None:
    story = agreed(Story(confirmed=LIVE), OLD)
    story.row(200, OLD, ABSENT, row=2)
    story.until(240)
    assert [asked.episode for asked in story.asked] == [derive_id("r", KEY, us(200))]
    story.answer(241, {1: OLD}, 52, OLD, modified=20)
    story.until(260)

    assert story.lines == []
    assert story.counts["withdrawn"] == 1


def test_without_an_answer_it_is_told_when_the_time_is_up_and_that_is_durable() -> None:
    story = suspected()
    assert story.detector.take_changed().records == {KEY}, "that it is one survives a restart"
    story.tick(1000)
    story.tick(1009)
    assert story.detector.take_changed().records == set()
    assert story.tick(1010) == []
    assert story.detector.take_changed().records == {KEY}, "and so does that its time is up"
    story.tick(1011)

    assert story.lines == ["opened 03:52 limit"]
    assert story.told[0].headers["drift_confirmed"] == "timeout"
    assert story.counts["timed_out"] == 1


def test_a_suspect_that_heals_by_knowledge_is_withdrawn() -> None:
    """Lost input was declared for the stretch."""
    story = suspected()
    story.gap(Side.LEFT, 190, 239)
    story.detector.take_changed()
    story.until(250)

    assert story.detector.take_changed().records == {KEY}, "that it is none any more survives a restart"
    assert story.lines == []
    assert story.counts["withdrawn"] == 1


def test_a_reopening_is_confirmed_too_and_keeps_its_episode() -> None:
    story = suspected()
    story.answer(241, {1: OLD}, 52, NEW, modified=40)
    story.until(245)
    story.row(250, NEW, OLD)
    story.until(290)
    assert story.lines == ["opened 03:52 limit"]
    story.answer(291, {1: NEW}, 62, NEW, modified=40)
    story.until(300)
    assert story.lines[1:] == ["resolved 04:10"]

    story.row(310, LATER, NEW)
    story.until(330)
    story.answer(331, {1: LATER}, 70, NEW, modified=40)
    story.until(345)
    assert story.lines[2:] == ["reopened 05:10 limit"]
    assert [asked.episode for asked in story.asked] == [derive_id("r", KEY, us(232))] * 3


def test_more_than_a_thousand_are_a_storm_and_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "MOST", 2)
    story = Story(confirmed=LIVE)
    for number in range(4):
        story.row(100, OLD, ABSENT, key=f"G{number}")
    story.until(140)

    assert len(story.asked) == 2
    assert story.counts["confirmed_storm"] == 2
    assert [told.headers["drift_confirmed"] for told in story.told] == ["storm", "storm"]


def test_a_thousand_are_none_yet() -> None:
    story = Story(confirmed=LIVE)
    for number in range(1001):
        story.row(100, OLD, ABSENT, key=f"G{number}")
    story.until(140)

    assert len(story.asked) == story.counts["suspected"] == 1000
    assert story.counts["confirmed_storm"] == 1


def test_a_suspect_that_is_told_is_not_looked_at_with_every_mark_any_more() -> None:
    story = suspected()
    story.answer(241, {1: OLD}, 52, NEW, modified=40)
    story.until(250)
    looks = story.counts["judged"]
    for at in (300, 400):
        story.until(at)

    assert story.counts["judged"] == looks


def test_a_detector_that_never_asks_says_how_it_tells() -> None:
    story = agreed(Story(confirmed="off"), OLD)
    story.entry(40, NEW)
    story.until(240)

    assert story.asked == []
    assert story.told[0].headers["drift_confirmed"] == "off"


def test_a_suspect_survives_a_restart_with_the_half_of_its_answer() -> None:
    story = suspected()
    story.answer(241, {1: OLD}, 60, NEW, modified=40)
    story.detector.take_changed()
    story.left_mark(242)
    assert story.detector.take_changed() == ({KEY}, set(), {KEY})
    held = story.detector.snapshot(KEY)
    assert held is not None
    assert held.left is not None
    assert held.right is not None
    stored = (encode_left(held.left), encode_right(held.right), encode_record(held.record, held.suspect))

    detector = Detector(story.rule, from_empty=True, confirmed=LIVE)
    detector.restore_partition(story.detector.partition_state())  # type: ignore[arg-type]
    state = decode_key(*stored)
    assert state is not None
    detector.restore(KEY, state)
    assert list(detector.suspects.waiting) == [KEY]

    effects = detector.advance(Mark(Side.RIGHT, "net", us(300), None, 60, None))
    assert [type(effect).__name__ for effect in effects] == ["Transition"]


def test_the_other_half_of_an_answer_survives_a_restart_as_well() -> None:
    story = suspected()
    story.answer(250, {1: OLD}, 50, NEW, modified=40)
    story.entry_as_of(52, NEW, modified=40)
    story.detector.take_changed()
    story.right_mark(52)
    state = story.detector.snapshot(KEY)
    assert state is not None
    assert state.suspect is not None
    assert state.suspect.right_at == us(260)
    assert story.detector.take_changed() == (set(), {KEY}, {KEY})


def test_a_key_that_is_gone_waits_for_nothing() -> None:
    """A read of a key that is no suspect is only looked at with its mark; a lost state harms nobody."""
    story = suspected()
    del story.detector.keys.live[KEY]
    story.tick(1000)
    story.tick(1010)
    story.tick(1020)

    assert story.lines == []


def test_a_rule_says_how_long_to_wait() -> None:
    story = suspected(confirm_us=3 * SECOND)
    story.tick(1000)
    story.tick(1003)
    story.tick(1004)

    assert len(story.told) == 1


def test_a_rule_that_waits_for_nothing_is_timed_out_by_the_next_tick() -> None:
    story = suspected(confirm_us=None)
    for _ in range(3):
        story.tick(1000)

    assert [told.headers["drift_confirmed"] for told in story.told] == ["timeout"]


def test_a_change_of_another_key_asks_nothing() -> None:
    story = suspected()
    story.take(story.detector.observe(RowChange("r", "GB", 9, 500, us(241), ABSENT, OLD, 5, None)))

    assert len(story.asked) == 1


def test_a_stretch_that_proves_to_begin_later_is_doubted_where_nothing_was_forgotten() -> None:
    """The row had followed in time, unheard, and that is learned while the episode is open."""
    story = agreed(Story(confirmed="off"), OLD)
    story.entry(40, NEW)
    story.until(240)
    assert story.lines == ["opened 03:52 limit"]
    story.entry_as_of(52, OLD, modified=42)
    story.until(300)

    assert story.lines == ["opened 03:52 limit", "resolved 04:00"]
    assert story.told[-1].value["cause"] == "input_lost"


def test_a_version_that_ends_resolves_what_is_open_and_forgets_what_was() -> None:
    story = agreed(Story(confirmed="off"), OLD)
    story.entry(40, NEW)
    story.until(240)
    story.detector.ends_at = us(250)
    assert not story.detector.is_over
    story.until(300)
    assert story.detector.is_over
    effects = story.take(story.detector.end([KEY, "unheard of"]))

    assert story.lines == ["opened 03:52 limit", "resolved 04:10"]
    assert story.told[-1].value["cause"] == "rule_changed"
    assert [type(effect).__name__ for effect in effects] == ["Transition", "EpisodeForgotten"]


def test_a_version_is_not_over_while_a_stretch_of_its_time_waits_to_be_confirmed() -> None:
    story = suspected()
    story.detector.ends_at = us(250)
    story.until(300)
    assert story.detector.verified_through == us(250) - 1
    assert not story.detector.is_over

    for at in (1000, 1010, 1011):
        story.tick(at)
    assert story.lines == ["opened 03:52 limit"]
    assert story.detector.is_over


def test_a_version_judges_nothing_before_the_one_before_it_is_over() -> None:
    story = agreed(Story(confirmed="off"), OLD)
    story.detector.is_held_back = True
    held_at = story.detector.verified_through
    story.entry(40, NEW)
    story.until(300)
    assert (story.lines, story.detector.verified_through) == ([], held_at)
    again = Detector(rule_of(), from_empty=True)
    again.restore_partition(story.detector.partition_state())  # type: ignore[arg-type]
    assert again.verified_through == held_at

    story.take(story.detector.take_over())
    assert story.lines == ["opened 03:52 limit"]
    assert story.detector.verified_through == us(300) - 1
    story.until(310)
    assert story.detector.verified_through == us(310) - 1


def test_a_panel_takes_no_notice_of_an_activation() -> None:
    story = agreed(Story(confirmed="off"), OLD)
    panel = Panel([story.detector])

    assert panel.take(Activation("r", 2, "ab", us(300), "{}")) == []
    assert story.detector.ends_at == INFINITY

"""What is judged when, what is forgotten, what is kept, and who is fed."""

from __future__ import annotations

import pytest

from app.detector.detector import Detector, Held
from app.detector.keys import LIVE_STATES
from app.detector.model import (
    ABSENT,
    INFINITY,
    OUT,
    UNKNOWN,
    Blind,
    Gap,
    Incident,
    Mark,
    Mute,
    RowChange,
    Seeded,
    Side,
)
from app.detector.panel import Panel
from app.detector.schedule import Schedule
from app.detector.segments import Segment
from app.detector.timeline import BIRTH, KeyState
from app.detector.unverifiable import UnverifiableLog
from tests.support.detecting import KEY, Story, agreed, rule_of, us

WEEK = 7 * 86_400


def test_nothing_after_the_earlier_mark_is_judged() -> None:
    story = agreed(Story())
    story.row(200, (7, "a"), (100, "a"))
    story.left_mark(300)
    story.right_mark(42)
    assert story.lines == []
    assert story.detector.verified_through == us(198)
    story.right_mark(43)
    assert story.lines == ["opened 03:20 limit"]


def test_each_version_that_waits_is_judged_in_its_own_time() -> None:
    story = agreed(Story())
    story.row(200, (7, "a"), (100, "a"))
    story.row(203, (100, "a"), (7, "a"))
    story.row(220, (8, "a"), (100, "a"))
    story.row(260, (9, "a"), (8, "a"))
    story.right_mark(43)
    story.left_mark(300)
    story.right_mark(47)
    assert story.lines == ["opened 03:20 limit", "resolved 03:23", "reopened 03:40 limit"]


def test_a_row_that_leads_by_more_than_lead_and_skew_is_drift_until_then() -> None:
    story = Story()
    story.row(101, (100, "a"), ABSENT)
    story.entry(40, (100, "a"))
    story.until(180)
    story.until(200)
    assert story.lines == ["opened 01:41 existence", "resolved 03:08"]


def test_a_row_out_of_scope_is_looked_at_when_it_comes_back() -> None:
    story = agreed(Story())
    story.row(200, OUT, (100, "a"))
    story.row(260, (7, "a"), OUT)
    story.row(261, OUT, (7, "a"))
    story.row(270, (8, "a"), OUT)
    for at in (220, 240, 262, 300):
        story.until(at)
    assert story.lines == ["opened 04:30 limit"]


def test_a_closed_union_refuses_a_stranger() -> None:
    detector = Detector(rule_of())
    with pytest.raises(AssertionError):
        detector.observe("a stranger")  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        detector.control("a stranger")  # type: ignore[arg-type]


def test_a_key_that_nobody_holds_begins_empty() -> None:
    detector = Detector(rule_of(), from_empty=True, held=Held(lambda key: None, tuple))
    detector.observe(RowChange("r", KEY, 1, 1, us(5), ABSENT, (1, "a"), 1))
    assert list(detector.states) == [KEY]


def test_a_version_that_begins_just_after_t_is_judged_in_its_time() -> None:
    story = agreed(Story())
    story.entry(41, (100, "a"))
    story.row(220, (100, "a"), (100, "a"))
    story.row(238.000001, (7, "a"), (100, "a"))
    story.left_mark(300)
    for ledger in range(42, 60):
        story.right_mark(ledger)
    assert story.lines == ["opened 03:58.000001 limit"]


def test_a_quiet_key_in_agreement_has_one_version_a_side_and_no_date() -> None:
    story = agreed(Story())
    assert len(story.left_versions()) == len(story.right_versions()) == 1
    judged = story.counts["judged"]
    story.until(10_000)
    assert story.counts["judged"] == judged


def test_while_a_horizon_is_ahead_of_t_nothing_is_judged_and_nothing_dropped() -> None:
    story = agreed(Story())
    state = story.detector.snapshot(KEY)
    assert state is not None
    assert state.left is not None
    state.left.horizon = us(250)
    story.row(200, (7, "a"), (100, "a"))
    story.until(240)
    assert story.lines == []
    assert len(story.left_versions()) == 2
    story.until(270)
    assert story.lines == ["opened 04:10 limit"]


def test_a_key_absent_on_both_sides_is_forgotten_after_the_retention() -> None:
    story = agreed(Story())
    story.row(200, ABSENT, (100, "a"))
    story.entry(40, ABSENT)
    story.until(300)
    story.until(200 + WEEK)
    assert KEY in story.detector.states
    story.until(201 + WEEK)
    assert story.detector.states == {}
    assert story.counts["forgotten"] == 1


def test_a_key_that_only_the_left_ever_held_is_forgotten_too() -> None:
    story = Story()
    story.row(101, (1, "a"), ABSENT)
    story.row(102, ABSENT, (1, "a"))
    story.until(120)
    story.until(200 + WEEK)
    assert story.detector.states == {}


def test_a_key_is_not_forgotten_while_a_side_is_not_seeded() -> None:
    story = Story(from_empty=False)
    story.row(101, ABSENT)
    story.until(120)
    story.until(200 + WEEK)
    assert KEY in story.detector.states


def test_a_key_that_waits_for_a_seed_has_no_date() -> None:
    story = Story(from_empty=False)
    story.row(101, (1, "a"))
    story.row(103, (2, "a"))
    story.until(120)
    judged = story.counts["judged"]
    story.until(10_000)
    assert story.counts["judged"] == judged


def test_a_key_that_waits_for_a_seed_for_too_long_forgets() -> None:
    story = Story(from_empty=False)
    for number in range(80):
        story.row(101 + number, (number, "a"))
    story.until(300)
    assert len(story.left_versions()) == 1


def test_a_row_that_is_absent_as_a_fact_waits_for_the_other_side() -> None:
    story = Story(from_empty=False)
    story.row_as_of(101, (1, "a"))
    story.row(110, ABSENT, (1, "a"))
    story.until(105)
    story.seeded(Side.LEFT, 102)
    story.until(200 + WEEK)
    assert KEY in story.detector.states


def test_a_key_is_not_forgotten_while_its_entry_lives() -> None:
    story = Story(from_empty=False)
    story.entry(20, (100, "a"))
    story.until(200 + WEEK)
    assert KEY in story.detector.states


def test_a_row_that_ended_beside_a_living_one_is_forgotten_after_the_retention() -> None:
    story = agreed(Story())
    story.row(160, ABSENT, (100, "a"))
    story.row(160, (100, "a"), ABSENT, row=2)
    story.until(200)
    state = story.detector.snapshot(KEY)
    assert state is not None
    assert state.left is not None
    assert set(state.left.rows) == {1, 2}
    story.until(161 + WEEK)
    assert set(state.left.rows) == {2}
    assert story.lines == []


def test_a_key_known_on_one_side_is_looked_at_once_the_other_is_seeded() -> None:
    story = Story(from_empty=False)
    story.entry(20, (100, "a"))
    story.until(200)
    story.seeded(Side.LEFT, 150)
    story.until(201)
    assert story.lines == ["opened 02:30 existence"]


def test_a_key_known_on_the_left_is_looked_at_once_the_right_is_seeded() -> None:
    story = Story(from_empty=False)
    story.row(140, (100, "a"))
    story.until(200)
    story.seeded(Side.RIGHT, 150)
    story.until(201)
    assert story.lines == ["opened 03:02 existence"]


def test_a_sweep_after_a_loss_looks_at_every_key_that_is_held() -> None:
    held = {KEY: agreed(Story()).detector.snapshot(KEY), "GB": KeyState()}
    detector = Detector(rule_of(), from_empty=True, held=Held(held.get, lambda: held))
    detector.control(Gap(Side.LEFT, None, us(160), us(170), "offsets"))
    detector.advance(Mark(Side.LEFT, None, us(300)))
    detector.control(Seeded("r", Side.LEFT, us(180), us(190)))

    effects = [
        effect for ledger in (60, 70) for effect in detector.advance(Mark(Side.RIGHT, None, us(ledger * 5)))
    ]

    assert [effect.ce_time[14:] for effect in effects] == ["03:10Z"]  # type: ignore[union-attr]


def test_states_that_can_be_fetched_again_are_let_go_when_there_are_many() -> None:
    detector = Detector(rule_of(), held=Held(lambda key: None, tuple))
    for number in range(LIVE_STATES + 1):
        detector.restore(str(number), KeyState())
    detector.step_done()
    assert detector.states == {}


def test_states_that_can_not_be_fetched_again_are_kept() -> None:
    detector = Detector(rule_of())
    for number in range(LIVE_STATES + 1):
        detector.restore(str(number), KeyState())
    detector.step_done()
    assert len(detector.states) == LIVE_STATES + 1


def test_what_changed_is_told_once() -> None:
    story = agreed(Story())
    assert story.detector.take_changed().left == {KEY}
    assert story.detector.take_changed() == (set(), set(), set())


def test_the_partition_s_state_is_taken_up_again() -> None:
    story = agreed(Story())
    story.detector.control(Mute("r", KEY, 0, INFINITY, "a person said so"))

    again = Detector(rule_of(), from_empty=True)
    again.restore_partition(story.detector.partition_state())

    assert again.watermarks() == story.detector.watermarks()
    assert again.verified_through == story.detector.verified_through
    assert again.partition_state() == story.detector.partition_state()


def test_a_restored_key_goes_on_where_it_was() -> None:
    story = agreed(Story())
    story.row(200, (7, "a"), (100, "a"))
    again = Detector(rule_of(), from_empty=True)
    again.restore_partition(story.detector.partition_state())
    state = story.detector.snapshot(KEY)
    assert state is not None
    again.restore(KEY, state)

    again.advance(Mark(Side.LEFT, None, us(220)))
    [told] = again.advance(Mark(Side.RIGHT, None, us(230)))

    assert told.ce_time[14:] == "03:20Z"  # type: ignore[union-attr]


def test_silence_of_a_side_is_told_by_ticks() -> None:
    detector = Detector(rule_of())
    detector.tick(0)
    assert detector.tick(us(61)) == [Blind("r", Side.LEFT, 0), Blind("r", Side.RIGHT, 0)]


def test_a_lost_read_is_one_incident() -> None:
    story = agreed(Story())
    story.row_as_of(160, (9, "x"))
    story.until(161)
    assert story.incidents == [
        Incident("r", KEY, "as_of", Side.LEFT, us(101), us(160), "row is not what was held")
    ]
    assert story.counts["lost"] == 1


def test_a_read_fills_what_a_record_waits_for() -> None:
    story = agreed(Story())
    story.entry(40, (300, "a"))
    story.until(260)
    story.event(60)
    story.read(60, (100, "a"))
    story.until(320)
    assert story.lines == ["opened 03:52 limit", "resolved 04:48"]


# ---- parts


def test_a_schedule_keeps_the_earlier_date() -> None:
    schedule = Schedule()
    schedule.put("a", 5)
    schedule.put("a", 9)
    schedule.put("a", 3)
    schedule.put("b", 4)
    assert (len(schedule), schedule.has_due(2), schedule.has_due(3)) == (2, False, True)
    assert list(schedule.take_due(5)) == ["a", "b"]
    assert (len(schedule), schedule.has_due(9)) == (0, False)


def test_a_panel_feeds_marks_and_gaps_by_source_and_the_rest_by_rule() -> None:
    mine, other = (
        Detector(type(rule_of())(name, 1, (), left_source=source, right_source=None))
        for name, source in (("r", "db"), ("q", "other"))
    )
    panel = Panel([mine, other])
    panel.take(Mark(Side.LEFT, "db", 5))
    panel.take(Mark(Side.LEFT, None, 3))
    panel.take(Mark(Side.RIGHT, "net", 7))
    assert (mine.watermarks(), other.watermarks()) == ((5, 7), (3, 7))
    assert len(panel.take(Gap(Side.RIGHT, "net", 8, 9, "retention"))) == 2
    for rule in ("r", "nobody"):
        panel.take(Seeded(rule, Side.LEFT, 1))
        panel.take(Mute(rule, None, 0, 1, ""))
        panel.take(RowChange(rule, KEY, 1, 1, 6, ABSENT, (), 1))
    assert list(mine.states) == [KEY]
    assert len(mine.mutes) == 1
    assert other.states == {}


def test_the_log_holds_unknown_pieces_that_mattered() -> None:
    story = Story(from_empty=False)
    story.row(101, (1, "a"))
    story.until(120)
    story.entry_as_of(26, (1, "a"))
    story.until(180)
    story.detector.finish_log()
    assert story.log.pieces == {
        (KEY, Side.LEFT, -INFINITY): us(101),
        (KEY, Side.RIGHT, -INFINITY): us(132),
    }


def test_the_log_says_of_what_is_unknown_still_that_it_has_no_end() -> None:
    story = Story(from_empty=False)
    story.row(101, (1, "a"))
    story.until(120)
    story.detector.finish_log()
    assert story.log.pieces[KEY, Side.RIGHT, -INFINITY] == INFINITY
    story.detector.states.clear()
    story.detector.finish_log()


def test_another_log_takes_over_from_the_one_before() -> None:
    story, log = Story(from_empty=False), UnverifiableLog()
    story.row(101, (1, "a"))
    story.detector.keep_log(log)
    story.until(120)
    assert story.log.pieces == {}
    assert log.pieces.keys() == {(KEY, Side.LEFT, -INFINITY), (KEY, Side.RIGHT, -INFINITY)}


def test_a_piece_that_begins_after_what_is_judged_is_not_in_the_log() -> None:
    log = UnverifiableLog()
    story = agreed(Story())
    story.event(60)
    state = story.detector.snapshot(KEY)
    assert state is not None
    assert state.right is not None
    assert state.right.versions[-1].value == UNKNOWN
    log.note(
        KEY, ([BIRTH], state.right.versions), (us(150), us(162)), [Segment(0, 1, "unknown", 0, BIRTH, BIRTH)]
    )
    assert log.pieces == {}


def test_a_detector_without_a_log_has_none_to_finish() -> None:
    detector = Detector(rule_of())
    detector.finish_log()
    assert detector.counts == {}

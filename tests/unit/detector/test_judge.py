"""One look at a key: what it decides, makes durable and forgets, and when the next one is due."""

from __future__ import annotations

import pytest

from app.detector.detector import Detector
from app.detector.model import ABSENT, INFINITY, UNKNOWN, Exemption, Mark, RowChange, Side
from app.detector.suspects import LIVE
from app.detector.timeline import EpisodeRecord, KeyState
from tests.support.detecting import KEY, Story, agreed, drifting, look_again, rule_of, us

WEEK = 7 * 86_400
MICRO = 0.000001


def excused(*spans: tuple[float, float]) -> Story:
    """All of the key is exempt in these spans."""
    exemptions = tuple(Exemption(KEY, frozenset(), us(start), us(end), "known") for start, end in spans)
    return Story(rule_of(exemptions=exemptions))


def state_of(story: Story) -> KeyState:
    state = story.detector.snapshot(KEY)
    assert state is not None
    return state


def record_of(story: Story) -> EpisodeRecord:
    record = state_of(story).record
    assert record is not None
    return record


# ---- when a key is looked at


def test_a_key_is_looked_at_when_a_change_may_be_drift_and_not_before() -> None:
    story = agreed(Story())
    story.row(200, (7, "a"), (100, "a"))
    look_again(story, 190)
    looks = story.counts["judged"]
    for at in (195, 202 - MICRO):
        story.until(at)
    assert story.counts["judged"] == looks
    story.until(202)
    assert story.counts["judged"] == looks + 1
    assert story.lines == ["opened 03:20 limit"]


@pytest.mark.parametrize("horizon", [240, 250])
def test_a_key_that_was_judged_ahead_of_t_is_looked_at_when_t_has_come_to_it(horizon: float) -> None:
    story = agreed(Story())
    left = state_of(story).left
    assert left is not None
    left.horizon = us(horizon)
    story.row(200, (7, "a"), (100, "a"))
    story.until(240)
    looks = story.counts["judged"]
    story.until(240.1)
    assert story.counts["judged"] == looks + (horizon == 240)
    story.until(270)
    assert story.lines == [f"opened 04:{horizon - 240:02.0f} limit"]


def test_a_read_that_waits_is_looked_at_once_its_mark_has_come_and_not_before() -> None:
    story = agreed(Story())
    story.entry_as_of(80, (100, "a"), modified=20)
    look_again(story, 300)
    looks = story.counts["judged"]
    story.until(388)
    assert (story.counts["judged"], story.counts["as_of_confirmed"]) == (looks, 0)
    story.until(388 + MICRO)
    assert (story.counts["judged"], story.counts["as_of_confirmed"]) == (looks + 1, 1)
    story.row_as_of(500, (100, "a"))
    look_again(story, 450)
    looks = story.counts["judged"]
    story.until(500)
    assert story.counts["judged"] == looks
    story.until(500 + MICRO)
    assert (story.counts["judged"], story.counts["as_of_confirmed"]) == (looks + 1, 2)


def test_a_key_whose_entry_has_moved_is_looked_at_once_more_to_forget() -> None:
    story = agreed(Story())
    story.entry(40, (300, "a"))
    story.row(205, (300, "a"), (100, "a"))
    look_again(story, 215)
    looks = story.counts["judged"]
    for at in (220, 232):
        story.until(at)
    assert (story.counts["judged"], len(story.right_versions())) == (looks, 2)
    story.until(232 + MICRO)
    assert (story.counts["judged"], len(story.right_versions())) == (looks + 1, 1)


def test_a_quiet_key_has_no_date() -> None:
    story = agreed(Story())
    look_again(story, 500)
    assert len(story.detector._schedule) == 0


# ---- what is kept, and what is durable


@pytest.mark.parametrize(("changes", "kept"), [(62, 63), (63, 1)])
def test_so_many_versions_wait_for_the_seed_of_the_other_side(changes: int, kept: int) -> None:
    story = Story(from_empty=False)
    for number in range(changes):
        story.row(101 + number, (number, "a"))
    story.until(300)
    assert len(story.left_versions()) == kept


def test_what_is_forgotten_of_either_side_is_durable() -> None:
    story = agreed(Story())
    story.entry(40, (300, "a"))
    story.row(205, (300, "a"), (100, "a"))
    story.detector.take_changed()
    story.until(300)
    assert story.detector.take_changed() == ({KEY}, {KEY}, set())


def test_how_far_an_open_episode_is_judged_is_durable() -> None:
    story = drifting(Story())
    story.detector.take_changed()
    look_again(story, 300)
    assert record_of(story).judged == us(300)
    assert story.detector.take_changed().records == {KEY}


def test_what_a_record_says_is_judged_is_not_judged_again() -> None:
    story = drifting(Story())
    story.entry(60, (100, "a"))
    story.until(320)
    look_again(story, 325)
    assert story.lines == ["opened 03:52 limit", "resolved 04:48"]


def test_transitions_are_counted_and_how_each_was_confirmed() -> None:
    story = drifting(Story())
    story.row(270, (100, "b"), (100, "a"))
    story.row(280, (300, "a"), (100, "b"))
    story.until(300)
    counted = {name: story.counts[name] for name in ("opened", "updated", "resolved", "confirmed_replay")}
    assert counted == {"opened": 1, "updated": 1, "resolved": 1, "confirmed_replay": 3}
    assert story.detector.open_by_severity == {}


def test_an_opening_that_is_told_was_not_withdrawn() -> None:
    story = agreed(Story(confirmed=LIVE))
    story.entry(40, (300, "a"))
    story.until(240)
    story.answer(241, {1: (100, "a")}, 52, (300, "a"), modified=40)
    story.until(250)
    assert story.lines == ["opened 03:52 limit"]
    assert story.counts["withdrawn"] == 0


# ---- what is excused, and what is too short


def test_a_stretch_that_is_excused_from_the_first_instant_looked_at_is_counted() -> None:
    """The row's older versions went with a look that ended where its present one begins."""
    story = agreed(excused((0, 1000)))
    story.row(200, (7, "a"), (100, "a"))
    look_again(story, 200)
    assert story.left_versions() == [(200, (7, "a"))]
    story.until(240)
    assert story.counts["exempt"] == 1


def test_an_excused_stretch_begins_where_the_key_was_in_sync_before() -> None:
    story = agreed(excused((0, 1000)))
    story.row(200, (100, "a"), ABSENT, row=2)
    look_again(story, 200)
    assert story.left_versions(row=2) == [(200, (100, "a"))]
    assert story.counts["exempt"] == 0
    story.until(240)
    assert story.counts["exempt"] == 1


def test_an_excused_stretch_that_is_not_decided_is_counted_when_it_is() -> None:
    exemption = Exemption(KEY, frozenset(), us(250), INFINITY, "known")
    story = drifting(Story(rule_of(hysteresis_us=us(20), exemptions=(exemption,))))
    assert story.counts["exempt"] == 0
    story.until(280)
    assert story.lines == ["opened 03:52 limit", "resolved 04:10"]
    assert story.counts["exempt"] == 1


@pytest.mark.parametrize("has_row", [True, False])
def test_what_was_counted_is_not_judged_again_and_that_is_durable(has_row: bool) -> None:
    """Between two exemptions a second of drift is left: too short, and nothing else changes."""
    story = excused((0, 240), (241, 1000))
    if has_row:
        agreed(story).entry(40, (300, "a"))
    else:
        story.entry(20, (100, "a"))
    look_again(story, 236)
    story.detector.take_changed()
    story.until(260)
    changed = story.detector.take_changed()
    assert (changed.left, changed.right) == (({KEY}, set()) if has_row else (set(), {KEY}))
    for at in (270, 280):
        look_again(story, at)
    assert (story.counts["transient"], story.counts["exempt"]) == (1, 2)


# ---- burying, forgetting, ending


def resolved(story: Story) -> Story:
    """Drift from 232 s to 270 s; its record goes when 870 s are judged."""
    drifting(story).row(270, (300, "a"), (100, "a"))
    story.until(300)
    return story


def test_a_stretch_at_the_last_instant_of_reopen_finds_the_record() -> None:
    story = resolved(Story())
    story.until(870)
    story.row(870, (7, "a"), (300, "a"))
    story.until(900)
    assert story.lines[2:] == ["reopened 14:30 limit"]


def test_a_record_that_goes_is_durable_once_and_its_key_is_looked_at_again() -> None:
    story = resolved(Story())
    story.detector.take_changed()
    looks = story.counts["judged"]
    story.right_mark(180)
    story.detector.advance(Mark(Side.LEFT, "db", us(872) - 1))
    assert story.detector.take_changed().records == {KEY}
    assert record_of(story).until == us(270)
    story.detector.step_done()
    assert state_of(story).record is None
    assert story.detector.take_changed().records == {KEY}
    assert story.counts["judged"] == looks + 1
    story.until(873)
    assert story.counts["judged"] == looks + 2

    state_of(story).record = again = EpisodeRecord(us(873), "resolved", "", us(232))
    again.until = us(270)
    assert story.detector.step_done() == []


def test_a_row_that_ended_is_forgotten_when_the_retention_has_passed_and_not_before() -> None:
    story = agreed(Story())
    story.row(160, ABSENT, (100, "a"))
    story.row(160, (100, "a"), ABSENT, row=2)
    story.until(200)
    look_again(story, 160 + WEEK + MICRO)
    left = state_of(story).left
    assert left is not None
    assert set(left.rows) == {1, 2}
    story.detector.take_changed()
    story.until(160 + WEEK + 2 * MICRO)
    assert set(left.rows) == {2}
    assert story.detector.take_changed().left == {KEY}


def test_a_key_that_ended_is_forgotten_when_the_retention_has_passed_and_not_before() -> None:
    story = agreed(Story())
    story.row(210, ABSENT, (100, "a"))
    story.entry(40, ABSENT)
    story.until(300)
    look_again(story, 210 + WEEK + MICRO)
    assert KEY in story.detector.states
    story.detector.take_changed()
    story.until(210 + WEEK + 2 * MICRO)
    assert KEY not in story.detector.states
    assert story.detector.take_changed() == ({KEY}, {KEY}, set())


@pytest.mark.parametrize("seeded", list(Side))
def test_a_key_is_not_forgotten_while_only_one_side_is_seeded(seeded: Side) -> None:
    story = Story(from_empty=False)
    story.until(150)
    story.seeded(seeded, 100)
    story.row(160, (1, "a"), ABSENT)
    story.row(161, ABSENT, (1, "a"))
    story.entry(40, ABSENT)
    look_again(story, 300)
    look_again(story, 300 + WEEK)
    assert KEY in story.detector.states


def test_what_ends_with_its_version_is_counted_durable_and_shows_what_was_in_force() -> None:
    story = drifting(Story())
    story.row(280, (101, "a"), (100, "a"), lsn=500)
    story.row(300, (102, "a"), (101, "a"), lsn=600)
    story.row(301, (103, "a"), (102, "a"), lsn=700)
    story.entry(60, (400, "a"))
    story.detector.ends_at = us(300)
    story.until(320)
    story.detector.take_changed()
    story.take(story.detector.end([KEY]))
    assert story.counts["resolved"] == 1
    assert story.detector.open_by_severity == {}
    assert story.detector.take_changed().records == {KEY}
    assert story.told[-1].value["trace"]["left"]["lsn"] == "600"  # type: ignore[index]
    assert story.told[-1].value["trace"]["right"]["ledger"] == 60  # type: ignore[index]


def test_a_suspect_ends_with_its_version() -> None:
    story = agreed(Story(confirmed=LIVE))
    story.entry(40, (300, "a"))
    story.until(240)
    story.detector.ends_at = us(250)
    story.until(260)
    story.take(story.detector.end([KEY]))
    assert state_of(story).suspect is None
    assert not story.detector.suspects.waiting
    assert story.lines == []


# ---- the log of what could not be verified


def test_a_side_that_nobody_has_looked_at_is_in_the_log_only_where_input_of_it_was_lost() -> None:
    change = RowChange("r", KEY, 1, 1, us(101), ABSENT, (1, "a"), 1)
    for side in (None, Side.LEFT, Side.RIGHT):
        story = Story(from_empty=False)
        if side is not None:
            story.gap(side, 90, 95)
        story.take(story.detector.observe(change))
        story.detector.finish_log()
        assert story.log.pieces == ({(KEY, side, us(90)): INFINITY} if side is Side.RIGHT else {})


def test_a_detector_that_begins_later_judges_nothing_before() -> None:
    detector = Detector(rule_of(), from_empty=True)
    detector.begin(us(300))
    assert detector.verified_through == us(300) - 1
    assert detector.left.unheard[-1].value != UNKNOWN

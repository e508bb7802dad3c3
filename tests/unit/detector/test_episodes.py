"""The life of an episode, told in seconds: lag 30, lead 10, skew 2, min 2."""

from __future__ import annotations

import pytest

from app.detector.episode import Teller
from app.detector.model import (
    ABSENT,
    INFINITY,
    OUT,
    SECOND,
    Exemption,
    Field,
    FieldType,
    Mark,
    Mute,
    Severity,
    Side,
)
from app.detector.segments import Segment
from app.detector.timeline import BIRTH, KeyState
from tests.support.detecting import KEY, LIMIT, NEAR, STATUS, Story, agreed, drifting, rule_of, us


def test_a_missed_update_is_drift_from_when_the_chain_left_the_value_plus_lag_and_skew() -> None:
    assert drifting(Story()).lines == ["opened 03:52 limit"]


def test_an_update_that_follows_within_lag_is_none() -> None:
    story = agreed(Story())
    story.entry(40, (300, "a"))
    story.row(229, (300, "a"), (100, "a"))
    story.until(300)
    assert story.lines == []


def test_a_row_that_leads_within_lead_is_none() -> None:
    story = agreed(Story())
    story.row(190, (300, "a"), (100, "a"))
    story.entry(40, (300, "a"))
    story.until(300)
    assert story.lines == []


def test_a_value_that_the_chain_never_held_is_drift_at_once() -> None:
    story = agreed(Story())
    story.row(200, (1, "a"), (100, "a"))
    story.until(210)
    assert story.lines == ["opened 03:20 limit"]


def test_a_violation_shorter_than_the_minimum_is_counted_once() -> None:
    story = agreed(Story())
    story.row(200, (1, "a"), (100, "a"))
    story.row(201.5, (100, "a"), (1, "a"))
    for at in (205, 206, 230, 300):
        story.until(at)
    assert story.lines == []
    assert story.counts["transient"] == 1


def test_an_episode_resolves_where_the_row_moved() -> None:
    story = drifting(Story())
    story.row(270, (300, "a"), (100, "a"))
    story.until(290)
    assert story.lines[1:] == ["resolved 04:30"]
    assert story.told[1].value["cause"] == "left_moved"
    assert story.told[1].value["differences"] == []


def test_an_episode_resolves_lead_and_skew_before_the_chain_came_to_the_row() -> None:
    story = drifting(Story())
    story.entry(60, (100, "a"))
    story.until(320)
    assert story.lines[1:] == ["resolved 04:48"]
    assert story.told[1].value["cause"] == "right_moved"


def test_other_differences_are_an_update_that_keeps_since() -> None:
    story = drifting(Story())
    story.row(270, (100, "b"), (100, "a"))
    story.until(290)
    assert story.lines[1:] == ["updated 04:30 limit status"]
    limit, status = story.told[1].value["differences"]  # type: ignore[misc]
    assert (limit["since"][14:], status["since"][14:]) == ("03:52Z", "04:30Z")
    assert story.told[1].value["since"] == story.told[0].value["since"]


def test_a_stretch_within_reopen_is_the_same_episode() -> None:
    story = drifting(Story())
    story.row(270, (300, "a"), (100, "a"))
    story.row(600, (7, "a"), (300, "a"))
    story.until(700)
    opened, _, reopened = (told.value for told in story.told)
    assert story.lines[2] == "reopened 10:00 limit"
    assert reopened["episode"] == opened["episode"]
    assert (reopened["sequence"], reopened["flaps"], reopened["until"]) == (2, 1, None)


def test_a_stretch_after_reopen_is_another_episode() -> None:
    story = drifting(Story())
    story.row(270, (300, "a"), (100, "a"))
    story.row(871, (7, "a"), (300, "a"))
    story.until(900)
    assert story.lines[2] == "opened 14:31 limit"
    assert story.told[2].value["episode"] != story.told[0].value["episode"]


def test_a_record_is_deleted_a_step_after_its_horizon_moved() -> None:
    story = drifting(Story())
    story.row(270, (300, "a"), (100, "a"))
    story.until(300)
    story.right_mark(180)
    story.take(story.detector.advance(_left(872)))
    state = story.detector.snapshot(KEY)
    assert state is not None
    assert state.record is not None
    assert max(state.left.horizon, state.right.horizon) > us(270)  # type: ignore[union-attr]

    effects = story.detector.step_done()

    assert [effect.__class__.__name__ for effect in effects] == ["EpisodeForgotten"]
    assert state.record is None


def test_a_record_that_ended_again_since_is_not_deleted() -> None:
    story = drifting(Story())
    story.row(270, (300, "a"), (100, "a"))
    story.until(300)
    story.right_mark(180)
    story.take(story.detector.advance(_left(872)))
    state = story.detector.snapshot(KEY)
    assert state is not None
    assert state.record is not None
    state.record.until = us(800)

    assert story.detector.step_done() == []


def test_existence_is_told_first_and_alone() -> None:
    story = Story()
    story.entry(20, (100, "a"))
    story.until(200)
    assert story.lines == ["opened 02:12 existence"]
    [difference] = story.told[0].value["differences"]  # type: ignore[misc]
    assert (difference["left"], difference["right"], difference["difference"]) == ("absent", "present", None)
    assert difference["severity"] == "critical"


def test_a_row_without_an_entry_is_drift_at_once() -> None:
    story = Story()
    story.row(101, (1, "a"), ABSENT)
    story.until(120)
    assert story.lines == ["opened 01:41 existence"]


def test_two_rows_in_scope_are_a_duplicate() -> None:
    story = agreed(Story())
    story.row(200, (100, "a"), ABSENT, row=2)
    story.until(220)
    story.row(230, ABSENT, (100, "a"), row=2)
    story.until(250)
    assert story.lines == ["opened 03:20 existence", "resolved 03:50"]
    assert story.told[0].value["differences"][0]["left"] == "duplicate"  # type: ignore[index]


def test_out_of_scope_agrees_with_anything() -> None:
    story = drifting(Story())
    story.row(270, OUT, (100, "a"))
    story.until(300)
    assert story.lines[1:] == ["resolved 04:30"]


def test_a_row_out_of_scope_beside_any_entry_is_none() -> None:
    story = agreed(Story())
    story.row(200, OUT, (100, "a"))
    story.entry(44, (300, "a"))
    story.until(300)
    assert story.lines == []


def test_an_unknown_entry_resolves_nothing_and_shows_null() -> None:
    story = drifting(Story())
    story.event(54)
    story.row(305, (5, "b"), (100, "a"))
    story.until(320)
    assert story.lines == ["opened 03:52 limit"]


def test_a_field_with_a_tolerance_is_judged_on_its_own() -> None:
    story = Story(rule_of(LIMIT, NEAR))
    story.entry(20, (100, 50))
    story.row(101, (100, 55), ABSENT)
    story.row(150, (100, 56), (100, 55))
    story.until(170)
    assert story.lines == ["opened 02:30 near"]


def test_severity_is_the_greatest_of_the_differences() -> None:
    story = drifting(Story())
    story.row(270, (5000, "a"), (100, "a"))
    story.until(290)
    assert [told.value["severity"] for told in story.told] == ["low", "high"]
    assert story.detector.open_by_severity == {"high": 1}


def test_the_severity_of_several_differences_is_the_greatest() -> None:
    story = agreed(Story())
    story.row(200, (5000, "b"), (100, "a"))
    story.until(210)
    assert story.lines == ["opened 03:20 limit status"]
    assert [d["severity"] for d in story.told[0].value["differences"]] == ["high", "medium"]  # type: ignore[attr-defined]
    assert story.told[0].value["severity"] == "high"


def test_the_distance_of_a_sensitive_amount_is_not_told() -> None:
    secret = Field("secret", FieldType.AMOUNT, 2, sensitive="hash")
    story = agreed(Story(rule_of(LIMIT, secret)), (100, 500))
    story.row(200, (100, 700), (100, 500))
    story.until(210)
    [difference] = story.told[0].value["differences"]  # type: ignore[misc]
    assert difference["difference"] is None
    assert str(difference["left"]).startswith("sha256:")


def test_an_episode_that_was_doubted_is_not_any_more_when_it_reopens() -> None:
    story = agreed(Story())
    story.row(200, (7, "a"), (100, "a"))
    story.until(260)
    story.row(300, (100, "a"), (8, "a"))
    story.until(320)
    story.row(400, (9, "a"), (100, "a"))
    story.until(410)
    story.row(420, (100, "a"), (9, "a"))
    story.until(430)
    assert [told.value["cause"] for told in story.told] == [None, "input_lost", None, "left_moved"]


def test_an_episode_that_was_taken_up_can_be_doubted_once_it_reopens() -> None:
    """What was held at its first beginning is lost with the state; at the second one it is not."""
    story = agreed(Story())
    story.row(200, (7, "a"), (100, "a"))
    story.row(230, (100, "a"), (7, "a"))
    story.until(260)
    state = story.detector.snapshot(KEY)
    assert state is not None
    assert state.record is not None
    state.record.is_taken_up = True
    story.row(300, (9, "a"), (100, "a"))
    story.until(310)
    story.row(320, (100, "a"), (8, "a"))
    story.until(330)
    assert story.lines[2:] == ["reopened 05:00 limit", "resolved 05:20"]
    assert story.told[-1].value["cause"] == "input_lost"


def test_the_message_says_all_of_it() -> None:
    story = Story(rule_of(existence_severity=Severity.HIGH))
    story.entry(20, (100, "a"))
    story.row(101, (100, "a"), ABSENT, tx=7, linked="GB")
    story.event(40)
    story.event(40, number=1)
    story.read(40, (300, "a"))
    story.until(300)
    told = story.told[0]
    assert told.value == {
        "episode": told.value["episode"],
        "sequence": 0,
        "transition": "opened",
        "rule": "r",
        "rule_version": 1,
        "key": "GA",
        "severity": "low",
        "since": "1970-01-01T00:03:52Z",
        "until": None,
        "differences": [
            {
                "field": "limit",
                "left": "1",
                "right": "3",
                "difference": "-2",
                "severity": "low",
                "since": "1970-01-01T00:03:52Z",
            }
        ],
        "cause": None,
        "flaps": 0,
        "linked": "GB",
        "trace": {
            "left": {"lsn": "10", "tx": 7, "at": "1970-01-01T00:01:41Z"},
            "right": {"ledger": 40, "event_id": "40-1", "tx": "tx40", "at": "1970-01-01T00:03:20Z"},
        },
    }
    assert told.headers["drift_confirmed"] == "replay"
    assert told.headers["drift_watermark_left"] == "1970-01-01T00:04:59.999999Z"
    assert told.headers["drift_watermark_right"] == "1970-01-01T00:05:15Z"


def test_an_exemption_covers_its_fields_and_time_and_is_counted() -> None:
    exemption = Exemption(KEY, frozenset({"limit"}), us(100), us(240), "known")
    story = drifting(Story(rule_of(exemptions=(exemption,))))
    assert story.lines == ["opened 04:00 limit"]
    assert story.counts["exempt"] == 1


def test_an_exemption_that_begins_ends_an_episode() -> None:
    exemption = Exemption(None, frozenset(), us(250), INFINITY, "known")
    story = drifting(Story(rule_of(exemptions=(exemption,))))
    story.until(280)
    story.until(300)
    assert story.lines == ["opened 03:52 limit", "resolved 04:10"]
    assert story.told[1].value["cause"] == "exempted"
    assert story.counts["exempt"] == 1


def test_a_record_goes_only_after_a_horizon_was_moved_to_its_end() -> None:
    story = drifting(Story(rule_of(reopen_us=0)))
    story.entry(60, (100, "a"))
    story.until(291)
    state = story.detector.snapshot(KEY)
    assert state is not None
    assert state.record is None
    assert max(state.left.horizon, state.right.horizon) >= us(288)  # type: ignore[union-attr]


def test_an_exemption_of_another_field_excuses_nothing() -> None:
    exemption = Exemption(KEY, frozenset({"status"}), 0, INFINITY, "known")
    assert drifting(Story(rule_of(exemptions=(exemption,)))).lines == ["opened 03:52 limit"]


def test_what_is_excused_is_counted_once_however_often_it_is_judged() -> None:
    exemption = Exemption(KEY, frozenset(), 0, INFINITY, "known")
    story = drifting(Story(rule_of(exemptions=(exemption,))))
    story.entry(60, (400, "a"))
    story.until(340)
    assert story.counts["exempt"] == 1
    story.row(350, (400, "a"), (100, "a"))
    story.row(360, (7, "a"), (400, "a"))
    story.until(380)
    assert story.counts["exempt"] == 2


def test_a_key_that_only_the_chain_knows_is_excused_as_well() -> None:
    exemption = Exemption(KEY, frozenset(), 0, INFINITY, "known")
    story = Story(rule_of(exemptions=(exemption,)))
    story.entry(20, (100, "a"))
    for at in (200, 300):
        story.until(at)
    assert story.lines == []
    assert story.counts["exempt"] == 1


def test_an_episode_whose_beginning_is_forgotten_is_not_doubted() -> None:
    story = drifting(Story())
    story.row(270, (101, "a"), (100, "a"))
    story.until(290)
    story.row(300, (300, "a"), (101, "a"))
    story.until(330)
    assert story.told[-1].value["cause"] == "left_moved"


def test_what_has_no_episode_has_nothing_to_resolve() -> None:
    segment = Segment(0, 1, "ok", 0, BIRTH, BIRTH)
    assert Teller(rule_of(), "off").in_sync(KEY, KeyState(), segment) is None


@pytest.mark.parametrize("key", [KEY, None])
def test_a_mute_ends_an_open_episode_and_its_end_begins_the_stretch_anew(key: str | None) -> None:
    story = drifting(Story())
    mute = Mute("r", key, us(280), us(320), "a person said so")
    for _ in range(2):
        story.take(story.detector.control(mute))
    story.until(300)
    story.until(340)
    assert story.lines[1:] == ["resolved 04:40", "reopened 05:20 limit"]
    assert story.counts["exempt"] == 1


def test_a_key_without_an_entry_in_time_shows_the_fields_from_creation_plus_lag_and_skew() -> None:
    story = Story(rule_of(LIMIT, STATUS))
    story.entry(20, (100, "a"))
    story.row(101, (7, "a"), ABSENT)
    story.until(200)
    assert story.lines == ["opened 02:12 limit"]


def _left(at: float) -> Mark:
    return Mark(Side.LEFT, "db", at * SECOND - 1)

"""Clocks that are apart, and forms that cannot be read: told, waited for, declared unknown, ended."""

from __future__ import annotations

import pytest

from app.detector.model import (
    ABSENT,
    UNKNOWN,
    Blind,
    ClockReading,
    Effect,
    Incident,
    Mark,
    Resweep,
    Side,
    Unreadable,
    Upgraded,
)
from app.detector.panel import Panel
from app.stream.state import decode_partition, encode_partition
from tests.support.detecting import KEY, Story, agreed, us


def ledger(story: Story, number: int, told: float) -> list[Effect]:
    """A ledger's mark, written at `told` by our clock; it closes at 5 s times its number."""
    mark = Mark(Side.RIGHT, "net", us(number * 5), None, number, None, us(told))
    return story._mark(mark)


def set_apart(story: Story) -> list[Effect]:
    """The right clock jumps ahead by a minute: what closes at 220 is told at 160."""
    story.take(story.detector.control(ClockReading("db", 0)))
    ledger(story, 32, 161)
    return ledger(story, 44, 160)


def agree_again(story: Story) -> list[Effect]:
    """Ledgers 45 to 49, told a second after they closed."""
    effects: list[Effect] = []
    for number in range(45, 50):
        story.left_mark(number * 5)
        effects += ledger(story, number, number * 5 + 1)
    return effects + story.left_mark(246)


def test_clocks_that_are_apart_make_the_rule_blind_and_judging_waits() -> None:
    story = agreed(Story())
    verified = story.detector.verified_through

    told = set_apart(story)

    blind, incident = told
    assert blind == Blind("r", Side.LEFT, us(150), "clock")
    assert isinstance(incident, Incident)
    assert (incident.cause, incident.from_us, incident.until_us) == ("clock", us(150), None)
    assert "-60.0 s from the right one, skew allows 2 s" in incident.detail
    story.row(155, (200, "a"), (100, "a"))
    story.left_mark(210)
    ledger(story, 50, 190)
    assert story.detector.trust.is_blind
    assert story.lines == []
    assert story.detector.verified_through == verified


def test_afterwards_the_stretch_is_unknown_and_a_sweep_is_asked_for() -> None:
    story = agreed(Story())
    set_apart(story)
    story.row(155, (200, "a"), (100, "a"))
    story.row(157, (100, "a"), (200, "a"))

    told = agree_again(story)

    assert Blind("r", Side.LEFT, None, "clock") in told
    assert Resweep("r", "clock", us(150)) in told
    assert story.detector.trust.cause == "clock", "until the sweep"
    assert story.detector.count_unverifiable(1) == 1
    story.until(280)
    assert story.lines == []
    story.row_as_of(285, (100, "a"))
    story.seeded(Side.LEFT, 284, 286)
    story.until(300)
    assert story.lines == []
    assert story.detector.trust.cause is None
    assert story.incidents[-1].until_us == us(286)
    assert story.incidents[-1].from_us == story.incidents[0].from_us
    assert story.left_versions()[-1][1] == (100, "a")
    assert story.detector.count_unverifiable(1) == 0


def test_a_drift_that_began_while_they_were_apart_is_found_after_the_sweep() -> None:
    story = agreed(Story())
    set_apart(story)
    story.row(155, (200, "a"), (100, "a"))
    agree_again(story)
    story.row_as_of(285, (200, "a"))
    story.seeded(Side.LEFT, 284, 286)
    story.until(400)
    assert [line.split()[0] for line in story.lines] == ["opened"]


def test_clocks_that_part_again_before_the_sweep_are_the_same_incident() -> None:
    story = agreed(Story())
    set_apart(story)
    agree_again(story)
    ledger(story, 70, 250)
    assert story.detector.trust.is_blind
    assert [incident.cause for incident in story.incidents] == ["clock"]


def test_a_left_clock_that_is_read_apart_makes_the_rule_blind_at_once() -> None:
    story = agreed(Story())
    ledger(story, 33, 166)
    told = story.detector.control(ClockReading("db", us(-60)))
    assert told[0] == Blind("r", Side.LEFT, us(150), "clock")


def test_what_is_judged_is_the_same_after_a_restart_while_they_are_apart() -> None:
    story = agreed(Story())
    set_apart(story)
    again = Story()
    again.detector.restore_partition(story.detector.partition_state())  # type: ignore[arg-type]
    assert again.detector.trust.is_blind
    assert again.detector.verified_through == story.detector.verified_through
    assert again.detector.partition_state() == story.detector.partition_state()


def test_a_table_that_lost_a_column_makes_its_side_unknown_until_a_sweep() -> None:
    story = agreed(Story())

    told = story.take(story.detector.control(Unreadable("r", Side.LEFT, us(160), "no column")))

    assert told == [Incident("r", None, "schema", Side.LEFT, us(160), None, "no column")]
    assert story.take(story.detector.control(Unreadable("r", Side.LEFT, us(170), "no column"))) == []
    story.row(171, UNKNOWN)
    story.entry(36, (200, "a"))
    story.until(400)
    assert story.lines == []
    assert story.detector.trust.cause == "schema"
    story.row_as_of(405, (200, "a"))
    story.seeded(Side.LEFT, 165, 166)
    story.until(420)
    assert story.detector.trust.cause == "schema", "it was broken still when that sweep began"
    story.seeded(Side.LEFT, 404, 406)
    story.until(500)
    assert story.lines == []
    assert story.detector.trust.cause is None
    assert [(one.cause, one.until_us) for one in story.incidents] == [("schema", None), ("schema", us(406))]


def test_entries_that_cannot_be_read_leave_what_can_be_as_it_is() -> None:
    story = agreed(Story())
    story.entry(34, (5, "b"), key="GB")
    story.row(171, (5, "b"), ABSENT, key="GB")
    story.event(36, key="GB")
    found = Unreadable("r", Side.RIGHT, us(185), "no map")
    assert len(story.take(story.detector.control(found))) == 1
    story.row(190, (200, "a"), (100, "a"))
    story.until(250)
    assert [line.split()[0] for line in story.lines] == ["opened"], "the other key is judged"
    assert story.detector.count_unverifiable(2) == 1
    story.entry_as_of(52, UNKNOWN, key="GB")
    story.seeded(Side.RIGHT, 255, 256)
    story.until(270)
    assert story.detector.trust.cause == "schema", "the sweep could not read it either"
    story.entry_as_of(60, (5, "b"), key="GB", modified=36)
    story.seeded(Side.RIGHT, 299, 300)
    story.until(330)
    assert story.detector.trust.cause is None
    assert story.detector.count_unverifiable(2) == 0


def test_a_doubt_outlives_a_restart() -> None:
    story = agreed(Story())
    story.detector.control(Unreadable("r", Side.LEFT, us(160), "no column"))
    again = Story()
    again.detector.restore_partition(story.detector.partition_state())  # type: ignore[arg-type]
    assert again.detector.trust.cause == "schema"
    assert again.detector.control(Unreadable("r", Side.LEFT, us(170), "no column")) == []
    assert again.detector.count_unverifiable(4) == 4


def test_other_code_of_a_contract_asks_for_a_sweep() -> None:
    story = Story()
    assert story.detector.control(Upgraded("r", 5)) == [Resweep("r", "upgrade", 5)]


def test_a_panel_hands_readings_to_the_rules_of_their_source() -> None:
    story = agreed(Story())
    panel = Panel([story.detector])
    assert panel.take(ClockReading("db", 0)) == []
    assert story.detector.trust.clocks.left_us == 0
    assert panel.take(Upgraded("other", 5)) == []
    assert panel.take(Upgraded("r", 5)) == [Resweep("r", "upgrade", 5)]
    assert KEY in story.detector.states


def test_inserts_of_rows_that_are_held_are_one_truncate_where_that_is_told_after() -> None:
    story = agreed(Story())
    story.row(160, (300, "a"), ABSENT)
    story.gap(Side.LEFT, 159, 159, "truncate")
    story.left_mark(170)
    assert [(one.cause, one.key) for one in story.incidents] == [("truncate", None)]


@pytest.mark.parametrize("is_truncated", [True, False])
def test_an_insert_that_waits_for_its_explanation_waits_on_after_a_restart(is_truncated: bool) -> None:
    before, story = agreed(Story()), Story()
    before.row(160, (300, "a"), ABSENT)
    state = before.detector.snapshot(KEY)
    assert state is not None
    stored = encode_partition({"r": before.detector.partition_state()}, {}, [])
    story.detector.restore_partition(decode_partition(stored)[0]["r"])
    story.detector.restore(KEY, state)
    if is_truncated:
        story.gap(Side.LEFT, 159, 159, "truncate")
    story.left_mark(170)
    told = ("truncate", None) if is_truncated else ("continuity", KEY)
    assert [(one.cause, one.key) for one in story.incidents] == [told]


def test_an_insert_of_a_row_that_is_held_is_an_incident_where_nothing_explains_it() -> None:
    story = agreed(Story())
    story.gap(Side.LEFT, 151, 152, "truncate")
    story.row(155, (300, "a"), ABSENT)
    story.row(160, (400, "a"), ABSENT)
    story.left_mark(164)
    assert [one.cause for one in story.incidents] == ["truncate"]
    story.gap(Side.LEFT, 162, 163, "truncate")
    story.left_mark(170)
    assert [(one.cause, one.from_us) for one in story.incidents[2:]] == [("continuity", us(160))]
    story.left_mark(180)
    assert len(story.incidents) == 3

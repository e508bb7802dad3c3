"""When the beginning of an open episode is not known any more, and when that is only forgotten."""

from __future__ import annotations

from app.detector.model import ABSENT, INFINITY, Mute, Side
from tests.support.detecting import KEY, Story, agreed, drifting, look_again, rule_of, us


def judged_through(story: Story) -> int:
    state = story.detector.snapshot(KEY)
    assert state is not None
    assert state.record is not None
    return state.record.judged


def unheard_of_the_entry(story: Story) -> Story:
    """The entry is back at the row's value at 300 s, and what was told of it between 205 s and then was lost:
    nobody knows any more what it was when the episode opened."""
    drifting(story).entry(60, (100, "a"))
    story.until(310)
    story.detector.take_changed()
    story.gap(Side.RIGHT, 205, 206)
    look_again(story, 312)
    return story


def test_a_doubt_is_durable_though_nothing_more_is_decided() -> None:
    story = unheard_of_the_entry(Story(rule_of(hysteresis_us=us(60))))
    assert judged_through(story) == us(288)
    assert story.detector.take_changed().records == {KEY}
    story.until(400)
    assert story.lines == ["opened 03:52 limit", "resolved 04:48"]
    assert story.told[-1].value["cause"] == "input_lost"


def test_a_doubt_stays_when_what_it_came_from_is_forgotten() -> None:
    story = drifting(Story())
    story.entry(60, (400, "a"))
    story.gap(Side.RIGHT, 205, 206)
    look_again(story, 320)
    story.row(340, (100, "b"), (100, "a"))
    story.until(350)
    story.row(360, (400, "a"), (100, "b"))
    story.until(370)
    assert story.lines[-1] == "resolved 06:00"
    assert story.told[-1].value["cause"] == "input_lost"


def test_an_episode_that_began_with_a_row_that_is_lost_is_doubted() -> None:
    story = agreed(Story())
    story.row(200, (7, "a"), (100, "a"))
    story.until(260)
    assert story.left_versions() == [(200, (7, "a"))]
    story.row(300, (100, "a"), (8, "a"))
    story.until(320)
    assert story.lines == ["opened 03:20 limit", "resolved 05:00"]
    assert story.told[-1].value["cause"] == "input_lost"


def test_an_episode_is_not_doubted_for_a_later_loss() -> None:
    story = drifting(Story())
    story.row(270, (101, "a"), (100, "a"))
    story.until(290)
    story.row(300, (300, "a"), (5, "a"))
    story.until(320)
    assert story.lines[-1] == "resolved 05:00"
    assert story.told[-1].value["cause"] == "left_moved"


def test_an_episode_is_not_doubted_where_a_second_row_is_forgotten() -> None:
    story = agreed(Story())
    story.row(200, (100, "a"), ABSENT, row=2)
    story.row(250, (101, "a"), (100, "a"), row=2)
    story.until(260)
    assert story.lines == ["opened 03:20 existence"]
    assert story.left_versions(row=2) == [(250, (101, "a"))]
    story.row(300, ABSENT, (101, "a"), row=2)
    story.until(320)
    assert story.told[-1].value["cause"] == "left_moved"


def test_an_episode_is_not_doubted_where_the_entry_of_then_is_forgotten() -> None:
    story = agreed(Story())
    story.entry(40, (300, "a"))
    story.entry(44, (350, "a"))
    story.until(270)
    assert story.right_versions() == [(220, (350, "a"))]
    story.entry_as_of(56, (100, "a"), modified=44)
    story.until(300)
    assert story.lines == ["opened 03:52 limit", "resolved 04:30"]
    assert story.told[-1].value["cause"] == "right_moved"


def test_an_episode_that_is_muted_from_its_beginning_is_excused_and_not_doubted() -> None:
    story = drifting(Story())
    story.take(story.detector.control(Mute("r", KEY, 0, INFINITY, "a person said so")))
    story.until(280)
    assert story.told[-1].value["transition"] == "resolved"
    assert story.told[-1].value["cause"] == "exempted"

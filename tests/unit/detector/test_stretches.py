"""The three filters: short violations, short gaps, and what is not decided yet."""

from __future__ import annotations

from app.detector.model import Window
from app.detector.segments import Segment
from app.detector.stretches import Drifting, Verdicts, Walk, find_turns
from app.detector.timeline import BIRTH
from tests.support.detecting import rule_of


def find(text: str, *, is_open: bool = False, hysteresis: int = 0, minimum: int = 3) -> Verdicts:
    """One letter an instant: `.` in sync, `x` in violation, `?` unknown. Judged is [0, len)."""
    segments: list[Segment] = []
    for at, letter in enumerate(text):
        kind = {".": "ok", "x": "bad", "?": "unknown"}[letter]
        if segments and segments[-1].kind == kind:
            segments[-1] = segments[-1]._replace(until=at + 1)
        else:
            segments.append(Segment(at, at + 1, kind, 0, BIRTH, BIRTH))
    rule = rule_of(hysteresis_us=hysteresis)
    rule = type(rule)(rule.id, rule.version, rule.fields, Window(0, 0, 0, minimum), hysteresis_us=hysteresis)
    return find_turns(rule, segments, Walk(is_open, len(text), 1000))


def turns(verdicts: Verdicts) -> list[tuple[str, int]]:
    return [("drift" if type(turn) is Drifting else "sync", turn.segment.start) for turn in verdicts.turns]


def test_what_is_in_sync_is_judged_to_the_end() -> None:
    assert find("....") == Verdicts([], 4, 1000, 0)


def test_a_long_violation_opens_at_its_start() -> None:
    assert turns(find("..xxx.")) == [("drift", 2), ("sync", 5)]


def test_a_violation_shorter_than_the_minimum_is_transient() -> None:
    verdicts = find("..xx..")
    assert (turns(verdicts), verdicts.transient, verdicts.judged) == ([], 1, 6)


def test_a_violation_short_so_far_is_not_judged() -> None:
    assert find("..xx") == Verdicts([], 2, 4, 0)


def test_unknown_ends_an_undecided_violation() -> None:
    verdicts = find("..xx??")
    assert (turns(verdicts), verdicts.transient, verdicts.judged) == ([], 1, 6)


def test_an_open_episode_is_carried_through_the_unknown() -> None:
    assert turns(find("xxx??x..")) == [("drift", 0), ("drift", 5), ("sync", 6)]


def test_a_short_violation_goes_on_where_one_is_open() -> None:
    assert turns(find("x.", is_open=True)) == [("drift", 0), ("sync", 1)]


def test_after_the_unknown_an_episode_resolves_where_it_is_known_in_sync() -> None:
    assert turns(find("??..", is_open=True)) == [("sync", 2)]


def test_a_gap_shorter_than_the_hysteresis_joins() -> None:
    assert turns(find("xxx...xxx", hysteresis=4)) == [("drift", 0), ("drift", 6)]


def test_a_gap_as_long_as_the_hysteresis_resolves_at_its_start() -> None:
    assert turns(find("xxx....xxx", hysteresis=4)) == [("drift", 0), ("sync", 3), ("drift", 7)]


def test_a_gap_short_so_far_is_not_judged() -> None:
    verdicts = find("xxx...", hysteresis=4)
    assert (turns(verdicts), verdicts.judged, verdicts.later) == ([("drift", 0)], 3, 6)


def test_unknown_joins_an_undecided_gap() -> None:
    assert turns(find("xxx..??....", hysteresis=4)) == [("drift", 0), ("sync", 7)]


def test_a_violation_shorter_than_the_minimum_is_part_of_the_gap() -> None:
    assert turns(find("xxx..x...", hysteresis=5)) == [("drift", 0), ("sync", 3)]


def test_a_violation_short_so_far_leaves_the_gap_undecided() -> None:
    verdicts = find("xxx..xx", hysteresis=5)
    assert (turns(verdicts), verdicts.judged) == ([("drift", 0)], 3)


def test_a_violation_short_so_far_is_not_counted_to_the_gap_before_it() -> None:
    verdicts = find("xxx...xx", hysteresis=4)
    assert (turns(verdicts), verdicts.judged) == ([("drift", 0)], 3)


def test_a_short_violation_that_the_unknown_ends_is_part_of_the_gap() -> None:
    assert turns(find("xxx..x??", hysteresis=3)) == [("drift", 0), ("sync", 3)]

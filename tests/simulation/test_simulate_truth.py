"""The truth by intervals is the definition read aloud, instant by instant."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from app.detector.model import SECOND
from app.simulation.histories import START, Cause
from app.simulation.life import LAG, LEAD, Habits, build_lives
from app.simulation.scenarios import SCENARIOS
from app.simulation.truth import (
    EXISTENCE,
    FOREVER,
    Bounds,
    Pieces,
    find_violations,
    left_pieces,
    minus,
    right_pieces,
)

SECONDS = 1800


def held(pieces: Pieces, at: int) -> object:
    """The value in force at an instant."""
    return [value for begin, value in pieces if begin <= at][-1]


def is_in_sync(left: Pieces, right: Pieces, at: int, field: int) -> bool:
    """InSync(t): there is an s in [t - lag, t + lead] with equal(l(t), r(s)); every s at which r can be
    another value is tried."""
    mine = held(left, at)
    moments = [at - LAG, *(begin for begin, _ in right if at - LAG < begin <= at + LEAD)]
    return any(is_equal(mine, held(right, s), field) for s in moments)


def is_equal(mine: object, theirs: object, field: int) -> bool:
    if "out" in (mine, theirs):
        return True
    if field == EXISTENCE:
        presence = {"absent": "absent", "duplicate": "duplicate"}
        return presence.get(str(mine), "present") == presence.get(str(theirs), "present")
    if not isinstance(mine, tuple) or not isinstance(theirs, tuple):
        return True
    return bool(mine[field] == theirs[field])


def check(left: Pieces, right: Pieces, instants: list[int], until: int) -> None:
    found = find_violations(left, right, Bounds(LAG, LEAD, until))
    for field in range(EXISTENCE, 3):
        bad = found.get(field, [])
        assert all(a < b for a, b in bad)
        assert all(b < c for (_, b), (c, _) in pairwise(bad)), "each is maximal"
        for at in instants:
            is_bad = any(start <= at < end for start, end in bad)
            assert is_bad is not is_in_sync(left, right, at, field), (field, at)


@pytest.mark.parametrize("number", range(0, len(SCENARIOS), 3))
def test_intervals_say_what_every_instant_says(number: int) -> None:
    habits = SCENARIOS[number].habits
    r = random.Random(number)
    end = START + SECONDS * SECOND
    for life in build_lives(r, habits, 12, SECONDS):
        left, right = left_pieces(life), right_pieces(life)
        edges = {begin for begin, _ in left[1:]}
        edges |= {at for begin, _ in right[1:] for at in (begin, begin - LEAD, begin + LAG)}
        instants = {edge + step for edge in edges for step in (-1, 0, 1)} | set(range(START, end, 7 * SECOND))
        check(left, right, [at for at in instants if START <= at < end], end)


def test_made_up_timelines_of_few_values_agree_as_well() -> None:
    r = random.Random(5)
    values: list[object] = ["absent", "out", (1, 1, "a"), (1, 2, "a"), (2, 1, "b"), (2, 2, "b")]
    for _ in range(60):
        left, right = (
            [
                (-FOREVER, "absent"),
                *((at * SECOND, r.choice(options)) for at in sorted(r.sample(range(200), 8))),
            ]
            for options in ([*values, "duplicate"], values)
        )
        check(left, right, [half * SECOND // 2 for half in range(520)], 260 * SECOND)


def test_a_row_that_follows_within_the_window_is_never_in_violation() -> None:
    lives = build_lives(random.Random(1), Habits(drift=0.0, moves=0.0), 40, 7200)
    for life in lives:
        assert not find_violations(left_pieces(life), right_pieces(life), Bounds(LAG, LEAD, FOREVER)), (
            life.key
        )


def test_every_planted_defect_is_a_violation_of_its_cause() -> None:
    habits = Habits(drift=0.5, moves=0.05, paces_s=(300,))
    seen: set[Cause] = set()
    for life in build_lives(random.Random(2), habits, 60, 7200):
        found = find_violations(left_pieces(life), right_pieces(life), Bounds(LAG, LEAD, FOREVER))
        starts = sorted(start for mine in found.values() for start, _ in mine)
        seen |= {life.cause_of(start) for start in starts}
        for planted in life.planted:
            reached = planted.at < START + 7000 * SECOND
            assert not reached or any(planted.at <= at < planted.at + 600 * SECOND for at in starts)
    assert seen == set(Cause)


def test_a_write_that_lands_on_a_newer_one_is_a_defect_though_nobody_planned_it() -> None:
    """On hot keys: the next thing happens before the row has followed the last one."""
    habits = Habits(drift=0.0, hot=1.0)
    drifts = 0
    for life in build_lives(random.Random(3), habits, 6, 3600):
        assert {planted.cause for planted in life.planted} == {Cause.OUT_OF_ORDER}
        found = find_violations(left_pieces(life), right_pieces(life), Bounds(LAG, LEAD, FOREVER))
        starts = [start for mine in found.values() for start, _ in mine]
        drifts += len(starts)
        assert {life.cause_of(start) for start in starts} <= {Cause.OUT_OF_ORDER}
    assert drifts > 0


def test_a_violation_without_a_cause_is_an_error_of_the_world() -> None:
    [life] = build_lives(random.Random(3), Habits(drift=0.0), 1, 600)

    with pytest.raises(ValueError, match="nothing went wrong before"):
        life.cause_of(START)


def test_minus_leaves_what_lies_in_none() -> None:
    assert minus([(0, 10), (20, 30)], [(2, 4), (3, 5), (8, 22), (29, 40)]) == [(0, 2), (5, 8), (22, 29)]
    assert minus([(0, 10)], []) == [(0, 10)]
    assert minus([(0, 10)], [(0, 10)]) == []

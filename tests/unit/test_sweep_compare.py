"""What a comparison makes of keys that stand still, of keys that move, and of rows that share one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.detector.model import ABSENT, OUT, UNKNOWN, Value
from app.rules import LoadedRule, load_rules
from app.settings import RULES_FOLDER
from app.sweep.compare import Compared, CompareOptions, Comparer
from app.sweep.sides import value_of_rows
from tests.support.sweeping import HandClock, Memory


@pytest.fixture(scope="module")
def rule() -> LoadedRule:
    return load_rules((Path(RULES_FOLDER) / "credit.yaml",), {"CREDIT_CONTRACT_ID": "C"})[0]


def line(limit: int, rate: int = 500) -> Value:
    return ("G", limit, "active", 7, rate)


@pytest.fixture
def place() -> Memory:
    return Memory(HandClock(), rows=[("a", line(1)), ("b", line(2))], entries={"a": line(1), "b": line(9)})


async def compare(
    place: Memory, rule: LoadedRule, between: Callable[[int], None] = lambda round_: None, size: int = 1000
) -> Compared:
    """`between` is called before each further read of what differs, with its number from 1."""
    rounds = 0
    sleep = place.clock.sleep

    async def wait(seconds: float) -> None:
        nonlocal rounds
        rounds += 1
        between(rounds)
        await sleep(seconds)

    place.clock.sleep = wait  # type: ignore[method-assign]
    found = await Comparer(place, place, place.clock, CompareOptions(size)).compare(rule, lambda text: None)
    parts = (found.in_sync, found.exempt, found.unsettled, found.unverifiable, len(found.differences))
    assert sum(parts) == found.checked
    return found


def told(found: Compared) -> dict[str, list[object]]:
    return {each.key: [one["field"] for one in each.differences] for each in found.differences}


async def test_what_stands_still_and_differs_is_told_after_one_window(
    place: Memory, rule: LoadedRule
) -> None:
    found = await compare(place, rule)
    assert told(found) == {"b": ["creditLimit"]}
    window = rule.rule.window
    assert place.clock.passed == (window.lag_us + window.lead_us + window.skew_us) / 1e6


async def test_what_agrees_at_the_second_look_is_in_sync(place: Memory, rule: LoadedRule) -> None:
    def follow(round_: int) -> None:
        place.rows[1] = ("b", line(9))

    found = await compare(place, rule, follow)
    assert (found.in_sync, told(found)) == (2, {})


async def test_a_busy_key_that_always_follows_late_is_unsettled(place: Memory, rule: LoadedRule) -> None:
    def move(round_: int) -> None:
        place.entries["b"] = line(10 + round_)
        place.rows[1] = ("b", line(9 + round_))

    found = await compare(place, rule, move)
    assert (found.unsettled, told(found)) == (1, {})


async def test_a_field_that_stays_different_while_another_one_moves_is_told(
    place: Memory, rule: LoadedRule
) -> None:
    def move(round_: int) -> None:
        place.entries["b"] = line(9, rate=round_)
        place.rows[1] = ("b", line(2, rate=round_))
        place.modified += 1

    found = await compare(place, rule, move)
    assert told(found) == {"b": ["creditLimit"]}
    assert place.clock.passed > 3 * 40


async def test_rows_of_one_key_in_several_pages_are_read_together(place: Memory, rule: LoadedRule) -> None:
    place.rows.append(("a", line(1)))
    found = await compare(place, rule, size=1)
    assert told(found) == {"a": ["existence"], "b": ["creditLimit"]}
    assert found.checked == 2


async def test_keys_that_only_the_chain_has_and_those_that_nobody_can_read(
    place: Memory, rule: LoadedRule
) -> None:
    place.listed = ("a", "z", "u")
    place.entries |= {"z": line(1), "u": UNKNOWN}
    found = await compare(place, rule)
    assert told(found) == {"b": ["creditLimit"], "z": ["existence"]}
    assert found.unverifiable == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((), ABSENT),
        ((OUT, ABSENT), OUT),
        ((OUT, line(1)), line(1)),
        ((line(1), line(1)), "duplicate"),
        ((line(1), UNKNOWN), UNKNOWN),
    ],
)
def test_several_rows_are_one_value(values: tuple[Value, ...], expected: Value) -> None:
    assert value_of_rows(values) == expected

"""How far the rules are judged that a seed of another one must not make late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.sweep.pacing import RunningRules


@dataclass
class Status:
    """How far each rule is judged, and in which states its runs are."""

    verified: dict[str, int | None]
    states: dict[str, list[str]] = field(default_factory=dict)

    def rules(self) -> set[str]:
        return set(self.verified)

    def runs(self, rule: str) -> Sequence[Mapping[str, Any]]:
        return [{"state": state} for state in self.states.get(rule, ())]

    def verified_through(self, rule: str) -> int | None:
        return self.verified[rule]


def judged(status: Status, *, from_empty: bool = False) -> int | None:
    return RunningRules(status, from_empty=from_empty).verified_through("new")


def test_a_rule_of_which_a_side_stands_still_says_nothing_about_the_others() -> None:
    done = {rule: ["done"] for rule in ("a", "stands", "silent")}
    status = Status({"a": 70, "stands": 10, "silent": None}, done)
    assert judged(status) == 70


@pytest.mark.parametrize("states", [[], ["running"], ["failed", "running"]])
def test_a_rule_that_was_never_read_completely_makes_nobody_wait(states: list[str]) -> None:
    status = Status({"a": 70, "new": 90}, {"a": ["failed", "done"], "new": states})
    assert judged(status) == 70
    assert judged(Status({"new": 90}, {"new": states})) is None


def test_a_rule_that_is_seeded_again_is_one_of_those_that_run() -> None:
    assert judged(Status({"new": 90}, {"new": ["done", "running"]})) == 90


def test_where_everything_began_empty_every_rule_runs() -> None:
    assert judged(Status({"a": 70, "new": 60}), from_empty=True) == 70


def test_where_nobody_has_told_anything_nobody_waits() -> None:
    assert judged(Status({})) is None

"""Worlds whose rule changes (I15): the truth piece by piece, versions that share time out, errors shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.detector.detector import Detector
from app.detector.model import INFINITY, SECOND, Activation, Effect
from app.simulation.explaining import tell_story
from app.simulation.histories import START
from app.simulation.scenarios import Size, find_scenario
from app.simulation.truth import FOREVER, Bounds, Pieces, find_violations
from app.simulation.versions import VERSIONS
from app.simulation.world import Partition, live_partition, run_world
from app.stream.versions import RuleVersions

ONE = Size(keys=150, partitions=1, seconds=7200)
PLAIN, CONFIRMED = "rule changes", "rule changes, stalls, confirmed"


def partition_of(name: str, seed: int) -> Partition:
    scenario = find_scenario(name)
    assert scenario is not None
    return live_partition(seed, scenario, ONE, 0)


@pytest.mark.parametrize("name", [PLAIN, CONFIRMED])
def test_every_version_tells_of_its_own_time_only(name: str) -> None:
    partition = partition_of(name, 4)

    assert partition.broken == []
    assert [term.version.rule.version for term in partition.terms] == [1, 2, 3]
    assert partition.verdicts.restarts > 3
    for term in partition.terms:
        stretches = [each for mine in term.verdicts.stretches.values() for each in mine]
        assert stretches
        assert all(term.begins <= each.since < term.until for each in stretches)
    for term in partition.terms[:-1]:
        assert any(each.until == term.until for mine in term.verdicts.stretches.values() for each in mine)
        assert all(each.until < INFINITY for mine in term.verdicts.stretches.values() for each in mine)


def test_what_a_change_costs_is_declared() -> None:
    scenario = find_scenario(PLAIN)
    assert scenario is not None
    score = run_world(2, scenario, ONE)

    assert not score.failures
    assert 0 < score.unverifiable_share < 0.05


def without_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next version does not wait for the one before it."""
    hold = RuleVersions._hold

    def held(self: RuleVersions, *what: object) -> None:
        hold(self, *what)  # type: ignore[arg-type]
        for each in self.held.values():
            each.detector.is_held_back = False

    monkeypatch.setattr(RuleVersions, "_hold", held)


def without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that is over leaves its episodes as they are."""

    def end(*_: object) -> list[Effect]:
        return []

    monkeypatch.setattr(Detector, "end", end)


def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version is over as soon as everything is judged, whoever waits to be confirmed."""
    is_over = property(lambda self: self.verified_through >= self.ends_at - 1)
    monkeypatch.setattr(Detector, "is_over", is_over)


def too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version goes on for a minute after its end."""
    begin = Detector.begin

    def begun(self: Detector, at: int) -> None:
        begin(self, at + 60 * SECOND)

    monkeypatch.setattr(Detector, "begin", begun)


@pytest.mark.parametrize(
    ("name", "seed", "error", "words"),
    [
        (PLAIN, 2, without_turns, "drift.episodes is wrong"),
        (PLAIN, 0, without_end, "still open under version 1"),
        (CONFIRMED, 0, without_waiting, "missed"),
        (PLAIN, 0, too_late, "missed"),
    ],
)
def test_a_worker_that_errs_at_a_change_is_caught(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    seed: int,
    error: Callable[[pytest.MonkeyPatch], None],
    words: str,
) -> None:
    error(monkeypatch)
    scenario = find_scenario(name)
    assert scenario is not None
    score = run_world(seed, scenario, Size(keys=150, partitions=1, seconds=3600))

    assert any(words in failure.what for failure in score.failures), score.failures


def test_a_key_is_explained_through_the_versions() -> None:
    scenario = find_scenario(PLAIN)
    assert scenario is not None
    small = replace(scenario, size=ONE)
    first, second, _ = live_partition(4, small, ONE, 0).terms
    key = next(key for key in second.verdicts.stretches if key in first.verdicts.stretches)

    story = tell_story(4, small, key)

    assert {told.value["rule_version"] for told in story.transitions} >= {1, 2}
    assert any(note.startswith("version 2 judges from ") for note in story.notes)


def test_the_truth_of_another_version_compares_its_fields_within_its_tolerances() -> None:
    second = VERSIONS[1]
    window = second.rule.window
    right: Pieces = [(-FOREVER, (100, 10, "active"))]

    def found(left: object, since_s: int = 0) -> dict[int, list[tuple[int, int]]]:
        at = START + since_s * SECOND
        pieces: Pieces = [
            (-FOREVER, (100, 10, "active")),
            (at, left),
            (at + 50 * SECOND, (100, 10, "active")),
        ]
        bounds = Bounds(window.lag_us, window.lead_us, FOREVER, second.tolerances)
        return find_violations(pieces, right, bounds)

    span = [(START, START + 50 * SECOND)]
    assert found((105, 99, "active")) == {}
    assert found((95, 10, "active")) == {}
    assert found((106, 10, "active")) == {0: span}
    assert found((100, 10, "closed")) == {2: span}
    assert found("absent") == {-1: span}
    assert second.see((106, 10, "closed")) == ("closed", 106)
    assert second.agrees((105, 99, "active"), (100, 10, "active"))
    assert not second.agrees((106, 10, "active"), (100, 10, "active"))


def test_a_late_activation_takes_effect_where_nobody_has_judged() -> None:
    scenario = find_scenario(PLAIN)
    assert scenario is not None
    partition = live_partition(0, scenario, Size(30, 1, 3600), 0)
    asked = [item.effective for _, item in partition.telling.told if isinstance(item, Activation)]
    first, second = (term.begins for term in partition.terms[1:])

    assert first > asked[0], "it arrived when that had been judged"
    assert second == asked[1]
    assert partition.broken == []
    [(restarted, _), (again, _)] = partition.telling.read_by
    read_by = [partition.telling.version_read_at(at) for at in (restarted - 1, restarted, again)]
    assert read_by == [1, 2, 3]

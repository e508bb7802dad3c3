"""`driftwatch simulate`: one object, an exit code, a report, a picture of a key."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import build
from app.simulation import runs
from app.simulation.runs import plan_worlds, run_worlds, summarize
from app.simulation.scenarios import SCENARIOS, Scenario, Size, find_scenario
from app.simulation.score import Failure
from app.simulation.statistics import percentile, ratio_bounds, wilson
from app.simulation.world import live_partition

TINY = tuple(
    Scenario(each.name, each.promise, each.habits, each.manner, Size(60, 1, 3600)) for each in SCENARIOS[:4]
)


def test_the_sums_do_not_depend_on_the_number_of_processes() -> None:
    planned = list(plan_worlds(20, 300, TINY))

    alone, together = (summarize(run_worlds(planned, jobs)) for jobs in (1, 2))

    assert len(planned) == 5
    assert alone | {"jobs": 2} == together


def test_one_object_says_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.simulation.scenarios.SCENARIOS", TINY)

    result = CliRunner().invoke(build(), ["simulate", "--seed", "4", "--key-hours", "200", "--json"])

    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["false_alarms"] == told["undeclared_misses"] == 0
    assert told["precision"] == told["recall"] == 1.0
    assert told["true_drifts"] == sum(each["true"] for each in told["by_cause"].values()) > 50
    assert told["key_hours"] >= 200
    assert 0 < told["latency_p50_s"] < told["latency_p99_s"]
    assert told["unverifiable_share"] == 0.0
    assert {"seed", "scenarios", "elapsed_s", "key_hours_per_s", "baselines"} <= told.keys()


def test_a_wrong_verdict_ends_with_the_seed_and_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    right = runs.run_world

    def wrong(seed: int, scenario: Scenario) -> runs.Score:
        score = right(seed, scenario)
        score.failures.append(Failure(seed, scenario.name, "key-00007", "false alarm"))
        return score

    monkeypatch.setattr(runs, "run_world", wrong)
    monkeypatch.setattr("app.simulation.scenarios.SCENARIOS", TINY)

    result = CliRunner().invoke(build(), ["simulate", "--seed", "9", "--key-hours", "0"])

    assert result.exit_code == 1
    assert "driftwatch simulate --scenario 'left lags' --seed 9 --explain key-00007" in result.stderr


def test_what_silent_losses_show_is_told_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    healing = find_scenario("5 % of entry changes without event")
    assert healing is not None
    monkeypatch.setattr("app.simulation.scenarios.HEALING", (replace(healing, size=Size(150, 1, 7200)),))

    result = CliRunner().invoke(build(), ["simulate", "--silent-losses", "--seed", "1", "--key-hours", "0"])

    assert result.exit_code == 0, result.output
    assert "false alarm: " in result.stderr


def test_an_unknown_scenario_is_refused_with_those_that_there_are() -> None:
    result = CliRunner().invoke(build(), ["simulate", "--scenario", "tempest"])

    assert result.exit_code == 1
    assert "left stalls" in str(result.exception)


def test_the_report_has_every_scenario_cause_and_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("app.simulation.scenarios.SCENARIOS", TINY)
    monkeypatch.setattr("app.simulation.scenarios.HEALING", TINY[:1])
    path = tmp_path / "REPORT.md"

    result = CliRunner().invoke(build(), ["simulate", "--key-hours", "240", "--report", str(path)])

    assert result.exit_code == 0, result.output
    text = path.read_text()
    for word in (
        "| manual edit |",
        "| both stall |" if len(TINY) > 5 else "| left stalls |",
        "hourly full compare",
    ):
        assert word in text
    assert re.search(r"\| false alarms \| \*\*0\*\* \|", text)
    picture = ET.fromstring(path.with_suffix(".svg").read_text())  # noqa: S314 - our own
    assert len(picture.findall(".//{http://www.w3.org/2000/svg}rect")) > 12


def test_a_key_of_a_world_is_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "key.svg"
    monkeypatch.setattr("app.simulation.scenarios.SCENARIOS", TINY)
    key = next(iter(live_partition(31, TINY[3], TINY[3].size, 0).verdicts.stretches))

    result = CliRunner().invoke(build(), ["simulate", "--seed", "31", "--explain", key, "--svg", str(path)])

    assert result.exit_code == 0, result.output
    assert "expected" in result.stdout
    assert "opened" in result.stdout
    assert ET.fromstring(path.read_text()).tag.endswith("svg")  # noqa: S314 - our own


def test_bounds_and_percentiles() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(1000, 1000)
    assert (round(low, 5), high) == (0.99617, 1.0)
    low, high = wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert ratio_bounds([(1.0, 0.0)]) is None
    assert ratio_bounds([(3.0, 2.0)]) == (1.5, 0.0, float("inf"))
    assert ratio_bounds([(3.0, 2.0), (6.0, 4.0)]) == (1.5, 1.5, 1.5)
    ratio, low, high = ratio_bounds([(1.0, 1.0), (3.0, 1.0), (2.0, 1.0)]) or (0.0, 0.0, 0.0)
    assert (ratio, round(low, 4), round(high, 4)) == (2.0, 0.8684, 3.1316)
    assert percentile([], 50) is None
    assert [percentile([4.0, 1.0, 3.0, 2.0], share) for share in (25, 50, 99)] == [1.0, 2.0, 4.0]

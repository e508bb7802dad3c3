"""`driftwatch explain`: a key of a recorded log, through the codecs and the detector."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import build
from app.settings import RULES_FOLDER
from tests.simulation.world import Shape, World

RULE = str(RULES_FOLDER / "credit.yaml")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "hour.jsonl"
    lines = World(11, Shape(keys=8, partitions=2, drift_rate=0.5)).records()
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(build(), list(arguments), env={"COLUMNS": "140"})
    return result.exit_code, result.output + (str(result.exception) if result.exception else "")


def test_a_key_that_drifted_is_drawn_with_what_was_told(log: Path, tmp_path: Path) -> None:
    replayed = CliRunner().invoke(build(), ["replay", "--rules", RULE, "--from-empty", "--log", str(log)])
    told = [json.loads(line) for line in replayed.stdout.splitlines()]
    key = told[0]["value"]["key"]
    picture = tmp_path / "key.svg"

    code, output = invoke(
        "explain",
        "credit-line",
        key,
        "--log",
        str(log),
        "--rules",
        RULE,
        "--from-empty",
        "--svg",
        str(picture),
    )

    assert code == 0, output
    mine = [each for each in told if each["value"]["key"] == key]
    for each in mine:
        assert f"{each['ce_time']}  {each['value']['transition']}" in output
    assert "expected: " in output
    assert picture.read_text().startswith("<svg ")


def test_a_key_that_the_log_does_not_tell_of_is_refused(log: Path) -> None:
    code, output = invoke("explain", "credit-line", "GNOBODY", "--log", str(log), "--rules", RULE)

    assert code != 0
    assert "tells nothing of this key" in output


def test_a_rule_that_there_is_not_is_refused_with_those_that_there_are(log: Path) -> None:
    code, output = invoke("explain", "kredit", "G", "--log", str(log), "--rules", RULE)

    assert code != 0
    assert "there are: credit-line" in output


def test_a_stretch_of_time_is_drawn_alone(log: Path, tmp_path: Path) -> None:
    world = World(11, Shape(keys=8, partitions=2, drift_rate=0.5))
    key, picture = world.histories[0].key, tmp_path / "key.svg"
    span = ("--from", "2026-09-21T14:15:00Z", "--until", "2026-09-21T14:16:00Z")

    code, output = invoke(
        "explain", "credit-line", key, "--log", str(log), "--rules", RULE, *span, "--svg", str(picture)
    )

    assert code == 0, output
    assert "14:15:30" in output
    assert "14:17:00" not in picture.read_text()


def test_a_time_that_is_none_is_refused(log: Path) -> None:
    key = World(11, Shape(keys=8, partitions=2, drift_rate=0.5)).histories[0].key

    code, output = invoke(
        "explain", "credit-line", key, "--log", str(log), "--rules", RULE, "--from", "yesterday"
    )

    assert code != 0
    assert "yesterday" in output

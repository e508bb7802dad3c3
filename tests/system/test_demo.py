"""The demo as a user runs it: everything planted is found, nothing else is told, also through kills."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.commands import run_command

KINDS = {
    "missed_update",
    "manual_edit",
    "missing_row",
    "row_without_entry",
    "late_update",
    "wrong_value",
    "wrong_status",
    "before_start",
}
SMALL = ("--borrowers", "800", "--rate", "120")


async def run_demo(folder: Path, *more: str) -> dict[str, Any]:
    """The report; fails with the parts' logs where the demo did."""
    finished = await run_command("demo", "--json", "--folder", str(folder), *SMALL, *more, within=240.0)
    logs = "\n".join(path.read_text()[-2000:] for path in sorted((folder / "logs").glob("*.log")))
    assert finished.code == 0, f"{finished.out}\n{finished.err}\n{logs}"
    report: dict[str, Any] = json.loads(finished.out.splitlines()[-1])
    return report


def assert_all_found(report: dict[str, Any]) -> None:
    assert report["missed"] == 0
    assert report["false_alarms"] == 0
    assert report["found"] == report["planted"] >= 60
    assert report["canary"]["seen"] == report["canary"]["rounds"] >= 1
    assert set(report["by_kind"]) == KINDS
    assert min(counts["planted"] for counts in report["by_kind"].values()) >= 5


async def test_everything_planted_is_found_and_nothing_else_is_told(tmp_path: Path) -> None:
    report = await run_demo(tmp_path, "--for", "25s", "--seed", "11")
    assert_all_found(report)
    assert report["restarts"] == {}
    assert report["events"] >= report["found"]
    assert report["verified_through_age_ms"] > 0
    written = "".join(path.read_text() for path in (tmp_path / "logs").glob("*.log"))
    assert "postgresql://" not in written, "an address with its credential was logged"


async def test_kills_in_the_middle_change_nothing(tmp_path: Path) -> None:
    report = await run_demo(tmp_path, "--for", "45s", "--seed", "12", "--chaos")
    assert_all_found(report)
    assert report["restarts"] == {"worker": 1, "poller": 1, "connect": 1}
    assert report["second_ids"] == 0


async def test_a_length_that_is_none_is_refused_at_once() -> None:
    refused = await run_command("demo", "--for", "soon")
    assert refused.code == 2
    assert "90s or 2m" in refused.err

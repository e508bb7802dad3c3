"""Runs the tiers of tests, each as a pytest session of its own, and sums them up as one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from app.clock import SystemClock

HERE = Path(__file__).parent
TIERS = {
    "unit": ["unit", "properties", "test_house.py"],
    "simulation": ["simulation"],
    "contract": ["contract"],
    "integration": ["integration"],
    "system": ["system"],
    "recorded": ["recorded"],
}
GATED = "unit"
"""The tier that must cover every branch of the detector (pyproject.toml, tool.coverage)."""
ALONE = ("unit", "simulation", "contract", "integration", "system")
"""What a clone can run with nothing beside it."""
SIDE_BY_SIDE = ("integration", "system")
"""Tiers that wait most of their time, each for services of its own."""


class Ran(NamedTuple):
    """A session: its counts, its exit code, and what it printed where that was kept."""

    counts: dict[str, int]
    code: int
    printed: str = ""


def main(arguments: list[str]) -> int:
    """Run the tiers named (default: all that need only this clone); 0 when every one of them passed."""
    unknown = [name for name in arguments if name not in TIERS]
    if unknown:
        print(f"no tier {', '.join(unknown)}: there are {', '.join(TIERS)}", file=sys.stderr)
        return 2
    clock = SystemClock()
    started, failed, totals = (
        clock.monotonic_s(),
        [],
        dict.fromkeys(("tests", "failures", "errors", "skipped"), 0),
    )
    for tiers in group(arguments or ALONE):
        for tier, ran in zip(tiers, run_tiers(tiers), strict=True):
            if ran.code != 0:
                failed.append(tier)
            for name in totals:
                totals[name] += ran.counts.get(name, 0)
    print(summary(totals, failed, clock.monotonic_s() - started))
    return 1 if failed else 0


def group(tiers: Sequence[str]) -> list[tuple[str, ...]]:
    """The tiers in their order, those together that run side by side."""
    together = tuple(tier for tier in tiers if tier in SIDE_BY_SIDE)
    return [(tier,) for tier in tiers if tier not in SIDE_BY_SIDE] + ([together] if together else [])


def run_tiers(tiers: Sequence[str]) -> list[Ran]:
    """Sessions side by side. What the first one prints is seen at once, that of the others when they are
    over."""
    print(f"--- {', '.join(tiers)}", flush=True)
    with ThreadPoolExecutor(len(tiers)) as pool:
        running = [pool.submit(run_tier, tier, is_kept=tier != tiers[0]) for tier in tiers]
        ran = [each.result() for each in running]
    for tier, each in zip(tiers[1:], ran[1:], strict=True):
        print(f"--- {tier}\n{each.printed}", flush=True)
    return ran


def run_tier(tier: str, *, is_kept: bool = False) -> Ran:
    """One session; a tier without a test has failed. `is_kept`: nothing is printed, it is in the result."""
    paths = [str(HERE / name) for name in TIERS[tier]]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "junit.xml"
        runner = ["coverage", "run", f"--data-file={folder}/coverage", "-m"] if tier == GATED else []
        command = [sys.executable, "-m", *runner, "pytest", "-q", f"--junit-xml={report}", *paths]
        kept = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if is_kept else {}
        done = subprocess.run(command, cwd=HERE.parent, check=False, text=True, **kept)  # type: ignore[call-overload]
        code = done.returncode
        if tier == GATED and code == 0:
            gate = [sys.executable, "-m", "coverage", "report", f"--data-file={folder}/coverage"]
            code = subprocess.run(gate, cwd=HERE.parent, check=False).returncode
        if not report.exists():
            return Ran({"errors": 1}, code or 1, done.stdout or "")
        suite = ET.parse(report).getroot().find("testsuite")  # noqa: S314 - pytest wrote it just now
    attributes = {} if suite is None else suite.attrib
    counts = {name: int(value) for name, value in attributes.items() if value.isdigit()}
    return Ran(counts, code, done.stdout or "")


def summary(totals: dict[str, int], failed: list[str], seconds: float) -> str:
    """One line as pytest ends with."""
    passed = totals["tests"] - totals["failures"] - totals["errors"] - totals["skipped"]
    parts = [
        f"{totals[name]} {word}"
        for name, word in (("failures", "failed"), ("errors", "errors"))
        if totals[name]
    ]
    parts += [f"{passed} passed"] + ([f"{totals['skipped']} skipped"] if totals["skipped"] else [])
    text = f" {', '.join(parts)} in {seconds:.2f}s "
    where = f"failed: {', '.join(failed)}\n" if failed else ""
    return where + text.center(79, "=")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""Runs the tiers of tests, each as a pytest session of its own, and sums them up as one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from app.clock import SystemClock

HERE = Path(__file__).parent
TIERS = {
    "unit": ["unit", "properties", "test_house.py"],
    "simulation": ["simulation"],
    "contract": ["contract"],
    "integration": ["integration"],
    "recorded": ["recorded"],
}
GATED = "unit"
"""The tier that must cover every branch of the detector (pyproject.toml, tool.coverage)."""
ALONE = ("unit", "simulation", "contract", "integration")
"""What a clone can run with nothing beside it."""


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
    for tier in arguments or ALONE:
        counts, code = run_tier(tier)
        if code != 0:
            failed.append(tier)
        for name in totals:
            totals[name] += counts.get(name, 0)
    print(summary(totals, failed, clock.monotonic_s() - started))
    return 1 if failed else 0


def run_tier(tier: str) -> tuple[dict[str, int], int]:
    """The counts and the exit code of one session; a tier without a test has failed."""
    paths = [str(HERE / name) for name in TIERS[tier]]
    print(f"--- {tier}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "junit.xml"
        runner = ["coverage", "run", f"--data-file={folder}/coverage", "-m"] if tier == GATED else []
        command = [sys.executable, "-m", *runner, "pytest", "-q", f"--junit-xml={report}", *paths]
        code = subprocess.run(command, cwd=HERE.parent, check=False).returncode
        if tier == GATED and code == 0:
            gate = [sys.executable, "-m", "coverage", "report", f"--data-file={folder}/coverage"]
            code = subprocess.run(gate, cwd=HERE.parent, check=False).returncode
        if not report.exists():
            return {"errors": 1}, code or 1
        suite = ET.parse(report).getroot().find("testsuite")  # noqa: S314 - pytest wrote it just now
    attributes = {} if suite is None else suite.attrib
    return {name: int(value) for name, value in attributes.items() if value.isdigit()}, code


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

"""Measures the worker on a broker of its own: `python -m tests.bench [--json]`.

Variants run in interleaved rounds, and ratios are taken within a round, since machines are shared. The last
line of stdout with `--json` is one object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from pathlib import Path

from app.clock import SystemClock
from app.native.stack import NativeStack
from tests.bench.detector_core import measure_core, measure_replay
from tests.bench.latency import measure_latency
from tests.bench.measured import Measured, Order
from tests.bench.running import Rates, measure_rates, report, run
from tests.bench.workload import RULE, load, load_quiet_keys, make_records

QUIET_KEYS = 1_000_000
TARGETS = {
    "trivial_vs_bare": ("at least", 0.8),
    "worker_vs_bare": ("at least", 0.8),
    "worker_vs_stock": ("at least", 6.0),
    "worker_events_per_s": ("at least", 35_000.0),
    "replay_records_per_s": ("at least", 60_000.0),
    "recovery_1m_s": ("at most", 10.0),
    "recovery_1m_rss_mb": ("at most", 1_200.0),
    "latency_p99_ms": ("at most", 100.0),
}


async def measure(folder: Path) -> dict[str, float]:
    """Every figure by its name."""
    figures = measure_core() | measure_replay()
    async with NativeStack(folder / "stack", SystemClock()) as stack:
        report("loading records")
        told, prefix = make_records(), f"bench{os.getpid()}."
        await load(stack.kafka, prefix, told)
        figures |= figures_of(await measure_rates(stack.kafka, prefix, len(told)))
        latencies = await measure_latency(stack.kafka, folder)
        figures |= {
            "latency_p50_ms": latencies[len(latencies) // 2] * 1000,
            "latency_p99_ms": latencies[len(latencies) * 99 // 100] * 1000,
            "latency_events": len(latencies),
        }
        figures |= await measure_recovery(stack.kafka)
    return figures


def figures_of(rates: Rates) -> dict[str, float]:
    """The rates and their ratios."""
    low, high = rates.spread("worker, detector")
    return {
        "trivial_vs_bare": rates.ratio("worker, trivial", "bare, trivial"),
        "worker_vs_bare": rates.ratio("worker, detector", "bare, detector"),
        "worker_vs_stock": rates.ratio("worker, detector", "stock Faust, detector"),
        "worker_events_per_s": rates.rate("worker, detector"),
        "worker_events_per_s_lowest": low,
        "worker_events_per_s_highest": high,
        "worker_cpu_us_per_event": rates.cpu_us("worker, detector"),
        "bare_events_per_s": rates.rate("bare, detector"),
        "bare_cpu_us_per_event": rates.cpu_us("bare, detector"),
        "trivial_cpu_us_per_event": rates.cpu_us("worker, trivial"),
        "bare_trivial_cpu_us_per_event": rates.cpu_us("bare, trivial"),
        "trivial_events_per_s": rates.rate("worker, trivial"),
        "bare_trivial_events_per_s": rates.rate("bare, trivial"),
        "stock_events_per_s": rates.rate("stock Faust, detector"),
    }


async def measure_recovery(brokers: str) -> dict[str, float]:
    """A worker comes back to a million quiet keys; best of two: the first reads a cold page cache."""
    prefix = f"recovery{os.getpid()}."
    app_id = f"{prefix}worker"
    report("loading quiet keys")
    size = await load_quiet_keys(brokers, app_id, prefix, QUIET_KEYS)
    order = Order("recover", RULE, brokers, prefix, app_id, 0)
    found: list[Measured] = []
    for _ in range(2):
        found.append(await run(order))
        report(f"recovery: {found[-1].seconds:.1f} s, {found[-1].rss_mb:,.0f} MB")
    assert all(one.events == 2 * QUIET_KEYS for one in found), "rows of both sides of every key"
    best = min(found, key=lambda one: one.seconds)
    return {"recovery_1m_s": best.seconds, "recovery_1m_rss_mb": best.rss_mb, "quiet_key_bytes": size}


def show(figures: dict[str, float]) -> None:
    """A readable table, with what was to be held."""
    for name, value in figures.items():
        how, target = TARGETS.get(name, ("", 0.0))
        shown = f"{value:,.2f}" if value < 100 else f"{value:,.0f}"
        held = (value >= target) if how == "at least" else (value <= target)
        note = f"{how} {target:,g}: {'held' if held else 'MISSED'}" if how else ""
        print(f"{name:30} {shown:>12}  {note}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="driftwatch-bench-") as folder:
        figures = asyncio.run(measure(Path(folder)))
    if arguments.json:
        print(json.dumps({name: round(value, 3) for name, value in figures.items()}))
    else:
        show(figures)


if __name__ == "__main__":
    main()

"""Many worlds, on as many cores as allowed: the same sums whatever their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from app.simulation.scenarios import SCENARIOS, Scenario
from app.simulation.score import Score
from app.simulation.statistics import percentile
from app.simulation.world import run_world

HOUR_US: Final = 3_600_000_000


@dataclass(slots=True)
class Run:
    """What a run of worlds came to, by scenario and in all."""

    seed: int
    asked_key_hours: float = 0.0
    by_scenario: dict[str, Score] = field(default_factory=dict)
    elapsed_s: float = 0.0
    jobs: int = 1

    @property
    def total(self) -> Score:
        """Sums over all scenarios."""
        found = Score()
        for score in self.by_scenario.values():
            found.add(score)
        return found


def plan_worlds(
    seed: int, key_hours: float, scenarios: Sequence[Scenario] = SCENARIOS
) -> Iterator[tuple[int, Scenario]]:
    """Worlds of consecutive seeds, the scenarios in turn, until they come to so many key-hours; one at
    least."""
    planned = 0.0
    while True:
        scenario = scenarios[seed % len(scenarios)]
        yield seed, scenario
        seed, planned = seed + 1, planned + scenario.size.key_hours
        if planned >= key_hours:
            return


def run_worlds(
    planned: Sequence[tuple[int, Scenario]], jobs: int, progress: Callable[[Run, int], None] | None = None
) -> Run:
    """Run and sum up worlds, in order; `progress` gets what has been summed up after each."""
    run = Run(planned[0][0], jobs=jobs)
    for number, (scenario, score) in enumerate(_scores(planned, jobs), 1):
        run.by_scenario.setdefault(scenario.name, Score()).add(score)
        if progress is not None:
            progress(run, number)
    return run


def _scores(planned: Sequence[tuple[int, Scenario]], jobs: int) -> Iterator[tuple[Scenario, Score]]:
    if jobs == 1:
        for seed, scenario in planned:
            yield scenario, run_world(seed, scenario)
        return
    with ProcessPoolExecutor(jobs) as pool:
        scores = pool.map(_run_planned, planned, chunksize=2)
        for (_, scenario), score in zip(planned, scores, strict=True):
            yield scenario, score


def _run_planned(planned: tuple[int, Scenario]) -> Score:
    return run_world(*planned)


def summarize(run: Run) -> dict[str, Any]:
    """The run as one JSON object; shares between 0 and 1, latencies in seconds of the simulated clock from
    the start of a true drift to the arrival of what let it be told."""
    total, own = run.total, run.total.own
    rounded = partial(round, ndigits=6)
    return {
        "seed": run.seed,
        "worlds": total.worlds,
        "key_hours": round(total.key_us / HOUR_US, 1),
        "true_drifts": total.true_drifts,
        "by_cause": {
            name: {"true": true, "found": found} for name, (true, found) in sorted(total.by_cause.items())
        },
        "alarms": own.alarms,
        "false_alarms": own.false_alarms,
        "undeclared_misses": total.undeclared_misses,
        "declared_misses": total.declared_misses,
        "unverifiable_share": rounded(total.unverifiable_share),
        "precision": rounded(own.precision),
        "recall": rounded(own.recall),
        "latency_p50_s": _second(percentile(own.latencies_s, 50)),
        "latency_p99_s": _second(percentile(own.latencies_s, 99)),
        "scenarios": {name: _scenario(score) for name, score in run.by_scenario.items()},
        "baselines": {
            name: {
                "alarms": tally.alarms,
                "false_alarms": tally.false_alarms,
                "misses": tally.misses,
                "precision": rounded(tally.precision),
                "recall": rounded(tally.recall),
                "latency_p50_s": _second(percentile(tally.latencies_s, 50)),
            }
            for name, tally in total.baselines.items()
        },
        "failures": [failure._asdict() for failure in total.failures],
        "elapsed_s": round(run.elapsed_s, 2),
        "jobs": run.jobs,
        "key_hours_per_s": round(total.key_us / HOUR_US / run.elapsed_s, 1) if run.elapsed_s else None,
    }


def _scenario(score: Score) -> dict[str, Any]:
    return {
        "worlds": score.worlds,
        "key_hours": round(score.key_us / HOUR_US, 1),
        "true_drifts": score.true_drifts,
        "false_alarms": score.own.false_alarms,
        "late_ends": score.own.late_ends,
        "undeclared_misses": score.undeclared_misses,
        "declared_misses": score.declared_misses,
        "unverifiable_share": round(score.unverifiable_share, 6),
        "omniscient_share": round(score.omniscient_share, 6),
        "noticed_share": round(score.noticed_share, 6),
        "to_omniscient": _rounded(score.to_omniscient),
        "to_noticed": _rounded(score.to_noticed),
    }


def _rounded(ratio: tuple[float, float, float] | None) -> list[float] | None:
    return None if ratio is None else [round(each, 3) for each in ratio]


def _second(value: float | None) -> float | None:
    return None if value is None else round(value, 2)

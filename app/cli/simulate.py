"""`driftwatch simulate`: how often is the detector right? Seeded worlds that know the answer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.errors import Fatal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.simulation.runs import Run
    from app.simulation.scenarios import Scenario


_SILENT_SHARE = 0.4
"""How many key-hours of a report go to losses that nothing tells of."""


def register(commands: typer.Typer) -> None:
    """Add `simulate`."""
    commands.command("simulate")(simulate)


def simulate(
    seed: Annotated[int, typer.Option(help="Seed of the first world; the same seed is the same world.")] = 0,
    key_hours: Annotated[
        float, typer.Option("--key-hours", help="How many key-hours to live through; one world at least.")
    ] = 40_000.0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at once.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    scenario: Annotated[str | None, typer.Option(help="Worlds of this scenario only.")] = None,
    silent_losses: Annotated[
        bool, typer.Option("--silent-losses", help="Worlds whose lost input nothing tells of, instead.")
    ] = False,
    explain: Annotated[
        str | None, typer.Option(metavar="KEY", help="Draw this key of the world of the seed.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="With --explain: draw from this time on.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="With --explain: up to this time.")] = None,
    svg: Annotated[Path | None, typer.Option(help="With --explain: write the drawing here as SVG.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write the report here as Markdown, and its picture beside it.")
    ] = None,
) -> None:
    """Live through seeded worlds, hold every verdict against the truth, and sum up. Exit code 1 on a false
    alarm or a miss that was not declared."""
    from app.telemetry import configure_logging

    configure_logging("WARNING")
    scenarios = _choose(scenario, silent_losses=silent_losses)
    if explain is not None:
        from app.cli._pictures import View, show_story
        from app.simulation.explaining import tell_story

        story = tell_story(seed, scenarios[seed % len(scenarios)], explain)
        show_story(story, View(start, until, svg))
        return
    run = _run(seed, key_hours, scenarios, jobs)
    _tell(run, as_json=as_json)
    if report is not None:
        from app.simulation.report import write_report
        from app.simulation.scenarios import HEALING

        write_report(run, _run(seed, key_hours * _SILENT_SHARE, HEALING, jobs), report)
    if _is_wrong(run):
        raise typer.Exit(1)


def _run(seed: int, key_hours: float, scenarios: Sequence[Scenario], jobs: int) -> Run:
    """Live through the worlds, with a line of progress where a person looks on."""
    from app.clock import SystemClock
    from app.simulation.runs import plan_worlds, run_worlds

    clock = SystemClock()
    started = clock.monotonic_s()
    planned = list(plan_worlds(seed, key_hours, scenarios))

    def progress(_: Run, done: int) -> None:
        if sys.stderr.isatty():
            typer.echo(f"\r{done} of {len(planned)} worlds", nl=done == len(planned), err=True)

    run = run_worlds(planned, jobs, progress)
    run.asked_key_hours = key_hours
    run.elapsed_s = clock.monotonic_s() - started
    return run


def _is_wrong(run: Run) -> bool:
    """Was a verdict wrong where the scenario's promise forbids it?"""
    from app.simulation.scenarios import HEALING

    permitted = {each.name for each in HEALING}
    return any(score.failures for name, score in run.by_scenario.items() if name not in permitted)


def _choose(name: str | None, *, silent_losses: bool) -> Sequence[Scenario]:
    from app.simulation.scenarios import HEALING, SCENARIOS, find_scenario

    if name is None:
        return HEALING if silent_losses else SCENARIOS
    found = find_scenario(name)
    if found is None:
        names = ", ".join(each.name for each in (*SCENARIOS, *HEALING))
        raise Fatal("simulating", name, "no such scenario", f"there are: {names}")
    return [found]


def _tell(run: Run, *, as_json: bool) -> None:
    import orjson

    from app.simulation.runs import summarize

    summary = summarize(run)
    if as_json:
        typer.echo(orjson.dumps(summary).decode())
    else:
        from rich.console import Console

        from app.simulation.report import summary_table

        Console().print(summary_table(summary))
    for failure in run.total.failures:
        again = f"driftwatch simulate --scenario '{failure.scenario}' --seed {failure.seed}"
        explained = f" --explain {failure.key}" if failure.key else " --key-hours 0"
        typer.echo(f"seed {failure.seed}, {failure.scenario}, {failure.key}: {failure.what}", err=True)
        typer.echo(f"    {again}{explained}", err=True)

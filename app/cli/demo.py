"""`driftwatch demo`: the whole system on this machine, drift planted in it, and the score."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from app.errors import Fatal

if TYPE_CHECKING:
    from rich.console import RenderableType

    from app.demo.run import Demo

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, None: 1.0}
_UNTIL_STOPPED_S = 120.0
"""Without --for, drift is planted over this time; the load goes on until Ctrl-C."""


def register(commands: typer.Typer) -> None:
    """Add `demo`."""
    commands.command("demo")(demo)


def demo(
    duration: Annotated[
        str | None, typer.Option("--for", metavar="90s", help="Length of the load (default: until Ctrl-C).")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same world again.")] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object at the end and nothing else on stdout.")
    ] = False,
    chaos: Annotated[
        bool, typer.Option("--chaos", help="kill -9 worker, poller and Connect in the middle.")
    ] = False,
    system: Annotated[
        str, typer.Option(metavar="credit|escrow", help="Credit lines, or invoices with one contract each.")
    ] = "credit",
    keys: Annotated[
        int | None,
        typer.Option(
            "--keys",
            "--borrowers",
            min=200,
            help="Borrowers (default: 2400) or invoices (1200); half of them are there before it starts.",
        ),
    ] = None,
    rate: Annotated[
        int | None, typer.Option(min=1, help="Changes a second (default: 260, of invoices 120).")
    ] = None,
    ledger: Annotated[int, typer.Option(min=1, help="Seconds between two ledgers.")] = 2,
    folder: Annotated[
        Path | None, typer.Option(help="Keep data and logs here (default: a temporary folder, removed).")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Write the last view here, as SVG.")] = None,
    drill: Annotated[
        str | None,
        typer.Option(
            metavar="all|NAME[,NAME]", help="Lose input instead; app/sweep/README.md has the names."
        ),
    ] = None,
) -> None:
    """Start everything, plant drift, show what is found, and say at the end what was missed.

    Exit code 1 when a planted drift was missed or something was told that was not there, or a drill failed.
    """
    from app.telemetry import configure_logging

    configure_logging("WARNING")
    if drill is not None:
        from app.cli._drills import run_drills

        raise typer.Exit(run_drills(drill, seed, folder, as_json=as_json))
    seconds = None if duration is None else parse_duration(duration)
    place = folder or Path(tempfile.mkdtemp(prefix="driftwatch-demo-"))
    running = build_demo(place, seconds, seed=seed, chaos=chaos, size=Size(system, keys, rate, ledger))
    try:
        report = asyncio.run(_run(running, as_json=as_json))
    except asyncio.CancelledError:
        typer.echo("driftwatch demo: stopped before it had started; there is nothing to score", err=True)
        raise typer.Exit(130) from None
    finally:
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)
    _conclude(report, as_json=as_json)
    if picture is not None:
        _draw(running, report, picture)
    if any(report[count] for count in ("missed", "false_alarms", "unplanned_missed", "second_ids")):
        raise typer.Exit(1)


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `2m`, `500ms` or `90`. Raises `Fatal` on anything else."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise Fatal("reading", text, "this is no duration", "say 90s or 2m")
    return float(match[1]) * _SECONDS[match[2]]


class Size(NamedTuple):
    """How big a demo of which system is; None: as is usual for that one."""

    system: str
    keys: int | None
    rate: int | None
    ledger_s: int


def build_demo(place: Path, seconds: float | None, *, seed: int, chaos: bool, size: Size) -> Demo:
    """A demo that has not begun. Raises `Fatal` for a system that is not known."""
    from app.clock import SystemClock
    from app.demo.run import Demo, DemoOptions
    from app.demo.system import System, SystemOptions
    from app.demo.systems import find_kind
    from app.demo.truth import Window
    from app.demo.world import WorldShape

    kind = find_kind(size.system)
    window = Window(lag_us=6_000_000, lead_us=4_000_000, skew_us=500_000, min_us=500_000)
    shape = WorldShape(
        seed=seed,
        borrowers=size.keys or kind.keys,
        seconds=seconds or _UNTIL_STOPPED_S,
        changes_per_s=size.rate or kind.rate,
        window=window,
        planted_of_each=kind.planted_of_each,
    )
    clock = SystemClock()
    place.mkdir(parents=True, exist_ok=True)
    system = System(SystemOptions(place, window, chaos=chaos, canary=True, setting=kind.setting), clock)
    options = DemoOptions(seconds, chaos=chaos, ledger_s=size.ledger_s)
    return Demo(options, kind.scenario(shape), system, clock)


async def _run(running: Demo, *, as_json: bool) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(running.run())

    def stop() -> None:
        running.stop.set()
        if running.progress.startup_s is None:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    if as_json or not sys.stdout.isatty():
        await _tell_phases(running, task)
    else:
        from rich.live import Live

        with Live(get_renderable=lambda: _picture(running), refresh_per_second=4, screen=False):
            await asyncio.wait({task})
    return task.result()


async def _tell_phases(running: Demo, task: asyncio.Task[dict[str, Any]]) -> None:
    """On stderr, a line when the phase changes and one every ten seconds."""
    from app.clock import SystemClock

    clock, told, next_line = SystemClock(), "", 0.0
    while not task.done():
        progress = running.progress
        now = clock.monotonic_s()
        if progress.phase != told or now >= next_line:
            told, next_line = progress.phase, now + 10
            typer.echo(
                f"{told}: {progress.planted} planted, {len(running.events)} events, "
                f"{progress.written} rows written, {progress.ledgers} ledgers",
                err=True,
            )
        await asyncio.wait({task}, timeout=0.2)


def _picture(running: Demo) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from app.cli._mismatches import mismatch_table

    progress = running.progress
    age = "-" if progress.verified_age_s is None else f"{progress.verified_age_s:.1f} s ago"
    head = Text.assemble(
        ("driftwatch demo  ", "bold"),
        (progress.phase, "cyan"),
        f"   {progress.planted} planted   {len(progress.opened_keys)} keys told   "
        f"{len(running.events)} events   {progress.written} rows   {progress.ledgers} ledgers   "
        f"verified through {age}",
        ("" if not progress.notes else "   " + ", ".join(progress.notes), "yellow"),
    )
    return Group(head, Text(), mismatch_table(list(progress.latest)))


def _draw(running: Demo, report: dict[str, Any], place: Path) -> None:
    """The last view and the score, as a terminal shows them."""
    import io

    from rich._export_format import CONSOLE_SVG_FORMAT
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=124, file=io.StringIO(), force_terminal=True)
    console.print(_picture(running))
    console.print(Text())
    for line in _sentences(report):
        console.print(line, highlight=False)
    # Without rich's reference to a web font: the picture needs nothing but itself.
    template = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    console.save_svg(str(place), title="driftwatch demo", code_format=template)


def _conclude(report: dict[str, Any], *, as_json: bool) -> None:
    import orjson

    if as_json:
        typer.echo(orjson.dumps(report).decode())
        return
    typer.echo("")
    for line in _sentences(report):
        typer.echo(line)
    for what, lines in report["details"].items():
        for line in lines:
            typer.echo(f"{what}: {line}")


def _sentences(report: dict[str, Any]) -> list[str]:
    """The score in words."""
    kinds = [
        f"  {kind:18} {counts['found']} of {counts['planted']}" for kind, counts in report["by_kind"].items()
    ]
    harmless = f" (and {report['harmless']} changes that are no drift)" if report["harmless"] else ""
    return [
        f"planted {report['planted']}{harmless}, found {report['found']}, missed {report['missed']}, "
        f"false alarms {report['false_alarms']}",
        *kinds,
        f"from the moment that a verdict was possible to its event: {_seconds(report['detection_p50_ms'])} "
        f"(p50), {_seconds(report['detection_p99_ms'])} (p99)",
        f"from the drift itself: {_seconds(report['drift_to_event_p50_ms'])} (p50), most of it the window",
        *([] if report["canary"] is None else [_canary_line(report["canary"])]),
        f"{report['changes_per_s']} changes a second over {_keys_of(report)}; "
        f"ready {report['startup_s']} s after the start",
    ]


def _canary_line(rounds: dict[str, int]) -> str:
    return f"the canary planted drift of its own {rounds['rounds']} times, and saw it {rounds['seen']} times"


def _keys_of(report: dict[str, Any]) -> str:
    """So many of what the world's keys are."""
    return next(f"{report[noun]} {noun}" for noun in ("borrowers", "invoices") if noun in report)


def _seconds(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds / 1000:.1f} s"

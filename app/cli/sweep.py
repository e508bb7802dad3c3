"""`driftwatch sweep`: ask for a sweep, and look on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.errors import Fatal

if TYPE_CHECKING:
    from app.settings import Settings
    from connectors.kafka.requests import SweepRequest


def register(commands: typer.Typer) -> None:
    """Add the command."""
    commands.command("sweep")(sweep)


def sweep(
    rule: Annotated[str, typer.Argument(help="Id of a rule.")],
    follow: Annotated[bool, typer.Option("--follow", help="Show how far it is until it is over.")] = False,
    pause: Annotated[bool, typer.Option("--pause", help="Let the rule's sweep stand still.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Let it go on.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --follow: the run's record, one a line.")
    ] = False,
) -> None:
    """Read both sides of a rule again, completely; `driftwatch sweeper` does it.

    With --follow the exit code is 1 when the run fails, also by drift where its rule says fail_run_on.
    """
    from app import telemetry

    telemetry.configure_logging("WARNING")
    if pause and resume:
        raise Fatal("sweeping", rule, "--pause and --resume together say nothing", "say one of them")
    action = "pause" if pause else "resume" if resume else "start"
    if asyncio.run(_sweep(rule, action, follow=follow, as_json=as_json)) == "failed":
        raise typer.Exit(1)


async def _sweep(rule: str, action: Any, *, follow: bool, as_json: bool) -> str | None:
    import os

    from app.cli._rules import choose
    from app.clock import SystemClock
    from app.detector.values import derive_id
    from app.rules import load_rules
    from app.settings import load_settings
    from app.sweep.desk import PERSON
    from connectors.kafka.requests import SweepRequest, send_requests

    settings = load_settings()
    choose(load_rules(settings.rules, os.environ), [rule], "sweeping")
    clock = SystemClock()
    run = derive_id("sweep", rule, PERSON, clock.now_us(), os.getpid())
    request = SweepRequest(rule, run, PERSON, action)
    if action != "start" or not follow:
        await send_requests(settings, [request])
        typer.echo(f"{rule}: asked, run {run}" if action == "start" else f"{rule}: asked to {action}")
        return None
    return await _follow(settings, request, as_json=as_json)


async def _follow(settings: Settings, request: SweepRequest, *, as_json: bool) -> str:
    """Ask, then show each state of the run (or of the one that it became part of) until it is over."""
    import orjson

    from app.clock import SystemClock
    from connectors.kafka.requests import send_requests
    from connectors.kafka.status import StatusView

    clock, run, shown = SystemClock(), request.run, ""
    async with StatusView(settings) as view:
        await send_requests(settings, [request])
        while True:
            record = view.run(request.rule, run)
            if record is not None:
                line = orjson.dumps(record).decode() if as_json else _line(record)
                if line != shown:
                    typer.echo(line)
                    shown = line
                if record["state"] == "merged":
                    run = record["into"]
                elif record["state"] in ("done", "failed"):
                    return str(record["state"])
            await clock.sleep(0.25)


def _line(run: Mapping[str, Any]) -> str:
    parts = ("in_sync", "drifting", "in_flight", "exempt", "unverifiable", "repaired", "errors")
    shown = ", ".join(f"{run[part]} {part.replace('_', ' ')}" for part in parts if run[part])
    why = f" ({run['why']})" if run["why"] else ""
    return f"{run['rule']}: {run['state']}, {run['checked']} checked" + (f": {shown}" if shown else "") + why

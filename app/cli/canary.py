"""`driftwatch canary`: keep planting drift of our own, and tell when it is not seen."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli._stopping import stop_on_signals

if TYPE_CHECKING:
    from app.desk.canary import CanaryOptions
    from connectors.postgres.canary import CanaryTable


def register(commands: typer.Typer) -> None:
    """Add the command."""
    commands.command("canary")(canary)


def canary(
    create: Annotated[bool, typer.Option("--create", help="Make the table, and end.")] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Print what --create would run, and end.")] = False,
    every: Annotated[str, typer.Option(metavar="60s", help="A round each so long.")] = "60s",
    within: Annotated[str, typer.Option(metavar="60s", help="What takes longer is missed.")] = "60s",
) -> None:
    """Plant a row without an entry, wait until it is told, take it away, wait until that is told: again and
    again.

    Rows stand in a table of the canary's own (public.driftwatch_canary); its rule app/rules/canary.yaml must
    be among DRIFTWATCH_RULES of all processes. Nothing is written to a chain.
    """
    from app.cli.demo import parse_duration
    from app.desk.canary import RULE, CanaryOptions
    from app.errors import Fatal
    from app.rules import load_rules
    from app.settings import load_settings
    from app.telemetry import configure_logging
    from connectors.postgres.canary import CanaryTable, statement

    if sql:
        typer.echo(statement("create"), nl=False)
        return
    configure_logging()
    settings = load_settings()
    if create:
        asyncio.run(_create(CanaryTable(settings.database)))
        return
    known = load_rules(settings.rules, os.environ, lenient_environment=True)
    if RULE not in {each.rule.id for each in known}:
        hint = "add app/rules/canary.yaml to DRIFTWATCH_RULES of every process"
        raise Fatal("starting", "the canary", f"no rule is called {RULE}", hint)
    options = CanaryOptions(parse_duration(every), parse_duration(within))
    if options.every_s <= 0 or options.within_s <= 0:
        raise Fatal("starting", "the canary", "--every and --within must be longer than nothing")
    asyncio.run(_run(options))


async def _create(table: CanaryTable) -> None:
    try:
        await table.create()
    finally:
        await table.close()


async def _run(options: CanaryOptions) -> None:
    from app.clock import SystemClock
    from app.desk.canary import CanaryMetrics
    from app.settings import load_settings
    from app.telemetry import serve
    from app.wiring.canary import open_canary

    stop, settings, metrics = stop_on_signals(), load_settings(), CanaryMetrics()
    async with open_canary(settings, SystemClock(), metrics, options) as rounds:
        endpoint = await serve(
            metrics.registry,
            settings.metrics_address("canary"),
            is_ready=lambda: rounds.why_not_ready,
        )
        try:
            await rounds.run(stop)
        finally:
            await endpoint.close()

"""`driftwatch seed`: read both sides once, so that what was never heard of is known to be absent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.sweep.seed import SeedOptions


def register(commands: typer.Typer) -> None:
    """Add `seed`."""
    commands.command("seed")(seed)


def seed(
    rules: Annotated[list[str] | None, typer.Argument(help="Ids of rules (default: all).")] = None,
    if_needed: Annotated[
        bool, typer.Option("--if-needed", help="Only rules that were never seeded as they are now.")
    ] = False,
    page_size: Annotated[int, typer.Option(min=1, max=1000, help="Rows a transaction.")] = 1000,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Most rows or entries a second (default: no limit).")
    ] = None,
) -> None:
    """Read all rows and all entries once and tell them to the worker.

    Waits until the replication slot and the poller's cursor exist, and stands still while the workers of
    rules that run already are behind; may be repeated, and broken off, at any time.
    """
    from app import telemetry
    from app.sweep.seed import SeedOptions

    telemetry.configure_logging()
    asyncio.run(_seed(rules or [], SeedOptions(page_size, rate), if_needed=if_needed))


async def _seed(names: list[str], options: SeedOptions, *, if_needed: bool) -> None:
    import os

    from app.cli._rules import choose
    from app.clock import SystemClock
    from app.rules import load_rules
    from app.settings import load_settings
    from app.wiring import open_seeder

    settings = load_settings()
    chosen = choose(load_rules(settings.rules, os.environ), names, "seeding")
    async with open_seeder(settings, SystemClock(), options) as seeder:
        for rule in chosen:
            if if_needed and await seeder.is_seeded(rule):
                typer.echo(f"{rule.rule.id}: seeded before")
                continue
            run = await seeder.seed(rule)
            read = ", ".join(f"{count} {side}" for side, count in run.read.items())
            text = f"{rule.rule.id}: seeded, {read}, {run.unverifiable + run.errors} not readable"
            if run.stood_still_s:
                text += f", stood still for {run.stood_still_s:.0f} s while workers were behind"
            typer.echo(text)

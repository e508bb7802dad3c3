"""`driftwatch recorder`: keep what was found in schema recon of PostgreSQL."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from app.cli._stopping import stop_on_signals


def register(commands: typer.Typer) -> None:
    """Add the command."""
    commands.command("recorder")(recorder)


def recorder(
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            help="Empty the tables that the topics can fill again, and read the topics from their beginning. "
            "What people did is kept; what is older than the topics is gone.",
        ),
    ] = False,
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Bring schema recon to the newest revision first.")
    ] = False,
) -> None:
    """Record mismatches, runs, status and dead letters; log each mismatch. Any number may run.

    While the database is away it waits, and nobody waits for it.
    """
    from app.rules import load_rules
    from app.settings import load_settings
    from app.telemetry import configure_logging

    configure_logging()
    settings = load_settings()
    rules = load_rules(settings.rules, os.environ)

    async def run() -> None:
        from app.clock import SystemClock
        from app.telemetry import serve
        from app.wiring.desk import open_recorder, rebuild_records

        stop = stop_on_signals()
        if rebuild:
            await rebuild_records(settings)
        async with open_recorder(settings, rules, SystemClock(), migrates=migrate) as service:
            endpoint = await serve(
                service.metrics.registry,
                settings.metrics_address("recorder"),
                is_ready=lambda: service.why_not_ready,
            )
            both = [asyncio.create_task(each.run(stop)) for each in (service.recorder, service.books)]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
                stop.set()
                await asyncio.gather(*both)
            finally:
                await endpoint.close()

    asyncio.run(run())

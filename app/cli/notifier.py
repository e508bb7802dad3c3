"""`driftwatch notifier`: tell the targets of a file about drift."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from app.cli._stopping import stop_on_signals


def register(commands: typer.Typer) -> None:
    """Add the command."""
    commands.command("notifier")(notifier)


def notifier(
    from_beginning: Annotated[
        bool,
        typer.Option(
            "--from-beginning",
            help="The first time: begin with the oldest transition there is (default: with the next one).",
        ),
    ] = False,
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Bring schema recon to the newest revision first.")
    ] = False,
) -> None:
    """Tell every target of DRIFTWATCH_WEBHOOKS about drift: signed, in order per key, at least once under the
    same id.

    What is to be told is kept in PostgreSQL (`driftwatch migrate` makes the tables), so a slow or dead target
    delays nobody else, and nothing is lost meanwhile.
    """
    from app.settings import load_settings
    from app.telemetry import configure_logging
    from app.wiring.notifier import read_targets

    configure_logging()
    settings = load_settings()
    told = read_targets(settings, os.environ)

    async def run() -> None:
        from app.clock import SystemClock
        from app.desk.notifier.metrics import NotifierMetrics
        from app.telemetry import serve
        from app.wiring.notifier import open_notifier
        from connectors.postgres.migrations.upgrading import upgrade

        stop = stop_on_signals()
        if migrate:
            await upgrade(settings.desk_dsn)
        clock = SystemClock()
        metrics = NotifierMetrics([target.name for target in told[0]])
        async with open_notifier(settings, told, clock, metrics, from_beginning=from_beginning) as service:
            endpoint = await serve(
                metrics.registry,
                settings.metrics_address("notifier"),
                is_ready=lambda: service.why_not_ready,
            )
            try:
                await service.run(stop)
            finally:
                await endpoint.close()

    asyncio.run(run())

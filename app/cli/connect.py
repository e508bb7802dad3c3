"""`driftwatch connect`: keep Debezium streaming the database into Kafka."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from typing import Annotated

import typer

from app.cli._stopping import stop_on_signals


def register(commands: typer.Typer) -> None:
    """Add the command."""
    commands.command("connect")(connect)


def connect(
    create_slot: Annotated[
        bool,
        typer.Option("--create-slot", help="Make slot and publication where there are none (tells the gap)."),
    ] = False,
) -> None:
    """Run the connector from its replication slot, and watch both; refuses to start without the slot.

    Uses the Connect worker at DRIFTWATCH_CONNECT_URL, or runs one of its own.
    """
    from app.rules import load_rules
    from app.settings import load_settings
    from app.telemetry import configure_logging, serve
    from app.wiring import build_supervision

    configure_logging()
    settings = load_settings()
    rules = load_rules(settings.rules, os.environ)

    async def run() -> None:
        stop = stop_on_signals()
        with ExitStack() as folders:
            supervision = build_supervision(settings, rules, folders, create_slot=create_slot)
            endpoint = await serve(
                supervision.metrics.registry,
                settings.metrics_address("connect"),
                is_ready=lambda: supervision.why_not_ready,
            )
            try:
                await supervision.run(stop)
            finally:
                await endpoint.close()

    asyncio.run(run())

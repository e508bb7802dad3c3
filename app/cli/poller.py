"""`driftwatch poller`: follow the network's contracts into Kafka."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from app.cli._stopping import stop_on_signals


def register(commands: typer.Typer) -> None:
    """Add the command."""
    commands.command("poller")(poller)


def poller(
    from_ledger: Annotated[
        int | None,
        typer.Option(
            min=1, help="First ledger on a network that was never followed (default: the node's latest)."
        ),
    ] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="Override a setting of all rules: path=value.")
    ] = None,
) -> None:
    """Follow the chain: events, the entries that they name, marks and gaps, into chain.events."""
    from app import telemetry
    from app.rules import load_rules
    from app.settings import load_settings
    from app.wiring import build_poller

    telemetry.configure_logging()
    settings = load_settings()
    rules = load_rules(settings.rules, os.environ, override or ())
    service = build_poller(settings, rules, from_ledger)

    async def run() -> None:
        stop = stop_on_signals()
        await service.run(stop, lambda port: typer.echo(f"metrics on port {port}", err=True))

    asyncio.run(run())

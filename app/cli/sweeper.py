"""`driftwatch sweeper`: sweep rules when the clock, a loss or a person asks for it."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack

import typer

from app.cli._stopping import stop_on_signals


def register(commands: typer.Typer) -> None:
    """Add the command."""
    commands.command("sweeper")(sweeper)


def sweeper() -> None:
    """Read both sides of rules again, completely: by schedule, after every loss of input, and on request.

    A sweep never alarms: it tells the worker what it read, and the worker judges. Beside that, read live the
    keys that the worker asks about before it tells an episode; and, where `DRIFTWATCH_BEFORE_IMAGES` says so,
    tell what every entry was before each change that an event told of.
    """
    from app.rules import load_rules
    from app.settings import load_settings
    from app.telemetry import configure_logging

    configure_logging()
    settings = load_settings()
    rules = load_rules(settings.rules, os.environ)

    async def run() -> None:
        from app.clock import SystemClock
        from app.sweep.metrics import SweepMetrics
        from app.telemetry import serve
        from app.wiring import open_confirmer, open_sweeper
        from app.wiring.history import open_historian

        stop = stop_on_signals()
        clock = SystemClock()
        metrics = SweepMetrics(clock)
        async with AsyncExitStack() as stack:
            service = await stack.enter_async_context(open_sweeper(settings, rules, clock, metrics))
            confirmer = await stack.enter_async_context(
                open_confirmer(settings, rules, clock, metrics.confirm)
            )
            services = [confirmer.run, service.run]
            if settings.before_images:
                historian = open_historian(settings, rules, clock, metrics.history)
                services.append((await stack.enter_async_context(historian)).run)
            endpoint = await serve(
                metrics.registry,
                settings.metrics_address("sweeper"),
                is_ready=lambda: service.why_not_ready,
            )
            try:
                async with asyncio.TaskGroup() as tasks:
                    for serve_until in services:
                        tasks.create_task(serve_until(stop))
            finally:
                await endpoint.close()

    asyncio.run(run())

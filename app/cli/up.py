"""`driftwatch up`: every part of driftwatch in one terminal."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli._stopping import stop_on_signals

if TYPE_CHECKING:
    from app.native.supervisor import Service
    from app.settings import Settings


def register(commands: typer.Typer) -> None:
    """Add `up`."""
    commands.command("up")(up)


def up(
    create_slot: Annotated[
        bool, typer.Option("--create-slot", help="Create slot and publication where there are none.")
    ] = False,
    logs: Annotated[Path, typer.Option(help="Each part's log goes here.")] = Path("driftwatch-logs"),
) -> None:
    """Run every part against the services that the environment names, until Ctrl-C. With
    DRIFTWATCH_DESK_DATABASE recorder and API as well, with DRIFTWATCH_WEBHOOKS the notifier.

    A part that dies is started again. One that refuses its configuration ends everything, with its reason.
    """
    from app.settings import load_settings
    from app.telemetry import configure_logging

    configure_logging()
    asyncio.run(_up(load_settings(), logs, create_slot=create_slot))


def _desk_of(settings: Settings) -> list[Service]:
    """What keeps, serves and tells what was found, where the environment asks for it."""
    from app.native.supervisor import Service

    parts = []
    if settings.desk_database.get_secret_value():
        parts.append(Service("recorder", ("recorder", "--migrate"), settings.recorder_port))
        parts.append(Service("api", ("api",), settings.api_metrics_port))
    if settings.webhooks is not None:
        parts.append(Service("notifier", ("notifier", "--migrate"), settings.notifier_port))
    return parts


async def _up(settings: Settings, logs: Path, *, create_slot: bool) -> None:
    from app.clock import SystemClock
    from app.native.supervisor import Service, Supervisor
    from connectors.kafka.topics import ensure_topics

    stop = stop_on_signals()
    await ensure_topics(settings)
    parts = (
        Service("connect", ("connect", *(("--create-slot",) if create_slot else ())), settings.connect_port),
        Service("poller", ("poller",), settings.poller_port),
        Service("worker", ("worker",), settings.worker_port),
        Service("sweeper", ("sweeper",), settings.sweeper_port),
        Service("seed", ("seed", "--if-needed"), ends=True),
        *_desk_of(settings),
    )
    more = {"DRIFTWATCH_CONNECT_FOLDER": str((logs / "connect").resolve())}
    async with Supervisor(logs, more, SystemClock()) as supervisor:
        for part in parts:
            await supervisor.start(part)
            where = "" if part.port is None else f"  http://{settings.metrics_host}:{part.port}/metrics"
            typer.echo(f"started {part.name:8} log {logs / part.name}.log{where}")
        await supervisor.until_stopped(stop)
        typer.echo("stopping")

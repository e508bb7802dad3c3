"""`driftwatch topics`: make the topics that are missing, and compare those that are there."""

from __future__ import annotations

import asyncio

import typer


def register(commands: typer.Typer) -> None:
    """Add `topics`."""
    commands.command("topics")(topics)


def topics() -> None:
    """Make every topic that is missing, as the wire format wants it; nothing that exists is altered.

    The worker does this too when it starts; for those whose processes may not create topics.
    """
    from app.settings import load_settings
    from app.stream.worker import changelogs_of
    from app.telemetry import configure_logging
    from connectors.kafka.topics import ensure_topics

    configure_logging("WARNING")
    settings = load_settings()
    asyncio.run(ensure_topics(settings, changelogs_of(settings.app_id)))
    typer.echo(f"all topics are at {settings.kafka}, {settings.partitions} partitions each")

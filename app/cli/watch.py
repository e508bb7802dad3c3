"""`driftwatch watch`: mismatches as they come."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated

import typer


def register(commands: typer.Typer) -> None:
    """Add `watch`."""
    commands.command("watch")(watch)


def watch(
    rule: Annotated[str | None, typer.Option(help="Only this rule.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="What the topic still holds, then what comes.")
    ] = False,
) -> None:
    """Show mismatches as they are published. Reads drift.mismatches as any consumer may; Ctrl-C ends it."""
    with suppress(KeyboardInterrupt):
        asyncio.run(_watch(rule, as_json=as_json, from_beginning=from_beginning))


async def _watch(rule: str | None, *, as_json: bool, from_beginning: bool) -> None:
    import orjson
    from rich.console import Console

    from app.cli._mismatches import mismatch_table
    from app.clock import SystemClock
    from app.settings import load_settings
    from connectors.kafka.mismatches import open_feed
    from schemas.topics import MISMATCHES

    settings, console = load_settings(), Console()
    topic = settings.topic(MISMATCHES)
    shows_header = True
    async with open_feed(settings.kafka, topic, SystemClock(), from_beginning=from_beginning) as feed:
        typer.echo(f"watching {topic} at {settings.kafka}", err=True)
        async for mismatch in feed:
            if rule is not None and mismatch.rule != rule:
                continue
            if as_json:
                line = {
                    "ce_id": mismatch.id,
                    "ce_type": mismatch.type,
                    "ce_time": mismatch.time,
                    "headers": mismatch.headers,
                    "value": mismatch.value,
                }
                typer.echo(orjson.dumps(line).decode())
                continue
            table = mismatch_table([mismatch])
            table.show_header, shows_header = shows_header, False
            console.print(table)

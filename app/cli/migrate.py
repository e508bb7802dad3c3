"""`driftwatch migrate`: make or upgrade schema recon, in which the desk keeps what it knows."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer


def register(commands: typer.Typer) -> None:
    """Add the command."""
    commands.command("migrate")(migrate)


def migrate(
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the statements, from nothing on; no database is asked.")
    ] = False,
    after: Annotated[
        str | None, typer.Option("--from", help="With --sql: only what comes after this revision.")
    ] = None,
) -> None:
    """Bring schema recon of DRIFTWATCH_DESK_DATABASE to the newest revision, in one transaction."""
    from app.settings import load_settings
    from connectors.postgres.migrations.upgrading import statements, upgrade

    if sql:
        typer.echo(statements(after, is_transactional=True), nl=False)
        return
    before, now = asyncio.run(upgrade(load_settings().desk_dsn))
    typer.echo(
        f"schema recon is at revision {now}" + ("" if before == now else f" (was at {before or 'none'})")
    )

"""`driftwatch check`: whether everything is as it must be, one line each; `--sql` for the administrator."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.ports import Finding
    from app.rules import LoadedRule
    from app.settings import Settings


def register(commands: typer.Typer) -> None:
    """Add `check`."""
    commands.command("check")(check)


def check(
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the statements that a database administrator runs once.")
    ] = False,
    role: Annotated[
        str, typer.Option(help="With --sql: the role that the connector will use.")
    ] = "driftwatch",
) -> None:
    """Look at configuration, rules, broker, topics, database, slot and node; exit code 1 if anything must be
    mended first."""
    from app.cli._checks import find_all
    from app.clock import SystemClock
    from app.telemetry import configure_logging

    configure_logging("CRITICAL")
    settings, rules = _read_configuration(tells=not sql)
    if sql:
        _print_sql(settings, rules, role)
        return
    findings = asyncio.run(find_all(settings, rules, SystemClock()))
    for finding in findings:
        _print(finding)
    stopping = sum(finding.stops for finding in findings)
    if stopping:
        typer.echo(f"{stopping} thing(s) to mend", err=True)
        raise typer.Exit(1)


def _read_configuration(*, tells: bool) -> tuple[Settings, Sequence[LoadedRule]]:
    """Settings and rules, told as two lines; a mistake in either ends the command (exit code 2, every problem
    named)."""
    from app.ports import Finding
    from app.rules import load_rules
    from app.settings import load_settings
    from app.settings_file import find_settings_file

    settings = load_settings()
    rules = load_rules(settings.rules, os.environ)
    if tells:
        file = find_settings_file(os.environ, Path())
        place = "the environment" if file is None else f"the environment and {file}"
        _print(Finding("configuration", True, f"read from {place}"))
        named = ", ".join(f"{each.rule.id} version {each.rule.version}" for each in rules)
        _print(Finding("rules", True, named))
    return settings, rules


def _print_sql(settings: Settings, rules: Sequence[LoadedRule], role: str) -> None:
    from connectors.debezium.capture import captured_tables
    from connectors.debezium.database import Names, administrator_sql

    tables = captured_tables(rules, settings.source)
    typer.echo(administrator_sql(Names(settings.slot, settings.publication), tables, role))


def _print(finding: Finding) -> None:
    word = "ok  " if finding.is_right else "note" if finding.is_advice else "FIX "
    remedy = f"  ->  {finding.remedy}" if finding.remedy and not finding.is_right else ""
    typer.echo(f"{word}  {finding.subject}: {finding.detail}{remedy}", color=False)

"""`driftwatch compare`: both sides of a rule read now, and what differs; needs nothing but the two sides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from app.errors import DriftwatchError

if TYPE_CHECKING:
    from app.sweep.compare import Compared, CompareOptions

IN_SYNC, DIFFERENT, TROUBLE = 0, 1, 2


def register(commands: typer.Typer) -> None:
    """Add `compare`."""
    commands.command("compare")(compare)


def compare(
    rules: Annotated[list[str] | None, typer.Argument(help="Ids of rules (default: all).")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line a difference, then one with the counts; nothing else.")
    ] = False,
    wait: Annotated[
        str | None,
        typer.Option(metavar="44s", help="Time between two reads of what differs (default: the window)."),
    ] = None,
    page_size: Annotated[int, typer.Option(min=1, max=1000, help="Rows a transaction.")] = 1000,
) -> None:
    """Read both sides once, read again what differs after the rule's window, and print what still does.

    No Kafka, no replication slot, no Java: DRIFTWATCH_DATABASE and SOROBAN_RPC_URL are enough, and only
    reading rights. Exit code 0: in sync, 1: differences, 2: something could not be compared.
    """
    from app import telemetry
    from app.cli.demo import parse_duration
    from app.sweep.compare import CompareOptions

    telemetry.configure_logging("WARNING")
    try:
        options = CompareOptions(page_size, None if wait is None else parse_duration(wait))
        code = asyncio.run(_compare(rules or [], options, as_json=as_json))
    except DriftwatchError as error:
        typer.echo(f"driftwatch: {error}", err=True)
        code = TROUBLE
    raise typer.Exit(code)


async def _compare(names: list[str], options: CompareOptions, *, as_json: bool) -> int:
    import os

    from app.cli._rules import choose
    from app.clock import SystemClock
    from app.rules import load_rules
    from app.settings import load_settings
    from app.wiring import open_comparer

    settings = load_settings()
    chosen = choose(load_rules(settings.rules, os.environ), names, "comparing")
    worst = IN_SYNC
    async with open_comparer(settings, SystemClock(), options) as comparer:
        for rule in chosen:
            found = await comparer.compare(rule, lambda text: typer.echo(text, err=True))
            _print(rule.rule.id, found, as_json=as_json)
            if found.differences:
                worst = DIFFERENT
            elif found.unverifiable or found.unreadable or found.refused:
                worst = worst or TROUBLE
    return worst


def _print(rule: str, found: Compared, *, as_json: bool) -> None:
    counts = {
        "checked": found.checked,
        "in_sync": found.in_sync,
        "different": len(found.differences),
        "exempt": found.exempt,
        "unsettled": found.unsettled,
        "unverifiable": found.unverifiable,
        "unreadable": found.unreadable,
        "refused": len(found.refused),
    }
    for why in found.refused.values():
        typer.echo(f"{rule}: {why}", err=True)
    if found.cannot_list:
        typer.echo(f"{rule}: the contract cannot list its keys: only those of rows were compared", err=True)
    if as_json:
        import orjson

        for each in found.differences:
            line = {"rule": rule, "key": each.key, "severity": each.severity, "differences": each.differences}
            typer.echo(orjson.dumps(line).decode())
        typer.echo(orjson.dumps({"rule": rule, "counts": counts}).decode())
        return
    if found.differences:
        _print_table(found)
    shown = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count)
    typer.echo(f"{rule}: {shown or 'nothing to compare'}")


def _print_table(found: Compared) -> None:
    """One line a difference; keys in full, so that they can be looked up."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from app.cli._mismatches import SEVERITIES, word

    table = Table(box=None, padding=(0, 1), header_style="dim")
    for name in ("key", "field", "left", "right", "severity"):
        table.add_column(name, no_wrap=name != "key", overflow="fold")
    for each in found.differences:
        for number, one in enumerate(each.differences):
            severity = str(one["severity"])
            table.add_row(
                Text(each.key if number == 0 else ""),
                Text(str(one["field"])),
                Text(word(one["left"])),
                Text(word(one["right"])),
                Text(severity, style=SEVERITIES.get(severity, "")),
            )
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)

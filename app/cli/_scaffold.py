"""`driftwatch rules scaffold`: a first rule for a table and a contract of your own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.rules.scaffold import Candidate, Scaffold


def scaffold(
    contract: Annotated[str, typer.Argument(metavar="CONTRACT", help="The contract's id, C….")],
    table: Annotated[str, typer.Argument(metavar="TABLE", help="With its schema: public.loans.")],
    folder: Annotated[Path, typer.Option("--to", help="Where the rule is written.")] = Path("rules"),
    entry: Annotated[
        str | None, typer.Option(help="Which of the contract's entries (default: the likeliest).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
) -> None:
    """Write a complete rule out of the contract's own interface (SEP-48) and the table's columns.

    Where no decoder ships for the contract, one is written beside it. Everything that was guessed says so in
    a comment; the rule loads as it is. Exit code 2 where a file is there.
    """
    from app.cli._writing import write_new
    from app.telemetry import configure_logging

    configure_logging("WARNING")
    made = _make(contract, table if "." in table else f"public.{table}", entry)
    paths = {folder / name: text for name, text in made.files.items()}
    for path, text in paths.items():
        write_new(path, text, force=force)
        typer.echo(f"Wrote {path}")
    rule = next(iter(paths))
    typer.echo(
        f"{made.compared} field(s) compared by name and type: read the comments, every GUESS wants a look"
    )
    typer.echo(
        f"Next:\n  driftwatch rules check {rule}\n  DRIFTWATCH_RULES={rule} driftwatch compare {made.rule}"
    )


def _make(contract: str, table: str, entry: str | None) -> Scaffold:
    from app.clock import SystemClock
    from app.errors import Fatal
    from app.rules.scaffold import candidates_of, write_scaffold
    from app.settings import load_settings
    from app.wiring.scaffold import read_both

    interface, columns = asyncio.run(read_both(load_settings(), SystemClock(), contract, table))
    candidates = candidates_of(interface, columns)
    if not candidates:
        cause = "its interface has no getter with one argument, and no key enum that fits a struct"
        raise Fatal("writing a rule for", contract, cause, "app/rules/README.md says how to write a decoder")
    return write_scaffold(interface, table, columns, _first(candidates, entry))


def _first(candidates: Sequence[Candidate], entry: str | None) -> list[Candidate]:
    """The one that was asked for before the others."""
    from app.errors import Fatal

    chosen = [each for each in candidates if entry in (None, each.name, each.shipped)]
    if not chosen:
        names = ", ".join(each.name for each in candidates)
        raise Fatal(
            "writing a rule for", str(entry), "the contract has no such entry", f"it seems to have: {names}"
        )
    return [chosen[0], *(each for each in candidates if each is not chosen[0])]

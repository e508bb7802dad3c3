"""`driftwatch rules check`: whether rule files are right, and what they leave uncovered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.settings import RULES_FOLDER


def register(commands: typer.Typer) -> None:
    """Add the group `rules`."""
    group = typer.Typer(help="Look at rule files.", no_args_is_help=True)
    group.command("check")(check)
    group.callback()(lambda: None)
    commands.add_typer(group, name="rules")


def check(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Rule files; without any, those of DRIFTWATCH_RULES.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Such as window.lag=30s.")
    ] = None,
    any_contract: Annotated[
        bool, typer.Option("--any-contract", help="Let an unset variable in right.contract pass.")
    ] = False,
) -> None:
    """One line for each rule that is right, and every problem of the others; exit code 1 if there is any."""
    import os

    from app.rules import inspect_rules

    paths = files or _configured()
    rules, problems = inspect_rules(paths, os.environ, overrides or [], lenient_environment=any_contract)
    broken = {problem.file for problem in problems}
    uncovered = 0
    for rule in rules:
        enumerable = _is_enumerable(rule.right.entry)
        if enumerable is None:
            typer.echo(
                f"{rule.path}: right.entry: {rule.right.entry!r} has no decoder; allowed: {_decoders()}"
            )
            uncovered += 1
        elif rule.path not in broken:
            said = rule.rule
            typer.echo(
                f"ok    {said.id} version {said.version}: existence and {len(said.fields)} fields, "
                f"{rule.left.table} by {rule.left.key} against entry {rule.right.entry}"
            )
            if not enumerable:
                typer.echo(
                    f"note  {said.id}: the entries of {rule.right.entry} cannot be listed: one without a row "
                    "is found once an event names it; seeds and sweeps read the keys that have a row"
                )
    for problem in problems:
        typer.echo(str(problem))
    if problems or uncovered:
        typer.echo(f"{len(problems) + uncovered} problem(s)", err=True)
        raise typer.Exit(1)


def _configured() -> list[Path]:
    from app.settings import load_settings

    return list(load_settings().rules) or sorted(RULES_FOLDER.glob("**/*.yaml"))


def _is_enumerable(entry: str) -> bool | None:
    """Whether the contract can list its keys; None: no decoder has this name."""
    from connectors.soroban.contracts import DECODERS

    decoder = DECODERS.get(entry)
    return None if decoder is None else hasattr(decoder, "numbered_key")


def _decoders() -> str:
    from connectors.soroban.contracts import DECODERS

    return ", ".join(sorted(DECODERS))

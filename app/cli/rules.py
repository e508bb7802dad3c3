"""`driftwatch rules`: whether rule files are right, what they leave uncovered; first ones to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli._apply import apply
from app.cli._scaffold import scaffold

if TYPE_CHECKING:
    from app.rules import LoadedRule


def register(commands: typer.Typer) -> None:
    """Add the group `rules`."""
    group = typer.Typer(
        help="Look at rule files, write first ones, put changed ones into force.", no_args_is_help=True
    )
    group.command("check")(check)
    group.command("scaffold")(scaffold)
    group.command("apply")(apply)
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
        enumerable = _is_enumerable(rule)
        if enumerable is None:
            uncovered += 1
        elif rule.path not in broken:
            said = rule.rule
            typer.echo(
                f"ok    {said.id} version {said.version}: existence and {len(said.fields)} fields, "
                f"{_left_of(rule)} against entry {rule.right.entry}"
            )
            if rule.right.contracts is not None:
                typer.echo(
                    f"note  {said.id}: seeds and sweeps read the entries of the keys in "
                    f"{rule.right.contracts.table}, and of those that have a row"
                )
            elif not enumerable:
                typer.echo(
                    f"note  {said.id}: the entries of {rule.right.entry} cannot be listed: one without a row "
                    "is found once an event names it; seeds and sweeps read the keys that have a row"
                )
    for problem in problems:
        typer.echo(str(problem))
    if problems or uncovered:
        typer.echo(f"{len(problems) + uncovered} problem(s)", err=True)
        raise typer.Exit(1)


def _left_of(rule: LoadedRule) -> str:
    return " joined with ".join(f"{left.table} by {left.key}" for left in rule.left.tables)


def _configured() -> list[Path]:
    from app.settings import load_settings

    return list(load_settings().rules)


def _is_enumerable(rule: LoadedRule) -> bool | None:
    """Whether the contract can list its keys; None: there is no decoder, and why has been told."""
    from app.errors import Fatal
    from connectors.soroban.contracts import decoder_for

    try:
        return hasattr(decoder_for(rule.right), "numbered_key")
    except Fatal as error:
        path = "right.entry" if rule.right.decoder is None else "right.decoder"
        typer.echo(f"{rule.path}: {path}: {error}")
        return None

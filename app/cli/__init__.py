"""The command line: one module a command, each registered here; heavy imports stand inside the commands."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import typer

from app.errors import DriftwatchError, Transient


def build() -> typer.Typer:
    """All commands: every module of this package but those named `_…` has `register(commands)`."""
    commands = typer.Typer(
        name="driftwatch",
        help="Tells within seconds, with evidence, when database rows and contract entries stop agreeing.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda found: found.name):
        if not module.name.startswith("_"):
            importlib.import_module(f"{__name__}.{module.name}").register(commands)
    return commands


def main() -> None:
    """Run the command line; an error of ours is one clear line on stderr. Exit code 2 where starting again
    changes nothing, 1 where it may help."""
    try:
        build()()
    except DriftwatchError as error:
        print(f"driftwatch: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1 if isinstance(error, Transient) else 2) from None

"""`driftwatch init`: one configuration file to begin with, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEGINNING: Final = """\
# What this installation of driftwatch works with; `driftwatch check` says what is missing.
# The environment wins over this file. ${NAME} is a variable of the environment: secrets stay there.

# ---- the two sides: all that `driftwatch compare` needs
database: postgresql://driftwatch:${DATABASE_PASSWORD}@127.0.0.1:5432/app
rpc_url: http://127.0.0.1:8000
network_passphrase: Test SDF Network ; September 2015

# ---- rule files, beside this file
rules:
  - rules/*.yaml

# ---- the stream
kafka: 127.0.0.1:9092
partitions: 4    # of every topic; can never be changed later

# ---- everything else, as it is where nothing is said
"""
_NEXT: Final = """\
Next:
  export DATABASE_PASSWORD=...                 the only secret that the file asks for; correct the rest in it
  driftwatch rules scaffold CONTRACT TABLE     a rule out of a contract's interface and a table's columns
  driftwatch rules check                       whether the rules are right
  driftwatch compare                           both sides read twice and compared: no Kafka, no slot, no Java
  driftwatch check --sql                       what a database administrator runs once for the stream
  driftwatch check && driftwatch up --create-slot"""
_SAID: Final = frozenset({"database", "rpc_url", "network_passphrase", "rules", "kafka", "partitions"})


def register(commands: typer.Typer) -> None:
    """Add the command."""
    commands.command("init")(init)


def init(
    folder: Annotated[Path, typer.Argument(help="Where to write it.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Write over the file that is there.")] = False,
) -> None:
    """Write driftwatch.yaml, the one configuration file, and say what comes next.

    Commands read it from the working directory, or from where DRIFTWATCH_CONFIG says. Exit code 2 where there
    is one.
    """
    from app.cli._writing import write_new
    from app.settings_file import FILE_NAME

    path = folder / FILE_NAME
    write_new(path, _BEGINNING + "\n".join(_others()) + "\n", force=force)
    typer.echo(f"Wrote {path}")
    if folder.resolve() != Path.cwd():
        typer.echo(f"It is read in {folder}, or anywhere with DRIFTWATCH_CONFIG={path}")
    typer.echo(_NEXT)


def _others() -> Iterator[str]:
    """Every other setting with its default, as a comment."""
    from pydantic import SecretStr

    from app.settings import Settings

    for name, field in Settings.model_fields.items():
        if name in _SAID:
            continue
        default = field.default
        shown = default.get_secret_value() if isinstance(default, SecretStr) else default
        text = str(shown).lower() if isinstance(shown, bool) else "" if shown is None else str(shown)
        what = " ".join((field.description or "").split())
        yield f"# {name}: {text}".rstrip() + (f"    # {what}" if what else "")

"""The raw SQL of the revisions."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from alembic import op

_HERE: Final = files("connectors.postgres.migrations")


def sql(name: str) -> str:
    """A statement about the migrations themselves."""
    return (_HERE / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def apply(*names: str) -> None:
    """Called by a revision: these files of `versions/` in this order, to the letter.

    They are written out, never run by SQLAlchemy, which would read `:name` in them as a parameter.
    """
    for name in names:
        text = (_HERE / "versions" / f"{name}.sql").read_text(encoding="utf-8")
        op.get_context().impl.static_output(text.rstrip())

"""The rules that a command was asked for."""

from __future__ import annotations

from collections.abc import Sequence

from app.errors import Fatal
from app.rules import LoadedRule


def choose(loaded: Sequence[LoadedRule], names: Sequence[str], operation: str) -> list[LoadedRule]:
    """The rules of these ids, all where none is named. Raises `Fatal` naming every id that there is not."""
    known = {rule.rule.id: rule for rule in loaded}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Fatal(operation, ", ".join(unknown), "no such rule", f"rules are: {', '.join(known)}")
    return [known[name] for name in names] or list(loaded)

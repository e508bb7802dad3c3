"""How a mismatch looks in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from connectors.kafka.mismatches import Mismatch

_TRANSITIONS: Final = {"opened": "red", "reopened": "red", "updated": "yellow", "resolved": "green"}
SEVERITIES: Final = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "dim"}
_SHOWN_DIFFERENCES: Final = 2
_ENDS: Final = {
    "left_moved": "in sync again: the row changed",
    "right_moved": "in sync again: the entry changed",
    "exempted": "exempt from now on",
    "rule_changed": "from now on another version of the rule judges",
    "input_lost": "not known from now on: input was lost",
}


def mismatch_table(mismatches: Iterable[Mismatch], title: str | None = None) -> Table:
    """The mismatches, one a line, as many columns as people look at."""
    table = Table(title=title, expand=True, box=None, padding=(0, 1), header_style="dim")
    table.add_column("event time", no_wrap=True)
    table.add_column("transition", no_wrap=True)
    table.add_column("severity", no_wrap=True)
    table.add_column("rule", no_wrap=True)
    table.add_column("key", no_wrap=True)
    table.add_column("difference: left | right", ratio=1, no_wrap=True, overflow="ellipsis")
    for mismatch in mismatches:
        table.add_row(*mismatch_cells(mismatch))
    return table


def mismatch_cells(mismatch: Mismatch) -> tuple[Text, ...]:
    """Time, transition, severity, rule, key and what differs."""
    severity = str(mismatch.value["severity"])
    return (
        Text(mismatch.time[11:23].rstrip("Z")),
        Text(mismatch.transition, style=_TRANSITIONS.get(mismatch.transition, "")),
        Text(severity, style=SEVERITIES.get(severity, "")),
        Text(mismatch.rule),
        Text(short_key(mismatch.key)),
        Text(describe_differences(mismatch.value)),
    )


def describe_differences(value: Mapping[str, Any]) -> str:
    """What differs, in a few words; how it ended (at the event time) where nothing does any more."""
    differences = value["differences"]
    if not differences:
        return _ENDS.get(value["cause"], f"resolved ({value['cause']})")
    shown = [
        f"{each['field']}: {word(each['left'])} | {word(each['right'])}"
        for each in differences[:_SHOWN_DIFFERENCES]
    ]
    more = len(differences) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def short_key(key: str) -> str:
    """Long keys by their ends, as block explorers show addresses."""
    return key if len(key) <= 16 else f"{key[:6]}…{key[-6:]}"


def word(value: object) -> str:
    """A value as it is shown; null is what is not known."""
    return "unknown" if value is None else str(value)

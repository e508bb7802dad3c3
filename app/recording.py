"""The words between the recorder and whoever keeps its records: rows, places, positions, counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from schemas.topics import DEAD_LETTERS, MISMATCHES, STATUS

RECORDED: Final = (MISMATCHES, STATUS, DEAD_LETTERS)
"""The topics, by name without prefix."""
FORGOTTEN: Final = ("episodes", "runs", "incidents", "dead_letters", "audit")
"""What is deleted once it has been over for long enough, with all that belongs to it."""
Row: TypeAlias = Mapping[str, object]
"""JSON-safe values by column; times as RFC 3339."""


class Kind(StrEnum):
    """The table that a row belongs to."""

    TRANSITIONS = "transitions"
    RUNS = "runs"
    STATUS = "status"
    INCIDENTS = "incidents"
    DEAD_LETTERS = "dead_letters"


class Place(NamedTuple):
    """A partition; the topic by its full name."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A row, and the record that it is of. Two with one `id` are one row: the later one."""

    kind: Kind
    id: str
    row: Row
    place: Place
    offset: int
    timestamp_ms: int


def latest_rows(kept: Iterable[Kept]) -> Mapping[Kind, Sequence[Row]]:
    """The rows by table, one for each id: the last one."""
    found: dict[Kind, dict[str, Row]] = {}
    for each in kept:
        found.setdefault(each.kind, {})[each.id] = each.row
    return {kind: list(rows.values()) for kind, rows in found.items()}


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition is recorded, and how far its mismatches were logged: the next offset of each."""

    next: int
    told: int


@dataclass(frozen=True, slots=True)
class Positions:
    """All positions as one moment had them; `generation` is raised by each rebuild."""

    generation: int
    by_place: Mapping[Place, Position] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Number:
    """A number that the store has counted: of a rule, under at most two labels."""

    name: str
    rule: str
    label: str
    sublabel: str
    value: float

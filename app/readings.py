"""What as-of reads bring: pages of rows and of entries, and the text of a snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from app.detector.model import EntryAsOf, RowAsOf, Snapshot

Place: TypeAlias = tuple[str, ...]
"""The primary key of a row as texts: where a page ended."""


@dataclass(frozen=True, slots=True)
class RowPage:
    """Rows as one snapshot saw them, in the order of the primary key. `after`: where the next page begins,
    None at the table's end. `unreadable`: rows without a key, or refused by the rule's reader; each logged.
    """

    read_at: int
    rows: tuple[RowAsOf, ...]
    after: Place | None
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Entries as one ledger held them. `read_at`: the close time of that ledger, µs. An entry that exists and
    cannot be read has the value UNKNOWN. `refused`: keys that can have no entry (they are absent) and are an
    error of their own, and why."""

    read_at: int
    read_ledger: int
    entries: tuple[EntryAsOf, ...]
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeyPage:
    """Keys that a contract lists. `following`: the number at which the next page begins, None at the end."""

    keys: tuple[str, ...]
    following: int | None


def read_snapshot(text: str) -> Snapshot:
    """`xmin:xmax:xip,xip` as `pg_current_snapshot()` prints it; raises ValueError for anything else."""
    first, last, listed = text.split(":")
    xmin, xmax = int(first), int(last)
    running = frozenset(int(xip) for xip in listed.split(",") if xip)
    if any(not 0 <= number < 1 << 64 for number in (xmin, xmax, *running)):
        raise ValueError(f"no snapshot: {text[:80]!r}")
    return Snapshot(xmin, xmax, running)


def show_snapshot(snapshot: Snapshot) -> str:
    """The opposite of `read_snapshot`; running transactions in rising order."""
    return f"{snapshot.xmin}:{snapshot.xmax}:{','.join(map(str, sorted(snapshot.running)))}"

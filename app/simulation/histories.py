"""What really happened to a key on both sides, and when which defect was planted."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from app.detector.model import SECOND, Value

START: Final = 1_790_000_000 * SECOND
LEDGER_US: Final = 5 * SECOND
FIRST_LEDGER: Final = 1000


def close_of(ledger: int) -> int:
    """When a ledger closed, by a clock without error."""
    return START + (ledger - FIRST_LEDGER) * LEDGER_US


def ledger_at(at: int) -> int:
    """The newest ledger that had closed by an instant."""
    return FIRST_LEDGER + (at - START) // LEDGER_US


class Cause(StrEnum):
    """Why a drift began: a closed list."""

    MISSED_UPDATE = "missed update"
    LATE_UPDATE = "late update"
    EARLY_UPDATE = "early update"
    MANUAL_EDIT = "manual edit"
    WRONG_VALUE = "wrong value"
    WRONG_STATUS = "wrong status"
    MISSING_ROW = "missing row"
    ROW_WITHOUT_ENTRY = "row without entry"
    STALE_BUSY_ROW = "stale busy row"
    DUPLICATE = "duplicate row"
    MOVED_ROW = "row under another key"
    OUT_OF_ORDER = "written out of order"
    """Two writes of the row changed places: the older one landed on the newer one, and stays."""


class Commit(NamedTuple):
    """One row change; those of one transaction share `at`, in order. `started`: when it took its id."""

    at: int
    key: str
    row: int
    before: Value
    after: Value
    linked: str | None
    started: int


class EntryChange(NamedTuple):
    """What an entry is from a ledger on. Silent: no event tells of it."""

    ledger: int
    value: Value
    is_silent: bool


class Planted(NamedTuple):
    """A defect, from its first effect on."""

    at: int
    cause: Cause


@dataclass(slots=True)
class KeyLife:
    """Both histories of one key, each in order of time."""

    key: str
    commits: list[Commit] = field(default_factory=list)
    changes: list[EntryChange] = field(default_factory=list)
    planted: list[Planted] = field(default_factory=list)

    def cause_of(self, start: int) -> Cause:
        """The defect planted last before a violation began."""
        last = None
        for planted in self.planted:
            if planted.at > start:
                break
            last = planted
        if last is None:
            raise ValueError(f"{self.key} is in violation from {start} on, and nothing went wrong before")
        return last.cause

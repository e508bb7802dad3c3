"""The words between whoever asks about recorded drift and whoever keeps it: scopes, filters, pages, acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeAlias

Row: TypeAlias = Mapping[str, Any]
"""A record by column name: times aware and UTC, JSON decoded."""

LARGEST_PAGE: Final = 1000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Role(StrEnum):
    """What a key may do, in rising order: each role may do what those before it may. What only an approver
    may do, to let a remedy be applied, there is nothing of yet."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"

    def covers(self, needed: Role) -> bool:
        """Is this role enough where that one is needed?"""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class CaseStatus(StrEnum):
    """`resolved`: evidence closed the episode. `resolved_by_hand`: a person did, and it has not come back."""

    OPEN = "open"
    BY_HAND = "resolved_by_hand"
    RESOLVED = "resolved"


class Outcome(StrEnum):
    """What became of an attempt to resolve an exception by hand."""

    DONE = "done"
    UNKNOWN = "unknown"
    CLOSED = "closed"
    """Evidence has closed the episode already."""
    MOVED = "moved"
    """It has had another transition since the one that was looked at."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The rules that somebody may see; None: every rule."""

    rules: frozenset[str] | None = None

    def covers(self, rule: str | None) -> bool:
        """What belongs to no rule is seen by those who may see every rule."""
        return self.rules is None or rule in self.rules


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: the time by which the list is ordered, and the id of its last record."""

    at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Page:
    """At most `size` records behind `after`, the newest first."""

    size: int
    after: Place | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records; None: any. `since` <= the record's time < `until`."""

    scope: Scope
    rule: str | None = None
    key: str | None = None
    severity: str | None = None
    status: str | None = None
    kind: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a person says about an exception. `sequence`: the transition that was looked at; None: the last.
    `actor`: the name of the key that was used."""

    resolved_by: str
    notes: str
    actor: str
    at: datetime
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class Act:
    """A line of the audit log."""

    who: str
    what: str
    subject: str
    at: datetime
    detail: Row


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key as it is kept: never the key itself. `hash`: sha256 of the whole key."""

    id: str
    name: str
    hash: bytes
    role: Role
    scope: Scope
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def why_refused(self, now: datetime) -> str | None:
        """None while it is good."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else None


@dataclass(frozen=True, slots=True)
class History:
    """All that is kept of one key of one rule: episodes newest first, transitions in order."""

    episodes: Sequence[Row]
    transitions: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Standing:
    """How rules stand: a row of `drift.status` for each rule and partition, and counts of open episodes
    by rule, severity and status."""

    partitions: Sequence[Row]
    open: Sequence[Row]


def to_time(us: int) -> datetime:
    """Microseconds since 1970 as a time; before the calendar its first, after it its last moment."""
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    try:
        return min(max(_EPOCH + timedelta(microseconds=us), first), last)
    except OverflowError:
        return first if us < 0 else last


def to_us(at: datetime) -> int:
    """The opposite of `to_time`, exactly."""
    return (at - _EPOCH) // timedelta(microseconds=1)

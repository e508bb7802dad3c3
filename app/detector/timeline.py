"""The state of one key: versions of its rows and of its entry, its episode record; how versions are
inserted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from app.detector.model import (
    ABSENT,
    DUPLICATE,
    INFINITY,
    OUT,
    UNKNOWN,
    EntryAsOf,
    RowAsOf,
    RowId,
    Snapshot,
    Value,
)

LeftTrace: TypeAlias = tuple[int, int | None, str | None]
"""(lsn, transaction, linked key) of the change that began a version."""
RightTrace: TypeAlias = tuple[str | None, str | None]
"""(transaction hash, event id) of the event that began a version."""


class Version(NamedTuple):
    """A piece of a timeline: `value` from `at` until the next version's `at`.

    `position`: lsn (left) or ledger (right) that brought it, -1 for none. `trace`: None where no change was
    seen.
    """

    at: int
    position: int
    value: Value
    trace: tuple[object, ...] | None


class MergedVersion(NamedTuple):
    """A piece made of several rows. `traced_at`: when the version that gives the trace began (the piece may
    begin later, with another row's change)."""

    at: int
    position: int
    value: Value
    trace: tuple[object, ...] | None
    traced_at: int


Piece: TypeAlias = Version | MergedVersion

BIRTH = Version(-INFINITY, -1, ABSENT, None)


class RowState:
    """One row under a key: its newest position (lsn) and the versions that can still matter."""

    __slots__ = ("position", "versions")

    def __init__(self, position: int, versions: list[Version]) -> None:
        self.position, self.versions = position, versions


class LeftState:
    """All rows under a key. `horizon`: the moment up to which the key had been judged when it last forgot.

    `waiting`: as-of reads that wait for a mark later than their `read_at`.
    """

    __slots__ = ("horizon", "rows", "waiting")

    def __init__(
        self,
        horizon: int = -INFINITY,
        rows: dict[RowId, RowState] | None = None,
        waiting: list[RowAsOf] | None = None,
    ) -> None:
        self.horizon = horizon
        self.rows: dict[RowId, RowState] = {} if rows is None else rows
        self.waiting: list[RowAsOf] = [] if waiting is None else waiting


class RightState:
    """The entry under a key. `position`: the newest ledger heard of; `certain`: the newest close time at
    which the
    value was read and known."""

    __slots__ = ("certain", "horizon", "position", "versions", "waiting")

    def __init__(
        self,
        versions: list[Version],
        horizon: int = -INFINITY,
        position: int = -1,
        certain: int = -INFINITY,
        waiting: list[EntryAsOf] | None = None,
    ) -> None:
        self.versions = versions
        self.horizon, self.position, self.certain = horizon, position, certain
        self.waiting: list[EntryAsOf] = [] if waiting is None else waiting


class EpisodeRecord:
    """What a key's present or last episode is, and up to which instant the key has been judged with it.

    `state`: "open" or "resolved". `last`: the differences last told (JSON types).
    """

    __slots__ = ("episode", "flaps", "judged", "last", "sequence", "severity", "since", "state", "until")

    def __init__(self, judged: int, state: str, episode: str, since: int) -> None:
        self.judged, self.state, self.episode, self.since = judged, state, episode, since
        self.until: int | None = None
        self.sequence = 0
        self.flaps = 0
        self.last: list[dict[str, object]] = []
        self.severity = ""


class KeyState:
    """Everything held about one key; a side that was never heard of is None."""

    __slots__ = ("left", "record", "right")

    def __init__(
        self,
        left: LeftState | None = None,
        right: RightState | None = None,
        record: EpisodeRecord | None = None,
    ) -> None:
        self.left, self.right, self.record = left, right, record


def insert(versions: list[Version], version: Version) -> bool:
    """Append the newest version; at equal time the later position wins, no piece is empty, an unchanged value
    makes no new piece. True if the timeline changed."""
    if versions[-1].at == version.at:
        versions.pop()
        if not versions or versions[-1].value != version.value:
            versions.append(version)
        return True
    if versions[-1].value == version.value:
        return False
    versions.append(version)
    return True


def limit_versions(versions: list[Version], most: int) -> bool:
    """Make the oldest unjudged half one unverifiable piece when there are more than `most`. True if it
    did."""
    if len(versions) <= most:
        return False
    half = len(versions) // 2
    first = versions[1]
    versions[1:half] = [Version(first.at, first.position, UNKNOWN, None)]
    return True


def merge_rows(rows: dict[RowId, RowState]) -> Sequence[Piece]:
    """The pieces of a key from the rows under it: none in scope absent (or out of scope), one its value, two
    or more duplicate. The trace is that of the newest version in force among the rows that make the value: it
    does not depend on what was forgotten."""
    if len(rows) == 1:
        return next(iter(rows.values())).versions
    cuts = sorted({version.at for row in rows.values() for version in row.versions})
    pieces: list[Piece] = []
    cursor = dict.fromkeys(rows, -1)
    for at in cuts:
        in_force: list[Version] = []
        for row_id, row in rows.items():
            i = cursor[row_id]
            while i + 1 < len(row.versions) and row.versions[i + 1].at <= at:
                i += 1
            cursor[row_id] = i
            if i >= 0:
                in_force.append(row.versions[i])
        value, makers = _value_of_rows(in_force)
        newest = max(makers, key=lambda version: (version.position >= 0, version.at, version.position))
        pieces.append(MergedVersion(at, newest.position, value, newest.trace, newest.at))
    return pieces


def _value_of_rows(in_force: list[Version]) -> tuple[Value, list[Version]]:
    present = [version for version in in_force if isinstance(version.value, tuple)]
    if any(version.value == UNKNOWN for version in in_force):
        return UNKNOWN, present or in_force
    if len(present) > 1:
        return DUPLICATE, present
    if present:
        return present[0].value, present
    if any(version.value == OUT for version in in_force):
        return OUT, in_force
    return ABSENT, in_force


def is_visible(transaction: int | None, snapshot: Snapshot) -> bool:
    """Did the snapshot see this transaction? A change carries 32 bits of its id; None (no change: what was
    there before) is visible."""
    if transaction is None:
        return True
    age = (snapshot.xmax - transaction) & 0xFFFFFFFF
    if age == 0 or age > 0x7FFFFFFF:
        return False
    full = snapshot.xmax - age
    return full < snapshot.xmin or full not in snapshot.running


def forget_versions(versions: list[Version], limit: int) -> bool:
    """Drop what ended at or before `limit`. True if anything was dropped."""
    count = 0
    while count + 1 < len(versions) and versions[count + 1].at <= limit:
        count += 1
    del versions[:count]
    return count > 0

"""The state of one key: the versions of its rows and of its entry, and its episode record."""

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
    Rule,
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

    `others`: the timeline of the rows never heard of, where it is not the partition's. `waiting`: as-of reads
    that wait for a mark later than their `read_at`. `laid`: how much of the side's past is laid over it.
    """

    __slots__ = ("horizon", "laid", "others", "rows", "waiting")

    def __init__(
        self,
        horizon: int = -INFINITY,
        rows: dict[RowId, RowState] | None = None,
        waiting: list[RowAsOf] | None = None,
        laid: int = 0,
        others: list[Version] | None = None,
    ) -> None:
        self.horizon, self.laid, self.others = horizon, laid, others
        self.rows: dict[RowId, RowState] = {} if rows is None else rows
        self.waiting: list[RowAsOf] = [] if waiting is None else waiting


class RightState:
    """The entry under a key. `position`: the newest ledger that an event told of; `certain`: the newest close
    time at which the newest value was read and known. `waiting`, `laid`: as on the left."""

    __slots__ = ("certain", "horizon", "laid", "position", "versions", "waiting")

    def __init__(
        self,
        versions: list[Version],
        horizon: int = -INFINITY,
        position: int = -1,
        certain: int = -INFINITY,
        laid: int = 0,
    ) -> None:
        self.versions = versions
        self.horizon, self.position, self.certain, self.laid = horizon, position, certain, laid
        self.waiting: list[EntryAsOf] = []


class Suspect:
    """A turn at `since` that is not told before both sides were read live, or the time is up.

    Nothing from `since` on is judged meanwhile, so what the reads prove counts. A read answers when it is not
    older than `not_before` (left: time, right: ledger); `left_at` and `right_at`: when the answer was read.
    `spoiled_at`: the time of the newest read of a row that could not be compared; it answers nothing.
    """

    __slots__ = ("is_timed_out", "left_at", "not_before", "right_at", "since", "spoiled_at")

    def __init__(self, since: int, not_before: tuple[int, int]) -> None:
        self.since, self.not_before = since, not_before
        self.left_at: int | None = None
        self.right_at: int | None = None
        self.spoiled_at: int | None = None
        self.is_timed_out = False

    @property
    def confirmed_through(self) -> int:
        """What begins by then may be told: both sides were read after it."""
        if self.left_at is None or self.right_at is None:
            return -INFINITY
        return max(self.since, min(self.left_at, self.right_at))

    def note_row(self, read: RowAsOf, *, is_conclusive: bool) -> None:
        """A row's read was settled; the one without a row ends the answer of its snapshot."""
        if read.read_at < self.not_before[0]:
            return
        if not is_conclusive:
            self.spoiled_at = read.read_at
        elif read.row is None and self.spoiled_at != read.read_at:
            self.left_at = read.read_at

    def note_entry(self, read: EntryAsOf) -> None:
        """An entry's read was settled, and could be compared."""
        if read.read_ledger >= self.not_before[1]:
            self.right_at = read.read_at


class EpisodeRecord:
    """What a key's present or last episode is, and up to which instant the key has been judged with it.

    `state`: "open" or "resolved". `last`: the differences last told (JSON types). `is_doubted`: what was held
    at its start has since been proven unknown. `is_taken_up`: that is not known any more, for want of state
    and not of input. `confirmed`: how what was told last was confirmed. `checked`: where the part of the
    entry's past begins that no live read has gone back through.
    """

    __slots__ = (
        "checked",
        "confirmed",
        "episode",
        "flaps",
        "is_doubted",
        "is_taken_up",
        "judged",
        "last",
        "sequence",
        "severity",
        "since",
        "state",
        "until",
    )

    def __init__(self, judged: int, state: str, episode: str, since: int) -> None:
        self.judged, self.state, self.episode, self.since = judged, state, episode, since
        self.until: int | None = None
        self.sequence = 0
        self.flaps = 0
        self.last: list[dict[str, object]] = []
        self.severity = ""
        self.is_doubted = self.is_taken_up = False
        self.confirmed = ""
        self.checked = since


class KeyState:
    """Everything held about one key; a side that was never heard of is None."""

    __slots__ = ("left", "record", "right", "suspect")

    def __init__(
        self,
        left: LeftState | None = None,
        right: RightState | None = None,
        record: EpisodeRecord | None = None,
        suspect: Suspect | None = None,
    ) -> None:
        self.left, self.right, self.record, self.suspect = left, right, record, suspect


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


def limit_versions(versions: list[Version], rule: Rule) -> bool:
    """Make the oldest unjudged versions one unverifiable piece where there are too many, or too large ones
    (all are taken to be as large as the newest). True if it did."""
    count, size = len(versions), _size(versions[-1])
    if count <= rule.max_versions and count * size <= rule.max_bytes:
        return False
    kept = max(1, min(count // 2, rule.max_bytes // size // 2))
    first = versions[1]
    if count - kept < 2 or (count - kept == 2 and first.value == UNKNOWN):
        return False
    versions[1 : count - kept] = [Version(first.at, first.position, UNKNOWN, None)]
    return True


def _size(version: Version) -> int:
    """About how many bytes a version takes up where it is kept."""
    size, value = 64, version.value
    if isinstance(value, tuple):
        for scalar in value:
            size += len(scalar) if type(scalar) is str else 8
    return size


def merge_rows(rows: dict[RowId, RowState], others: Sequence[Version]) -> Sequence[Piece]:
    """The pieces of a key from the rows under it: none in scope absent (or out of scope), one its value, two
    or more duplicate. The trace is that of the newest version in force among the rows that make the value: it
    does not depend on what was forgotten.

    `others` speaks for the rows never heard of. While it is unknown, none in scope is unknown; a row in scope
    keeps its value (with another one beside it, the key would be in violation as well).
    """
    are_others_known = len(others) == 1 and others[0].value == ABSENT
    if len(rows) == 1:
        versions = next(iter(rows.values())).versions
        if are_others_known or all(type(version.value) is tuple for version in versions):
            return versions
    timelines = [row.versions for row in rows.values()]
    moves = {version.at for versions in timelines for version in versions}
    cuts = moves if are_others_known else moves | {version.at for version in others}
    pieces: list[Piece] = []
    cursor, unheard = [-1] * len(timelines), 0
    for at in sorted(cuts):
        in_force: list[Version] = []
        for row, versions in enumerate(timelines):
            i = cursor[row] = _index_at(versions, at, cursor[row])
            if i >= 0:
                in_force.append(versions[i])
        unheard = _index_at(others, at, unheard)
        value, makers = _value_of_rows(in_force)
        if value in (ABSENT, OUT) and others[unheard].value == UNKNOWN:
            value = UNKNOWN
        if at in moves or (pieces and pieces[-1].value != value):
            newest = max(makers, key=lambda version: (version.position >= 0, version.at, version.position))
            pieces.append(MergedVersion(at, newest.position, value, newest.trace, newest.at))
    return pieces


def _index_at(versions: Sequence[Version], at: int, known: int) -> int:
    """The index of the version in force at an instant, from one that was in force before it."""
    while known + 1 < len(versions) and versions[known + 1].at <= at:
        known += 1
    return known


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


def state_horizon(state: KeyState) -> int:
    """The later of both sides' horizons."""
    left = state.left.horizon if state.left is not None else -INFINITY
    right = state.right.horizon if state.right is not None else -INFINITY
    return max(left, right)


def judged_through(state: KeyState) -> int:
    """All instants of the key before it are judged."""
    judged = state_horizon(state)
    return judged if state.record is None else max(judged, state.record.judged)

"""The state of one key: versions of its rows and of its entry, and its episode record."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from app.detector.model import ABSENT, INFINITY, EntryAsOf, RowAsOf, RowId, Value

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

"""Both sides of a key as two reads found them: what they are worth together, and what differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from app.detector.episode import RANK, differences_of
from app.detector.join import is_joined, join_values
from app.detector.model import ABSENT, DUPLICATE, INFINITY, OUT, UNKNOWN, EntryAsOf, RowAsOf, Rule, Value
from app.detector.segments import BAD, EXISTENCE, UNVERIFIABLE, Comparison, Segment, find_segments
from app.detector.timeline import Version


class Look(StrEnum):
    """What two reads of a key say. They are of two moments: `DIFFERING` is a suspicion and no verdict."""

    IN_SYNC = "in_sync"
    DIFFERING = "differing"
    EXEMPT = "exempt"
    UNVERIFIABLE = "unverifiable"


class Pair(NamedTuple):
    """A key as read: the left value of all its rows, the entry's, the ledger that the entry is of (-1: none),
    and when (µs)."""

    key: str
    left: Value
    right: Value
    modified_ledger: int
    at: int


class Sides:
    """Compares the pairs of one rule by the detector's own rules of equality, scope and exemption."""

    def __init__(self, rule: Rule) -> None:
        self.rule, self._comparison = rule, Comparison(rule)

    def look(self, pair: Pair) -> tuple[Look, int]:
        """What the reads say, and the mask of the fields that differ (or that only an exemption excuses)."""
        if pair.left == pair.right:
            return (Look.UNVERIFIABLE if pair.left == UNKNOWN else Look.IN_SYNC), 0
        segment = self._segment(pair)
        if segment.kind == BAD:
            return Look.DIFFERING, segment.mask
        if segment.kind == UNVERIFIABLE:
            return Look.UNVERIFIABLE, 0
        return (Look.EXEMPT, segment.mask) if segment.mask else (Look.IN_SYNC, 0)

    def differences(self, pair: Pair, mask: int) -> list[dict[str, object]]:
        """The differing fields as a mismatch event shows them; sensitive ones concealed."""
        found = differences_of(self.rule, self._segment(pair)._replace(mask=mask), [])
        return [{name: shown for name, shown in each.items() if name != "since"} for each in found]

    def _segment(self, pair: Pair) -> Segment:
        left, right = (Version(-INFINITY, -1, value, None) for value in (pair.left, pair.right))
        [segment], _ = find_segments(self._comparison, pair.key, [left], [right], (pair.at, pair.at + 1))
        return segment


def lasting(mask: int, before: Pair, after: Pair) -> int:
    """The fields of a mask whose values are the same in both reads of a key, on both sides."""
    if (_kind(before.left), _kind(before.right)) != (_kind(after.left), _kind(after.right)):
        return 0
    found = mask & EXISTENCE
    count = len(before.left) if isinstance(before.left, tuple) else 0
    for i in range(count):
        if mask >> i & 1 and all(
            mine[i] == later[i]
            for mine, later in ((before.left, after.left), (before.right, after.right))
            if isinstance(mine, tuple) and isinstance(later, tuple)
        ):
            found |= 1 << i
    return found


def _kind(value: Value) -> str:
    return "present" if isinstance(value, tuple) else value


def pair_up(rows: Iterable[RowAsOf], entries: Iterable[EntryAsOf], joined: Sequence[int] = ()) -> list[Pair]:
    """The pairs of all keys that either side was asked for, in the order of the entries; what was not asked
    for is absent. `joined`: the rule's fields that rows of a joined table give."""
    own: dict[str, list[Value]] = {}
    theirs: dict[str, list[Value]] = {}
    for row in rows:
        values = theirs if joined and is_joined(row.row) else own
        values.setdefault(row.key, []).append(ABSENT if row.row is None else row.value)
    return [
        Pair(
            entry.key,
            join_values(
                value_of_rows(own.get(entry.key, ())), value_of_rows(theirs.get(entry.key, ())), joined
            ),
            entry.value,
            entry.modified_ledger,
            entry.read_at,
        )
        for entry in entries
    ]


def value_of_rows(values: Sequence[Value]) -> Value:
    """Several rows under one key are one value (detector.md, section 2)."""
    if UNKNOWN in values:
        return UNKNOWN
    present = [value for value in values if isinstance(value, tuple)]
    if present:
        return present[0] if len(present) == 1 else DUPLICATE
    return OUT if OUT in values else ABSENT


def worst(differences: Iterable[dict[str, object]]) -> str:
    """The highest severity among differences."""
    return max((str(each["severity"]) for each in differences), key=RANK.__getitem__)

"""The truth about a life by brute force, from the definition of drift alone; and intervals."""

from __future__ import annotations

from itertools import pairwise

from app.detector.model import ABSENT, OUT, SECOND, Value
from tests.simulation.life import START, Life, close_of

LAG, LEAD, SKEW, MIN = 30 * SECOND, 10 * SECOND, 2 * SECOND, 2 * SECOND
FOREVER = 1 << 61

Pieces = list[tuple[int, Value]]
Intervals = list[tuple[int, int]]


def left_pieces(life: Life, key: str) -> Pieces:
    """What the rows under a key made together, from the beginning on."""
    rows: dict[int, Value] = {}
    pieces: Pieces = [(-FOREVER, ABSENT)]
    for commit in life.commits:
        if commit.key == key:
            rows[commit.row] = commit.after
            pieces.append((commit.at, _value_of(list(rows.values()))))
    return pieces


def _value_of(rows: list[Value]) -> Value:
    present = [row for row in rows if isinstance(row, tuple)]
    if len(present) > 1:
        return "duplicate"
    if present:
        return present[0]
    return OUT if OUT in rows else ABSENT


def right_pieces(life: Life, key: str) -> Pieces:
    """What the entry of a key was, from the beginning on."""
    pieces: Pieces = [(-FOREVER, ABSENT)]
    return pieces + [(close_of(change.ledger), change.value) for change in life.changes if change.key == key]


def violations(life: Life, key: str, until: int) -> Intervals:
    """Every maximal interval in which some field equals nothing that the entry was in [t - lag, t + lead]."""
    left, right = left_pieces(life, key), right_pieces(life, key)
    cuts = {START, until}
    cuts.update(at for at, _ in left)
    for at, _ in right:
        cuts.update((at, at - LEAD, at + LAG))
    points = sorted(cut for cut in cuts if START <= cut <= until)
    found: Intervals = []
    for start, end in pairwise(points):
        if not _is_in_sync(at_instant(left, start), seen_around(right, start)):
            found.append((start, end))
    return join(found)


def at_instant(pieces: Pieces, at: int) -> Value:
    """The value in force."""
    return [value for begin, value in pieces if begin <= at][-1]


def seen_around(right: Pieces, at: int) -> list[Value]:
    """Everything that the entry was in [at - lag, at + lead]."""
    return [at_instant(right, at - LAG)] + [v for begin, v in right if at - LAG < begin <= at + LEAD]


def _is_in_sync(left: Value, rights: list[Value]) -> bool:
    if left == OUT:
        return True
    if not isinstance(left, tuple):
        return left in rights
    present = [right for right in rights if isinstance(right, tuple)]
    if not present:
        return False
    if len(present) < len(rights):
        return True
    return all(any(right[i] == mine for right in present) for i, mine in enumerate(left))


# ---- intervals


def join(intervals: Intervals) -> Intervals:
    """Sorted, with what touches or overlaps made one."""
    joined: Intervals = []
    for start, until in sorted(interval for interval in intervals if interval[0] < interval[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], until))
        else:
            joined.append((start, until))
    return joined


def minus(intervals: Intervals, others: Intervals) -> Intervals:
    """What of the first lies in none of the second."""
    left: Intervals = []
    for begin, until in join(intervals):
        start = begin
        for other_start, other_until in join(others):
            if other_until <= start or until <= other_start:
                continue
            if start < other_start:
                left.append((start, other_start))
            start = max(start, other_until)
            if start >= until:
                break
        if start < until:
            left.append((start, until))
    return left

"""The truth about two histories, from the definition of drift alone; shares no code with the detector.

A left piece [a, b) of some value is fine wherever an equal right piece [c, d), seen from as late as `lag` and
as early as `lead`, covers it: in [c - lead, d + lag). What is left over, field by field, is violation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from app.simulation.histories import KeyLife, close_of

FOREVER = 1 << 61
EXISTENCE = -1
"""The number of the field `existence`; other fields are numbered as their values stand."""

Pieces = list[tuple[int, object]]
"""(begin, value): a tuple of fields, or `absent`, `out`, `duplicate`; the first begins before all time."""
Intervals = list[tuple[int, int]]


class Bounds(NamedTuple):
    """How late and how early the left may be, in µs, and where the world ends. `tolerances`: the fields that
    are compared, each with the most by which its sides may differ; None: all, and not at all."""

    lag: int
    lead: int
    until: int
    tolerances: Mapping[int, int] | None = None


def left_pieces(life: KeyLife) -> Pieces:
    """What the rows under a key made together."""
    pieces: Pieces = [(-FOREVER, "absent")]
    rows: dict[int, object] = {}
    for commit in life.commits:
        rows[commit.row] = commit.after
        value = commit.after if len(rows) == 1 else _combine(rows.values())
        if pieces[-1][0] == commit.at:
            pieces[-1] = (commit.at, value)
        elif pieces[-1][1] != value:
            pieces.append((commit.at, value))
    return pieces


def _combine(rows: Iterable[object]) -> object:
    """Two rows in scope are a duplicate, one its value, none a hidden one's scope or absence."""
    values = list(rows)
    present = [value for value in values if isinstance(value, tuple)]
    if len(present) > 1:
        return "duplicate"
    if present:
        return present[0]
    return "out" if "out" in values else "absent"


def right_pieces(life: KeyLife) -> Pieces:
    """What the entry of a key was."""
    return [(-FOREVER, "absent"), *((close_of(change.ledger), change.value) for change in life.changes)]


def find_violations(left: Pieces, right: Pieces, bounds: Bounds) -> dict[int, Intervals]:
    """By field, every maximal interval before `until` in which it equals nothing that the right side was
    within the window; fields without one are left out."""
    found: dict[int, Intervals] = {}
    ends = [begin for begin, _ in right[1:]] + [FOREVER]
    first = 0
    for number, (begin, value) in enumerate(left):
        end = min(left[number + 1][0] if number + 1 < len(left) else FOREVER, bounds.until)
        while ends[first] + bounds.lag <= begin:
            first += 1
        if value == "out" or begin >= end:
            continue
        near: Pieces = []
        spans: Intervals = []
        is_covered = False
        for j in range(first, len(right)):
            start, other = right[j]
            if start - bounds.lead >= end:
                break
            span = (start - bounds.lead, ends[j] + bounds.lag)
            if (other in (value, "out")) and span[0] <= begin and end <= span[1]:
                is_covered = True
                break
            near.append((start, other))
            spans.append(span)
        if not is_covered:
            _violate(found, ((begin, end), value), (near, spans), bounds.tolerances)
    return found


def _violate(
    found: dict[int, Intervals],
    left: tuple[tuple[int, int], object],
    near: tuple[Pieces, Intervals],
    tolerances: Mapping[int, int] | None,
) -> None:
    piece, value = left
    if tolerances is None:
        tolerances = dict.fromkeys(range(len(value) if isinstance(value, tuple) else 0), 0)
    fields = (EXISTENCE, *tolerances) if isinstance(value, tuple) else (EXISTENCE,)
    for number in fields:
        covers = [
            span
            for (_, other), span in zip(*near, strict=True)
            if _are_field_equal(number, value, other, tolerances.get(number, 0))
        ]
        bad = minus([piece], covers)
        if bad:
            mine = found.setdefault(number, [])
            for start, until in bad:
                if mine and mine[-1][1] == start:
                    mine[-1] = (mine[-1][0], until)
                else:
                    mine.append((start, until))


def _are_field_equal(number: int, left: object, right: object, tolerance: int) -> bool:
    if right == "out":
        return True
    if number == EXISTENCE:
        return left != "duplicate" and isinstance(left, tuple) == isinstance(right, tuple)
    if not isinstance(right, tuple) or not isinstance(left, tuple):
        return not isinstance(right, tuple)
    mine, theirs = left[number], right[number]
    return bool(mine == theirs or (tolerance and abs(mine - theirs) <= tolerance))


# ---- intervals


def join(intervals: Iterable[tuple[int, int]]) -> Intervals:
    """Sorted, with what touches or overlaps made one, and nothing empty."""
    joined: Intervals = []
    for start, until in sorted(interval for interval in intervals if interval[0] < interval[1]):
        if joined and start <= joined[-1][1]:
            if until > joined[-1][1]:
                joined[-1] = (joined[-1][0], until)
        else:
            joined.append((start, until))
    return joined


def minus(intervals: Intervals, others: Intervals) -> Intervals:
    """What of the first, which do not overlap, lies in none of the second."""
    if not others:
        return [interval for interval in intervals if interval[0] < interval[1]]
    rest: Intervals = []
    apart = join(others)
    for begin, until in intervals:
        start = begin
        for other_start, other_until in apart:
            if other_until <= start:
                continue
            if other_start >= until:
                break
            if start < other_start:
                rest.append((start, other_start))
            start = other_until
        if start < until:
            rest.append((start, until))
    return rest


def meet(one: tuple[int, int], others: Sequence[tuple[int, int]]) -> bool:
    """Does an interval overlap any of the others?"""
    return any(start < one[1] and one[0] < until for start, until in others)

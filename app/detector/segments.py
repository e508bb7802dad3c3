"""Pure step one of judging: two timelines in, a cover of [J, end) by ok, unknown and bad segments out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from app.detector.model import INFINITY, OUT, UNKNOWN, Exemption, Mute, Rule, Value
from app.detector.timeline import Piece
from app.detector.values import are_equal

EXISTENCE: Final = 1 << 62
"""The bit of the field `existence` in a mask; field i has bit 1 << i."""
OK, UNVERIFIABLE, BAD = "ok", "unknown", "bad"


class Segment(NamedTuple):
    """[start, until) with one verdict. `mask`: the fields in violation (bad), or those that only an exemption
    excuses (ok). `left`, `right`: the versions in force at `start`."""

    start: int
    until: int
    kind: str
    mask: int
    left: Piece
    right: Piece


class Comparison:
    """What of a rule is needed to compare two values, worked out once."""

    __slots__ = ("after", "before", "exemptions", "fields", "full", "inexact", "names")

    def __init__(self, rule: Rule) -> None:
        self.fields = rule.fields
        self.full = (1 << len(rule.fields)) - 1
        self.before = rule.window.lead_us + rule.window.skew_us
        self.after = rule.window.lag_us + rule.window.skew_us
        self.inexact = tuple(i for i, field in enumerate(rule.fields) if not field.is_exact)
        self.exemptions: list[Exemption | Mute] = list(rule.exemptions)
        self.names = {"existence": EXISTENCE} | {field.name: 1 << i for i, field in enumerate(rule.fields)}

    def agreeing(self, left: Value, right: Value) -> int:
        """The mask of the fields that agree between two known values; an absent right agrees with every field
        but existence (detector.md section 2)."""
        if isinstance(left, tuple):
            if not isinstance(right, tuple):
                return self.full
            mask, bit = EXISTENCE, 1
            for i, mine in enumerate(left):
                theirs = right[i]
                if (mine == theirs and type(mine) is type(theirs)) or (
                    self.inexact and i in self.inexact and are_equal(self.fields[i], mine, theirs)
                ):
                    mask |= bit
                bit <<= 1
            return mask
        return 0

    def exempt(self, key: str, at: int) -> int:
        """The mask of the fields that an exemption covers at an instant."""
        mask = 0
        for exemption in self.exemptions:
            if exemption.key in (None, key) and exemption.from_us <= at < exemption.until_us:
                if isinstance(exemption, Mute) or not exemption.fields:
                    return EXISTENCE | self.full
                for name in exemption.fields:
                    mask |= self.names[name]
        return mask


def find_cover(
    comparison: Comparison, left: Sequence[Piece], right: Sequence[Piece], judged: int, end: int
) -> int | None:
    """The common case, whole values only: the moment up to which everything is in sync, or None: look closer.

    INFINITY: as long as both sides stay as they are. Pieces of unknown value are left to `find_segments`.
    """
    before, after, last = comparison.before, comparison.after, len(left) - 1
    for i, piece in enumerate(left):
        until = left[i + 1][0] if i < last else INFINITY
        value = piece[2]
        if until <= judged or value == OUT:
            continue
        if value == UNKNOWN:
            return None
        start = piece[0] if piece[0] > judged else judged
        if start >= end:
            break
        covered = _cover_of(value, right, start, before, after)
        if covered < (until if until < end else end):
            return None
        if until >= end:
            return covered if covered < until else INFINITY
    return INFINITY


def _cover_of(value: Value, right: Sequence[Piece], start: int, before: int, after: int) -> int:
    """Up to where, from `start` on, equal right pieces, widened, cover without a hole."""
    covered, count = start, len(right)
    for j in range(count):
        piece = right[j]
        if piece[2] != value:
            continue
        if piece[0] - before > covered:
            break
        reach = right[j + 1][0] + after if j + 1 < count else INFINITY
        covered = max(covered, reach)
    return covered


def find_segments(
    comparison: Comparison, key: str, left: Sequence[Piece], right: Sequence[Piece], span: tuple[int, int]
) -> tuple[list[Segment], int]:
    """All segments of `span` = [judged, end), and the first instant at or after `end` at which one may
    change."""
    points, later = _cut(comparison, left, right, span)
    segments: list[Segment] = []
    agreements: dict[tuple[int, int], int] = {}
    i = j = 0
    for k in range(len(points) - 1):
        start, until = points[k], points[k + 1]
        while i + 1 < len(left) and left[i + 1][0] <= start:
            i += 1
        while j + 1 < len(right) and right[j + 1][0] <= start:
            j += 1
        kind, mask = _judge_instant(comparison, (i, left[i][2]), right, start, agreements)
        if mask and comparison.exemptions:
            published = mask & ~comparison.exempt(key, start)
            kind, mask = (BAD, published) if published else (OK, mask)
        if kind != BAD and segments and (segments[-1].kind, segments[-1].mask) == (kind, mask):
            segments[-1] = segments[-1]._replace(until=until)
        else:
            segments.append(Segment(start, until, kind, mask, left[i], right[j]))
    return segments, later


def _cut(
    comparison: Comparison, left: Sequence[Piece], right: Sequence[Piece], span: tuple[int, int]
) -> tuple[list[int], int]:
    """Every instant at which a verdict can change, within the span, and the first one after it."""
    judged, end = span
    cuts = {judged}
    cuts.update(piece[0] for piece in left)
    for piece in right:
        cuts.update((piece[0], piece[0] - comparison.before, piece[0] + comparison.after))
    for exemption in comparison.exemptions:
        cuts.update((exemption.from_us, exemption.until_us))
    points = sorted(cut for cut in cuts if judged <= cut < end)
    points.append(end)
    return points, min((cut for cut in cuts if cut >= end), default=INFINITY)


def _judge_instant(
    comparison: Comparison,
    left: tuple[int, Value],
    right: Sequence[Piece],
    at: int,
    agreements: dict[tuple[int, int], int],
) -> tuple[str, int]:
    """InSync at one instant: the verdict and the mask of the fields that nothing within the window equals.

    `left`: the index and value of the piece in force; `agreements` remembers the pairs of pieces that are
    compared already.
    """
    i, value = left
    if value == UNKNOWN:
        return UNVERIFIABLE, 0
    if value == OUT:
        return OK, 0
    needed = EXISTENCE | comparison.full if isinstance(value, tuple) else EXISTENCE
    agreed, has_unknown, last = 0, False, len(right) - 1
    for j, piece in enumerate(right):
        if piece[0] - comparison.before > at:
            break
        if j < last and right[j + 1][0] + comparison.after <= at:
            continue
        other = piece[2]
        if other in (value, OUT):
            return OK, 0
        if other == UNKNOWN:
            has_unknown = True
        else:
            found = agreements.get((i, j))
            if found is None:
                found = agreements[i, j] = comparison.agreeing(value, other)
            agreed |= found
    missing = needed & ~agreed
    if not missing:
        return OK, 0
    return (UNVERIFIABLE, 0) if has_unknown else (BAD, missing)

"""How far apart the clocks of a rule's two sides are at least, as their inputs tell; no clock is read here.

The left side's clock is compared with ours directly (`ClockReading`). The right side shows only when its
ledgers closed, by its clock, and when their marks were written, by ours: the difference is how late it is
plus how far its clock is behind. Lateness is never negative, so a right side that is ahead is proven by one
mark; one that seems behind may be late, and is believed only beyond `SURELY_LATE_US` and while it is steadily
so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from app.detector.model import INFINITY, SECOND, Mark, Side

SURELY_LATE_US: Final = 10 * SECOND
"""A ledger closes, is agreed upon, taken in by a node and polled: it may be so late without any clock being
wrong."""
_STEADY_US: Final = 5 * SECOND
_MARKS: Final = 5
_LIVE_US: Final = 600 * SECOND
"""A mark that is further off than this catches up, or is one of a recorded log: it says nothing of clocks."""


class Clocks:
    """`offset_us`: the left clock less the right one, the smallest that is possible; None while it is not
    known. `apart_since`: the event time since which they are further apart than `skew`; None while they are
    not."""

    def __init__(self, skew_us: int) -> None:
        self.skew_us = skew_us
        self.left_us: int | None = None
        self.apart_since: int | None = None
        self._late: deque[int] = deque(maxlen=_MARKS)
        self._unmoved: set[Side] = set()

    @property
    def offset_us(self) -> int | None:
        late = self._late
        if self.left_us is None or not late:
            return None
        most = self.left_us + min(late)
        is_steady = len(late) == _MARKS and max(late) - min(late) <= _STEADY_US
        least = most - SURELY_LATE_US if is_steady else most - INFINITY
        # written out: the right clock less ours lies in [-min(late), -min(late) + SURELY_LATE_US]
        return most if most < 0 else max(least, 0)

    def see(self, mark: Mark, *, has_moved: bool) -> None:
        """A mark of either side, and whether it moved that side's watermark."""
        if mark.side is Side.RIGHT and mark.told_at is not None:
            late_us = mark.told_at - mark.watermark
            if abs(late_us) > _LIVE_US:
                self._late.clear()
            else:
                self._late.append(late_us)
        if has_moved and self._is_within():
            self._unmoved.discard(mark.side)

    def begins(self, at: int) -> bool:
        """Have they just been found to be apart? From then on they are apart since `at`."""
        if self._is_within():
            return False
        self._unmoved = {Side.LEFT, Side.RIGHT}
        if self.apart_since is not None:
            return False
        self.apart_since = at
        return True

    def ends(self) -> bool:
        """Do they agree again, and have both sides' marks come to it? A clock that was set back stands still
        for as long."""
        if self.apart_since is None or self._unmoved:
            return False
        self.apart_since = None
        return True

    def _is_within(self) -> bool:
        return abs(self.offset_us or 0) <= self.skew_us

    def plain(self) -> list[object]:
        """What must be durable, in plain types."""
        return [self.left_us, self.apart_since, list(self._late), sorted(self._unmoved)]

    def restore(self, held: Sequence[object]) -> None:
        """Take up what `plain` gave."""
        left_us, apart_since, late, unmoved = held
        self.left_us = left_us if isinstance(left_us, int) else None
        self.apart_since = apart_since if isinstance(apart_since, int) else None
        self._late.extend(late)  # type: ignore[arg-type]
        self._unmoved = {Side(side) for side in unmoved}  # type: ignore[attr-defined]

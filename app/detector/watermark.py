"""How far each side's promise reaches in one partition, what was lost in between, and since when a side is
silent."""

from __future__ import annotations

from collections.abc import Sequence

from app.detector.model import ABSENT, INFINITY, UNKNOWN, Blind, Gap, Mark, Rule, Side
from app.detector.timeline import Version


class Watermark:
    """One side of one rule in one partition. `at` never moves back.

    `seeded`: from this time on, a key never heard of is absent. `gaps`: [from, until) in which input was
    lost: what was in force is unknown from then on, until heard of at or after `until`.
    """

    def __init__(self, side: Side, *, from_empty: bool) -> None:
        self.side = side
        self.at = -INFINITY
        self.ledger = -1
        self.epoch: str | None = None
        self.seeded: int | None = None
        self.gaps: list[tuple[int, int]] = []
        self.from_empty = from_empty
        self.moved_at: int | None = None
        self.is_blind = False
        self.unheard = self._unheard()

    def advance(self, mark: Mark) -> list[Gap]:
        """Move by a mark; what the mark itself proves lost (a ledger chain that does not join, a new
        epoch)."""
        lost: list[Gap] = []
        reached = mark.watermark
        if mark.epoch is not None:
            if self.epoch not in (None, mark.epoch):
                lost.append(Gap(self.side, mark.source, max(self.at, 0), reached, "epoch"))
            self.epoch = mark.epoch
        if mark.from_ledger is not None and self.ledger >= 0 and mark.from_ledger > self.ledger + 1:
            lost.append(Gap(self.side, mark.source, max(self.at, 0), reached, "continuity"))
        if mark.ledger is not None:
            self.ledger = max(self.ledger, mark.ledger)
        if reached > self.at:
            self.at = reached
            self.moved_at = None
        return lost

    def lose(self, gap: Gap) -> tuple[int, int]:
        """Remember a gap; times that are not told are those of the marks around it."""
        start = gap.from_us if gap.from_us is not None else max(self.at, 0)
        until = max(gap.until_us if gap.until_us is not None else start, start)
        self.gaps.append((start, until))
        if gap.to_ledger is not None:
            self.ledger = max(self.ledger, gap.to_ledger)
        self.unheard = self._unheard()
        return start, until

    def seed(self, at: int) -> None:
        """The first seed counts; a later one (a sweep) ends the gaps before it for keys never heard of."""
        self.seeded = at if self.seeded is None else min(at, self.seeded)
        self.unheard = self._unheard(again=at)

    def plain(self) -> list[object]:
        """What must be durable, in plain types."""
        return [
            self.at,
            self.ledger,
            self.epoch,
            self.seeded,
            [list(gap) for gap in self.gaps],
            self.from_empty,
        ]

    def restore(self, held: Sequence[object]) -> None:
        """Take up what `plain` gave."""
        at, ledger, epoch, seeded, gaps, from_empty = held
        self.at = at if isinstance(at, int) else -INFINITY
        self.ledger = ledger if isinstance(ledger, int) else -1
        self.epoch = epoch if isinstance(epoch, str) else None
        self.seeded = seeded if isinstance(seeded, int) else None
        self.gaps = [(start, until) for start, until in gaps] if isinstance(gaps, list | tuple) else []
        self.from_empty = from_empty is True
        self.unheard = self._unheard()

    def _unheard(self, again: int | None = None) -> list[Version]:
        """The timeline of a key that this side never heard of."""
        versions = [Version(-INFINITY, -1, ABSENT if self.from_empty else UNKNOWN, None)]
        if self.seeded is not None and not self.from_empty:
            versions.append(Version(self.seeded, -1, ABSENT, None))
        versions = overlay_gaps(versions, self.gaps)
        if again is not None and self.gaps and again >= self.gaps[-1][1] and versions[-1].at < again:
            versions.append(Version(again, -1, ABSENT, None))
        return versions

    def tick(self, rule: Rule, now_us: int) -> list[Blind]:
        """Has the watermark stopped for longer than `blind_after`? Told once when it begins and once when it
        ends."""
        if self.moved_at is None:
            self.moved_at = now_us
            if self.is_blind:
                self.is_blind = False
                return [Blind(rule.id, self.side, None)]
        elif not self.is_blind and now_us - self.moved_at > rule.blind_after_us:
            self.is_blind = True
            return [Blind(rule.id, self.side, self.moved_at)]
        return []


def overlay_gaps(versions: list[Version], gaps: list[tuple[int, int]]) -> list[Version]:
    """The same timeline with what the gaps made unknown: from a gap's start until the first version at or
    after its end."""
    for start, told_until in gaps:
        until = max(told_until, start + 1)
        if versions[0].at >= until:
            continue
        kept = [version for version in versions if version.at < start]
        after = [version for version in versions if version.at >= until]
        if kept and kept[-1].value == UNKNOWN:
            versions = kept + after
        else:
            hole = (
                Version(start, kept[-1].position, UNKNOWN, None)
                if kept
                else versions[0]._replace(value=UNKNOWN)
            )
            versions = [*kept, hole, *after]
    return versions

"""Whether the two sides of a rule can be trusted as they are told: clocks agree, forms can be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app.detector.clocks import Clocks
from app.detector.model import (
    INFINITY,
    SECOND,
    Blind,
    ClockReading,
    Effect,
    Gap,
    Incident,
    Mark,
    Resweep,
    Rule,
    Side,
    Unreadable,
)
from app.detector.watermark import Watermark

CLOCK: Final = "clock"
SCHEMA: Final = "schema"


class Trust:
    """Doubts of one rule in one partition, each an incident from its beginning to the complete reading that
    ends it.

    While the clocks are apart nothing is judged; afterwards the left side of that stretch is unknown, since
    nobody can say which event times were wrong.
    """

    def __init__(self, rule: Rule, left: Watermark, right: Watermark) -> None:
        self.rule, self.left, self.right = rule, left, right
        self.clocks = Clocks(rule.window.skew_us)

    @property
    def is_blind(self) -> bool:
        """Are the clocks further apart than `skew`?"""
        return self.clocks.apart_since is not None

    @property
    def causes(self) -> tuple[str, ...]:
        """Why the rule cannot be verified now, blindness aside."""
        return (*self.left.doubts, *self.right.doubts)

    @property
    def cause(self) -> str | None:
        """The first of `causes`."""
        return next(iter(self.causes), None)

    def see_mark(self, mark: Mark, before: tuple[int, int]) -> list[Effect]:
        """A mark moved the watermarks from where they were before."""
        if mark.side is Side.LEFT and not self.is_blind:
            return list(self._tell_ended()) if self.left.ended else []
        has_moved = (self.left.at, self.right.at) != before
        self.clocks.see(mark, has_moved=has_moved)
        return [*self._turn(before), *self._tell_ended()]

    def see_reading(self, reading: ClockReading) -> list[Effect]:
        """The left side's clock was read."""
        self.clocks.left_us = reading.offset_us
        return list(self._turn((self.left.at, self.right.at)))

    def _turn(self, before: tuple[int, int]) -> Iterator[Effect]:
        clocks, rule = self.clocks, self.rule
        since = max(min(before) + 1, 0)
        if clocks.begins(since):
            is_news = self.left.doubt(CLOCK, since, INFINITY)
            yield Blind(rule.id, Side.LEFT, since, CLOCK)
            if is_news:
                apart_s = (clocks.offset_us or 0) / SECOND
                detail = f"the left clock is {apart_s:+.1f} s from the right one, skew allows"
                detail += f" {rule.window.skew_us / SECOND:g} s"
                yield Incident(rule.id, None, CLOCK, Side.LEFT, since, None, detail)
        since = clocks.apart_since or 0
        if clocks.ends():
            self.left.lose(Gap(Side.LEFT, rule.left_source, since, self.left.at, CLOCK))
            self.left.settle_doubt(CLOCK, self.left.at)
            yield Blind(rule.id, Side.LEFT, None, CLOCK)
            yield Resweep(rule.id, CLOCK, since)

    def see_unreadable(self, found: Unreadable) -> list[Effect]:
        """Rows or entries have another form than the rule reads: told once, until a complete reading of the
        side ends it."""
        watermark = self.left if found.side is Side.LEFT else self.right
        if not watermark.doubt(SCHEMA, found.at, found.at):
            return []
        if found.side is Side.LEFT:
            watermark.lose(Gap(Side.LEFT, self.rule.left_source, found.at, found.at, SCHEMA))
        return [Incident(self.rule.id, None, SCHEMA, found.side, found.at, None, found.detail)]

    def see_seeded(self) -> list[Effect]:
        """A reading of a side may have been completed."""
        return list(self._tell_ended())

    def _tell_ended(self) -> Iterator[Effect]:
        for watermark in (self.left, self.right):
            for cause, doubt, until in watermark.ended:
                detail = "both sides have been read again"
                yield Incident(self.rule.id, None, cause, watermark.side, doubt.since, until, detail)
            watermark.ended.clear()

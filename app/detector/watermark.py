"""How far each side's promise reaches in one partition, what was lost in between, since when it is silent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from app.detector.model import ABSENT, INFINITY, UNKNOWN, Blind, Gap, Mark, Rule, Seeded, Side
from app.detector.timeline import Version

EPOCH_CAUSES: Final = ("epoch", "slot")
"""The gaps after which marks of another epoch are let in."""


class Loss(NamedTuple):
    """Input of [start, until) was lost: what was in force is unknown from `start` until heard of at or after
    `until`. `ends_epoch`: positions of before are not comparable with later ones."""

    start: int
    until: int
    ends_epoch: bool


class Sweep(NamedTuple):
    """A complete reading of the side, the first one or the first after a loss: its pages were read in [since,
    through]. What was not met was absent."""

    since: int
    through: int


class Watermark:
    """One side of one rule in one partition. `at` never moves back.

    `unheard`: the timeline of a key that this side never heard of. `past`: what was lost and what was swept,
    in order; it only grows, and a key's state counts how much of it is laid over it.
    """

    def __init__(self, side: Side, *, from_empty: bool) -> None:
        self.side, self.from_empty = side, from_empty
        self.at = -INFINITY
        self.ledger = -1
        self.epoch: str | None = None
        self.past: list[Loss | Sweep] = []
        self.unheard = self._find_unheard()
        self.moved_at: int | None = None
        self.is_blind = False
        self._seeding: list[Sweep] = []
        self._may_change_epoch = False
        self._held: Mark | None = None

    # ---- promises

    def advance(self, mark: Mark) -> list[Gap]:
        """Move by a mark; what the mark itself proves lost: a chain of ledgers that does not join, an epoch
        that ended. A mark of a new epoch is held back until a gap has told of the end of the old one."""
        if mark.epoch is not None and self.epoch not in (None, mark.epoch):
            if mark.watermark <= self.at:
                return []
            self._held = mark
            return self._change_epoch()
        lost: list[Gap] = []
        if mark.from_ledger is not None and 0 <= self.ledger < mark.from_ledger - 1:
            lost.append(self._lose_since_mark(mark, "continuity"))
        self._move(mark)
        return lost

    def _move(self, mark: Mark) -> None:
        if mark.epoch is not None:
            self.epoch = mark.epoch
        if mark.ledger is not None and mark.ledger > self.ledger:
            self.ledger = mark.ledger
        if mark.watermark > self.at:
            self.at = mark.watermark
            self.moved_at = None
            if self._seeding:
                self._finish_seeds()

    def _lose_since_mark(self, mark: Mark, cause: str) -> Gap:
        start = max(self.at + 1, 0)
        until = max(mark.watermark, start) + 1
        self._remember(Loss(start, until, cause == "epoch"))
        return Gap(self.side, mark.source, start, until, cause)

    def _change_epoch(self) -> list[Gap]:
        mark = self._held
        if mark is None or not self._may_change_epoch:
            return []
        self._held, self._may_change_epoch = None, False
        lost = self._lose_since_mark(mark, "epoch")
        self.ledger = -1
        self._move(mark)
        return [lost]

    # ---- losses

    def lose(self, gap: Gap) -> list[Gap]:
        """Remember a gap that was told; what became lost, with its times. One that was told before is
        nothing new."""
        if gap.to_ledger is not None:
            if gap.to_ledger <= self.ledger:
                return []
            self.ledger = gap.to_ledger
        start = gap.from_us if gap.from_us is not None else max(self.at + 1, 0)
        until = max(gap.until_us if gap.until_us is not None else start, start + 1)
        loss = Loss(start, until, False)
        if loss in self.past:
            return []
        self._remember(loss)
        told = [gap._replace(from_us=start, until_us=until)]
        if gap.cause in EPOCH_CAUSES:
            self._may_change_epoch = True
            told += self._change_epoch()
        return told

    def _remember(self, event: Loss | Sweep) -> None:
        self.past.append(event)
        self.unheard = self._find_unheard()

    def has_lost(self, at: int) -> bool:
        """Does an instant lie inside a loss?"""
        return any(isinstance(event, Loss) and event.start <= at < event.until for event in self.past)

    # ---- seeds

    def seed(self, seeded: Seeded) -> None:
        """Never heard of means absent, once the watermark has come to the seed's last page."""
        through = seeded.at if seeded.through is None else max(seeded.at, seeded.through)
        self._seeding.append(Sweep(seeded.at, through))
        self._finish_seeds()

    def _finish_seeds(self) -> None:
        """A sweep that a loss falls into proves nothing: what was not met may have come after its page."""
        done = [sweep for sweep in self._seeding if sweep.through <= self.at]
        self._seeding = [sweep for sweep in self._seeding if sweep.through > self.at]
        for sweep in done:
            is_after = all(isinstance(event, Sweep) or event.until <= sweep.since for event in self.past)
            if self.unheard[-1].value == UNKNOWN and is_after:
                self._remember(sweep)

    def _find_unheard(self) -> list[Version]:
        versions = [Version(-INFINITY, -1, ABSENT if self.from_empty else UNKNOWN, None)]
        for event in self.past:
            if isinstance(event, Loss):
                versions = lay_loss(versions, event)
            else:
                lay_sweep(versions, event.since)
        return versions

    # ---- persistence

    def plain(self) -> list[object]:
        """What must be durable, in plain types."""
        return [
            self.at,
            self.ledger,
            self.epoch,
            self.from_empty,
            [list(event) for event in self.past],
            [list(sweep) for sweep in self._seeding],
            self._may_change_epoch,
        ]

    def restore(self, held: Sequence[object]) -> None:
        """Take up what `plain` gave, lists or tuples."""
        at, ledger, epoch, from_empty, past, seeding, may_change_epoch = held
        self.at = at if isinstance(at, int) else -INFINITY
        self.ledger = ledger if isinstance(ledger, int) else -1
        self.epoch = epoch if isinstance(epoch, str) else None
        self.from_empty = from_empty is True
        if isinstance(past, list | tuple):
            self.past = [Loss(*event) if len(event) == len(Loss._fields) else Sweep(*event) for event in past]
        if isinstance(seeding, list | tuple):
            self._seeding = [Sweep(*sweep) for sweep in seeding]
        self._may_change_epoch = may_change_epoch is True
        self.unheard = self._find_unheard()

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


def lay_loss(versions: list[Version], loss: Loss) -> list[Version]:
    """The same timeline with what was lost made unknown: from the loss's start until the first version at or
    after its end. A hole begins even inside one: a read between two losses says nothing of the second."""
    if versions[0].at >= loss.until:
        return versions
    kept = [version for version in versions if version.at < loss.start]
    after = [version for version in versions if version.at >= loss.until]
    if not kept:
        return [versions[0]._replace(value=UNKNOWN, trace=None), *after]
    return [*kept, Version(loss.start, kept[-1].position, UNKNOWN, None), *after]


def lay_sweep(versions: list[Version], at: int) -> None:
    """What is unknown at the end of a timeline, and was not met by a sweep, is absent from `at` on."""
    last = versions[-1]
    if is_hole(last) and last.at < at:
        versions.append(Version(at, last.position, ABSENT, None))


def is_hole(version: Version) -> bool:
    """Unknown, and no event waits to be read."""
    return version.value == UNKNOWN and version.trace is None

"""How far each side's promise reaches in one partition, what was lost in between, since when it is silent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from app.detector.model import INFINITY, UNKNOWN, Blind, Gap, Mark, Rule, Seeded, Side
from app.detector.past import Loss, Past, Sweep
from app.detector.timeline import Version

EPOCH_CAUSES: Final = ("epoch", "slot")
"""The gaps after which marks of another epoch are let in."""


class Doubt(NamedTuple):
    """Why a side cannot be trusted as a whole: since when, and when that was seen last. It ends with a
    complete reading that began later."""

    since: int
    seen: int


class Watermark:
    """One side of one rule in one partition. `at` never moves back.

    `past`: what was lost and what was swept, in order. `doubts`: by cause, why the side is not to be trusted
    as it is told.
    """

    def __init__(self, side: Side, *, from_empty: bool) -> None:
        self.side, self.from_empty = side, from_empty
        self.at = -INFINITY
        self.ledger = -1
        self.epoch: str | None = None
        self.past = Past(from_empty=from_empty)
        self.doubts: dict[str, Doubt] = {}
        self.ended: list[tuple[str, Doubt, int]] = []
        """Doubts that a reading has ended, and when it was through: taken by whoever tells of it."""
        self.moved_at: int | None = None
        self.is_blind = False
        self._seeding: list[Sweep] = []
        self._may_change_epoch = False
        self._held: Mark | None = None

    @property
    def unheard(self) -> list[Version]:
        """The timeline of a key that this side never heard of."""
        return self.past.unheard

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
        self.past.add(Loss(start, until, cause == "epoch"))
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
        if self.past.knows(loss):
            return []
        self.past.add(loss)
        told = [gap._replace(from_us=start, until_us=until)]
        if gap.cause in EPOCH_CAUSES:
            self._may_change_epoch = True
            told += self._change_epoch()
        return told

    def has_lost(self, at: int) -> bool:
        """Does an instant lie inside a loss?"""
        return self.past.has_lost(at)

    def doubt(self, cause: str, since: int, seen: int) -> bool:
        """The side cannot be trusted since an instant, as was seen at another one; True where that is
        news."""
        held = self.doubts.get(cause)
        self.doubts[cause] = Doubt(since, seen) if held is None else Doubt(held.since, max(held.seen, seen))
        return held is None

    def settle_doubt(self, cause: str, seen: int) -> None:
        """What it was about is over; what it has left behind ends with a reading that begins after `seen`."""
        self.doubts[cause] = Doubt(self.doubts[cause].since, seen)

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
            is_after = all(loss.until <= sweep.since for loss in self.past.losses)
            if self.unheard[-1].value == UNKNOWN and is_after:
                self.past.add(sweep)
            for cause, doubt in list(self.doubts.items()):
                if doubt.seen < sweep.since:
                    del self.doubts[cause]
                    self.ended.append((cause, doubt, sweep.through))

    # ---- persistence

    def plain(self) -> list[object]:
        """What must be durable, in plain types."""
        return [
            self.at,
            self.ledger,
            self.epoch,
            self.from_empty,
            self.past.plain(),
            [list(sweep) for sweep in self._seeding],
            self._may_change_epoch,
            [[cause, *doubt] for cause, doubt in self.doubts.items()],
        ]

    def restore(self, held: Sequence[object]) -> None:
        """Take up what `plain` gave, lists or tuples."""
        at, ledger, epoch, from_empty, past, seeding, may_change_epoch, doubts = held
        self.at = at if isinstance(at, int) else -INFINITY
        self.ledger = ledger if isinstance(ledger, int) else -1
        self.epoch = epoch if isinstance(epoch, str) else None
        self.from_empty = from_empty is True
        self.past = Past(from_empty=self.from_empty)
        if isinstance(past, list | tuple):
            self.past.restore(past)
        if isinstance(seeding, list | tuple):
            self._seeding = [Sweep(*sweep) for sweep in seeding]
        self._may_change_epoch = may_change_epoch is True
        if isinstance(doubts, list | tuple):
            self.doubts = {cause: Doubt(since, seen) for cause, since, seen in doubts}

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

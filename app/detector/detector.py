"""One rule in one partition: observations and marks in, effects out; nothing after T is ever judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from app.detector import left as left_side
from app.detector import right as right_side
from app.detector.episode import Teller
from app.detector.judge import Judge
from app.detector.keys import Changed, Keys
from app.detector.model import (
    INFINITY,
    Control,
    Effect,
    EntryAsOf,
    EntryEvent,
    EntryRead,
    Gap,
    Incident,
    Mark,
    Observation,
    RowAsOf,
    RowChange,
    Rule,
    Side,
)
from app.detector.schedule import Schedule
from app.detector.timeline import KeyState, limit_versions
from app.detector.unverifiable import UnverifiableLog
from app.detector.watermark import Watermark

__all__ = ["Changed", "Detector"]


class Detector:
    """Holds no clock and does no I/O: the same inputs give the same transitions in any arrival order.

    `from_empty`: the log begins at the birth of both histories (horizon minus infinity, value absent).
    `fetch` gives the held state of a key that is not in memory, None where there is none. `confirmed` is told
    as `drift_confirmed`.
    """

    def __init__(
        self,
        rule: Rule,
        *,
        from_empty: bool = False,
        fetch: Callable[[str], KeyState | None] | None = None,
        confirmed: str = "off",
        log: UnverifiableLog | None = None,
    ) -> None:
        self.rule = rule
        self.left = Watermark(Side.LEFT, from_empty=from_empty)
        self.right = Watermark(Side.RIGHT, from_empty=from_empty)
        self.verified_through = -INFINITY
        self.keys = Keys(self.left, self.right, fetch)
        self._schedule = Schedule()
        self._teller = Teller(rule, confirmed)
        self._judge = Judge(rule, self._teller, self.keys, self._schedule, log)
        self._before = rule.window.lead_us + rule.window.skew_us
        self._after = rule.window.lag_us + rule.window.skew_us

    # ---- inputs

    def observe(self, observation: Observation) -> list[Effect]:
        """Take one observation of this rule in; told at most an incident, never a verdict (marks bring
        those)."""
        if isinstance(observation, RowChange):
            return self._observe_change(observation)
        if isinstance(observation, EntryEvent):
            return self._observe_event(observation)
        if isinstance(observation, EntryRead):
            return self._observe_read(observation)
        if isinstance(observation, RowAsOf):
            self.keys.left_of(observation.key).waiting.append(observation)
            self.keys.changed.left.add(observation.key)
        elif isinstance(observation, EntryAsOf):
            self.keys.right_of(observation.key).waiting.append(observation)
            self.keys.changed.right.add(observation.key)
        else:
            assert_never(observation)
        self._schedule.put(observation.key, observation.read_at)
        return []

    def advance(self, mark: Mark) -> list[Effect]:
        """Move a side's watermark and judge every key that is due at or before T; others cost nothing."""
        watermark = self.left if mark.side is Side.LEFT else self.right
        effects: list[Effect] = []
        for gap in watermark.advance(mark):
            effects += self._lose(gap)
        through = min(self.left.at, self.right.at - self._before)
        if through > self.verified_through:
            self.verified_through = through
            if self._schedule.has_due(through):
                self._teller.decided = (through, self.left.at, self.right.at)
                for key in self._schedule.take_due(through):
                    self._judge.judge(key, through, effects)
        return effects

    def control(self, record: Control) -> list[Effect]:
        """A seed that finished, or a declared loss of input."""
        if isinstance(record, Gap):
            return self._lose(record)
        (self.left if record.side is Side.LEFT else self.right).seed(record.at)
        for key in self._judge.one_sided:
            self._schedule.put(key, self.verified_through + 1)
        self._judge.one_sided.clear()
        return []

    def tick(self, now_us: int) -> list[Effect]:
        """Processing time passes: which sides have fallen silent or speak again."""
        return [*self.left.tick(self.rule, now_us), *self.right.tick(self.rule, now_us)]

    # ---- persistence

    def take_changed(self) -> Changed:
        """The keys whose state must be made durable; afterwards none are."""
        changed, self.keys.changed = self.keys.changed, Changed(set(), set(), set())
        return changed

    def step_done(self) -> list[Effect]:
        """All that was changed is durable now: delete the records that waited for it, let go of cold
        states."""
        effects = self._judge.delete_buried()
        if not effects:
            self.keys.let_go()
        return effects

    def snapshot(self, key: str) -> KeyState | None:
        """Everything held about a key."""
        return self.keys.find(key)

    def restore(self, key: str, state: KeyState) -> None:
        """Hold a state again, and look at it at the next mark."""
        self.keys.live[key] = state
        self.schedule(key)

    def schedule(self, key: str) -> None:
        """Look at a key at the next mark (after recovery: every key that is not quiet)."""
        self._schedule.put(key, -INFINITY)

    def watermarks(self) -> tuple[int, int]:
        """(left, right) in µs; -INFINITY before the first mark."""
        return self.left.at, self.right.at

    def partition_state(self) -> list[object]:
        """What must be durable beside the keys, in plain types; written after them."""
        return [self.left.plain(), self.right.plain()]

    def restore_partition(self, state: Sequence[Sequence[object]]) -> None:
        """The opposite of `partition_state`; T follows from the watermarks."""
        for watermark, held in zip((self.left, self.right), state, strict=True):
            watermark.restore(held)
        self.verified_through = min(self.left.at, self.right.at - self._before)

    @property
    def states(self) -> dict[str, KeyState]:
        """The live states; a key that is not here is held as it was last made durable, or not at all."""
        return self.keys.live

    @property
    def counts(self) -> dict[str, int]:
        """What happened, by name, since the start of this process."""
        return self.keys.counts

    @property
    def open_by_severity(self) -> dict[str, int]:
        """How many episodes are open, by severity."""
        found: dict[str, int] = {}
        for severity in self.keys.open.values():
            found[severity] = found.get(severity, 0) + 1
        return found

    # ---- observing

    def _observe_change(self, change: RowChange) -> list[Effect]:
        key = change.key
        left = self.keys.left_of(key)
        at, is_lost = left_side.apply_change(left, change, self.left, self.keys.count)
        self.keys.changed.left.add(key)
        if at is None:
            return []
        effects: list[Effect] = []
        if is_lost:
            detail = "a before-image is not what was held"
            effects.append(self._incident(key, "continuity", Side.LEFT, at, detail))
        if limit_versions(left.rows[change.row].versions, self.rule.max_versions):
            effects.append(
                self._incident(key, "too_hot", Side.LEFT, at, "too many versions wait to be judged")
            )
        has_record = self.keys.live[key].record is not None
        self._schedule.put(key, at if has_record else at + self.rule.window.min_us - 1)
        return effects

    def _observe_event(self, event: EntryEvent) -> list[Effect]:
        key = event.key
        right = self.keys.right_of(key)
        at = right_side.apply_event(right, event, self.right, self.keys.count)
        if at is None:
            return []
        self.keys.changed.right.add(key)
        effects: list[Effect] = []
        if limit_versions(right.versions, self.rule.max_versions):
            effects.append(
                self._incident(key, "too_hot", Side.RIGHT, at, "too many versions wait to be judged")
            )
        self._schedule_right(key, at)
        return effects

    def _observe_read(self, read: EntryRead) -> list[Effect]:
        right = self.keys.right_of(read.key)
        at, is_unannounced = right_side.apply_read(right, read, self.right, self.keys.count)
        if at is None:
            return []
        self.keys.changed.right.add(read.key)
        if is_unannounced:
            self._schedule_right(read.key, at)
        elif self.keys.live[read.key].record is not None:
            self._schedule.put(read.key, max(at - self._before, self.verified_through + 1))
        return []

    def _schedule_right(self, key: str, at: int) -> None:
        has_record = self.keys.live[key].record is not None
        self._schedule.put(key, at - self._before if has_record else at + self._after)

    def _lose(self, gap: Gap) -> list[Effect]:
        watermark = self.left if gap.side is Side.LEFT else self.right
        start, until = watermark.lose(gap)
        self.keys.count("gaps")
        return [
            Incident(self.rule.id, None, gap.cause, gap.side, start, until, "input of the source was lost")
        ]

    def _incident(self, key: str, cause: str, side: Side, at: int, detail: str) -> Incident:
        self.keys.count("lost" if cause == "continuity" else cause)
        return Incident(self.rule.id, key, cause, side, at, at, detail)

"""One rule in one partition: observations and marks in, effects out; nothing after T is ever judged."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import NamedTuple

from app.detector import left as left_side
from app.detector import right as right_side
from app.detector.episode import Teller
from app.detector.model import (
    ABSENT,
    INFINITY,
    OUT,
    UNKNOWN,
    Control,
    Effect,
    EntryAsOf,
    EntryEvent,
    EntryRead,
    EpisodeForgotten,
    Gap,
    Incident,
    Mark,
    Observation,
    RowAsOf,
    RowChange,
    Rule,
    Seeded,
    Side,
    Transition,
)
from app.detector.segments import Comparison, find_cover, find_segments
from app.detector.stretches import Drifting, find_turns
from app.detector.timeline import (
    KeyState,
    LeftState,
    Piece,
    RightState,
    forget_versions,
    limit_versions,
    merge_rows,
)
from app.detector.unverifiable import UnverifiableLog
from app.detector.values import format_time
from app.detector.watermark import Watermark, overlay_gaps

LIVE_STATES = 10_000
"""How many decoded key states stay in memory between steps where they can be fetched again."""


class Changed(NamedTuple):
    """Keys whose persisted parts changed since the last call."""

    left: set[str]
    right: set[str]
    records: set[str]


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
        self.rule, self.fetch, self.log = rule, fetch, log
        self.comparison = Comparison(rule)
        self.teller = Teller(rule, confirmed)
        self.left = Watermark(Side.LEFT, from_empty=from_empty)
        self.right = Watermark(Side.RIGHT, from_empty=from_empty)
        self.verified_through = -INFINITY
        self.states: dict[str, KeyState] = {}
        self.counts: dict[str, int] = {}
        self.open: dict[str, str] = {}
        self._heap: list[tuple[int, str]] = []
        self._due: dict[str, int] = {}
        self._changed = Changed(set(), set(), set())
        self._buried: list[tuple[str, int]] = []
        self._one_sided: set[str] = set()

    # ---- inputs

    def observe(self, observation: Observation) -> list[Effect]:
        """Take one observation of this rule in; told at most an incident, never a verdict (marks bring
        those)."""
        if type(observation) is RowChange:
            return self._observe_change(observation)
        if type(observation) is EntryEvent:
            return self._observe_event(observation)
        if type(observation) is EntryRead:
            return self._observe_read(observation)
        if type(observation) is RowAsOf:
            self._left_of(observation.key).waiting.append(observation)
            self._changed.left.add(observation.key)
            self.schedule_at(observation.key, observation.read_at)
        elif type(observation) is EntryAsOf:
            self._right_of(observation.key).waiting.append(observation)
            self._changed.right.add(observation.key)
            self.schedule_at(observation.key, observation.read_at)
        return []

    def advance(self, mark: Mark) -> list[Effect]:
        """Move a side's watermark and judge every key that is due at or before T; others cost nothing."""
        watermark = self.left if mark.side is Side.LEFT else self.right
        effects: list[Effect] = []
        for gap in watermark.advance(mark):
            effects += self._lose(gap)
        through = min(self.left.at, self.right.at - self.comparison.before)
        if through > self.verified_through:
            self.verified_through = through
            if self._heap and self._heap[0][0] <= through:
                self.teller.decided = (
                    format_time(through),
                    format_time(self.left.at),
                    format_time(self.right.at),
                )
                self._judge_due(through, effects)
        return effects

    def control(self, record: Control) -> list[Effect]:
        """A seed that finished, or a declared loss of input."""
        if type(record) is Seeded:
            (self.left if record.side is Side.LEFT else self.right).seed(record.at)
            for key in self._one_sided:
                self.schedule_at(key, self.verified_through + 1)
            self._one_sided.clear()
            return []
        if type(record) is Gap:
            return self._lose(record)
        return []

    def tick(self, now_us: int) -> list[Effect]:
        """Processing time passes: which sides have fallen silent or speak again."""
        return [*self.left.tick(self.rule, now_us), *self.right.tick(self.rule, now_us)]

    # ---- persistence

    def take_changed(self) -> Changed:
        """The keys whose state must be made durable; afterwards none are."""
        changed, self._changed = self._changed, Changed(set(), set(), set())
        return changed

    def step_done(self) -> list[Effect]:
        """All that was changed is durable now: delete the records that waited for it, let go of cold
        states."""
        effects: list[Effect] = []
        for key, until in self._buried:
            state = self._state(key)
            if state is not None and state.record is not None and state.record.until == until:
                state.record = None
                self._changed.records.add(key)
                effects.append(EpisodeForgotten(self.rule.id, key))
        self._buried.clear()
        if self.fetch is not None and len(self.states) > LIVE_STATES and not effects:
            self.states.clear()
        return effects

    def snapshot(self, key: str) -> KeyState | None:
        """Everything held about a key."""
        return self._state(key)

    def restore(self, key: str, state: KeyState) -> None:
        """Hold a state again, and look at it at the next mark."""
        self.states[key] = state
        self.schedule(key)

    def schedule(self, key: str) -> None:
        """Look at a key at the next mark (after recovery: every key that is not quiet)."""
        self.schedule_at(key, -INFINITY)

    def schedule_at(self, key: str, at: int) -> None:
        """Judge a key once T reaches `at`; an earlier date stands."""
        held = self._due.get(key)
        if held is None or at < held:
            self._due[key] = at
            heapq.heappush(self._heap, (at, key))

    def watermarks(self) -> tuple[int, int]:
        """(left, right) in µs; -INFINITY before the first mark."""
        return self.left.at, self.right.at

    def partition_state(self) -> list[object]:
        """What must be durable beside the keys, in plain types; written after them."""
        return [
            [mark.at, mark.ledger, mark.epoch, mark.seeded, [list(gap) for gap in mark.gaps]]
            for mark in (self.left, self.right)
        ]

    def restore_partition(self, state: Sequence[Sequence[object]]) -> None:
        """The opposite of `partition_state`; T follows from the watermarks."""
        for mark, held in zip((self.left, self.right), state, strict=True):
            mark.restore(*held)
        self.verified_through = min(self.left.at, self.right.at - self.comparison.before)

    @property
    def open_by_severity(self) -> dict[str, int]:
        """How many episodes are open, by severity."""
        found: dict[str, int] = {}
        for severity in self.open.values():
            found[severity] = found.get(severity, 0) + 1
        return found

    # ---- observing

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1

    def _state(self, key: str) -> KeyState | None:
        state = self.states.get(key)
        if state is None and self.fetch is not None:
            state = self.fetch(key)
            if state is not None:
                self.states[key] = state
        if state is not None and (self.left.gaps or self.right.gaps):
            self._apply_gaps(state)
        return state

    def _apply_gaps(self, state: KeyState) -> None:
        if state.left is not None and self.left.gaps:
            for row in state.left.rows.values():
                row.versions = overlay_gaps(row.versions, self.left.gaps)
        if state.right is not None and self.right.gaps:
            state.right.versions = overlay_gaps(state.right.versions, self.right.gaps)

    def _held(self, key: str) -> KeyState:
        state = self._state(key)
        if state is None:
            state = self.states[key] = KeyState()
        return state

    def _left_of(self, key: str) -> LeftState:
        state = self._held(key)
        if state.left is None:
            state.left = LeftState()
        return state.left

    def _right_of(self, key: str) -> RightState:
        state = self._held(key)
        if state.right is None:
            state.right = RightState(self.right.unheard[:])
        return state.right

    def _observe_change(self, change: RowChange) -> list[Effect]:
        key = change.key
        left = self._left_of(key)
        at, is_lost = left_side.apply_change(left, change, self.left, self._count)
        self._changed.left.add(key)
        if at is None:
            return []
        effects: list[Effect] = []
        if is_lost:
            self._count("lost")
            effects.append(
                self._incident(key, "continuity", Side.LEFT, at, "before-image is not what was held")
            )
        if limit_versions(left.rows[change.row].versions, self.rule.max_versions):
            self._count("too_hot")
            effects.append(
                self._incident(key, "too_hot", Side.LEFT, at, "too many versions wait to be judged")
            )
        has_record = self.states[key].record is not None
        self.schedule_at(key, at if has_record else at + self.rule.window.min_us - 1)
        return effects

    def _observe_event(self, event: EntryEvent) -> list[Effect]:
        right = self._right_of(event.key)
        at = right_side.apply_event(right, event, self.right, self._count)
        if at is None:
            return []
        self._changed.right.add(event.key)
        effects: list[Effect] = []
        if limit_versions(right.versions, self.rule.max_versions):
            self._count("too_hot")
            detail = "too many versions wait to be judged"
            effects.append(self._incident(event.key, "too_hot", Side.RIGHT, at, detail))
        self._schedule_right(event.key, at)
        return effects

    def _observe_read(self, read: EntryRead) -> list[Effect]:
        right = self._right_of(read.key)
        at, is_unannounced = right_side.apply_read(right, read, self.right, self._count)
        if at is None:
            return []
        self._changed.right.add(read.key)
        if is_unannounced:
            self._schedule_right(read.key, at)
        elif self.states[read.key].record is not None:
            self.schedule_at(read.key, max(at - self.comparison.before, self.verified_through + 1))
        return []

    def _schedule_right(self, key: str, at: int) -> None:
        has_record = self.states[key].record is not None
        self.schedule_at(key, at - self.comparison.before if has_record else at + self.comparison.after)

    def _lose(self, gap: Gap) -> list[Effect]:
        watermark = self.left if gap.side is Side.LEFT else self.right
        start, until = watermark.lose(gap)
        self._count("gaps")
        return [
            Incident(self.rule.id, None, gap.cause, gap.side, start, until, "input of the source was lost")
        ]

    def _incident(self, key: str, cause: str, side: Side, at: int, detail: str) -> Incident:
        return Incident(self.rule.id, key, cause, side, at, at, detail)

    # ---- judging

    def _judge_due(self, through: int, effects: list[Effect]) -> None:
        heap, due = self._heap, self._due
        while heap and heap[0][0] <= through:
            at, key = heapq.heappop(heap)
            if due.get(key) == at:
                del due[key]
                self._judge(key, through, effects)

    def _judge(self, key: str, through: int, effects: list[Effect]) -> None:
        """Judge a key up to T, forget what can no longer matter, and name the next instant to look at it."""
        self._count("judged")
        state = self._held(key)
        self._settle_reads(key, state, through, effects)
        judged, end = _judged_through(state), through + 1
        if end <= judged:
            self.schedule_at(key, judged)
            return
        record = state.record
        left, right = self._pieces(key, state)
        cover = None
        if record is None or record.state != "open":
            cover = find_cover(self.comparison, left, right, judged, end)
        if cover is None:
            judged, cover = self._look_closer(key, state, (left, right), (judged, end), effects)
        else:
            judged = end
        if state.record is not None and state.record.judged != judged:
            state.record.judged = judged
            self._changed.records.add(key)
        self._forget(key, state, judged)
        self._schedule_next(key, state, min(cover, self._bury(key, state, judged)), through)

    def _pieces(self, key: str, state: KeyState) -> tuple[Sequence[Piece], Sequence[Piece]]:
        left: Sequence[Piece] = self.left.unheard
        if state.left is not None and state.left.rows:
            left = merge_rows(state.left.rows)
        elif self.left.unheard[-1].value == UNKNOWN:
            self._one_sided.add(key)
        right: Sequence[Piece] = self.right.unheard
        if state.right is not None:
            right = state.right.versions
        elif self.right.unheard[-1].value == UNKNOWN:
            self._one_sided.add(key)
        return left, right

    def _look_closer(
        self,
        key: str,
        state: KeyState,
        sides: tuple[Sequence[Piece], Sequence[Piece]],
        span: tuple[int, int],
        effects: list[Effect],
    ) -> tuple[int, int]:
        """Segments, then turns, then transitions: (judged through, next instant at which the key can
        change)."""
        segments, later = find_segments(self.comparison, key, *sides, span)
        if self.log is not None:
            self.log.note(key, sides, span, segments)
        is_open = state.record is not None and state.record.state == "open"
        verdicts = find_turns(self.rule, segments, is_open=is_open, end=span[1], later=later)
        self.counts["transient"] = self.counts.get("transient", 0) + verdicts.transient
        for turn in verdicts.turns:
            told: Transition | None = None
            if type(turn) is Drifting:
                told = self.teller.drifting(key, state, turn.segment)
            elif state.record is not None:
                told = self.teller.in_sync(key, state.record, turn.segment)
            if told is not None:
                self._count(str(told.value["transition"]))
                self._changed.records.add(key)
                effects.append(told)
        self._note_open(key, state)
        return verdicts.judged, verdicts.later

    def _note_open(self, key: str, state: KeyState) -> None:
        if state.record is not None and state.record.state == "open":
            self.open[key] = state.record.severity
        else:
            self.open.pop(key, None)

    def _settle_reads(self, key: str, state: KeyState, through: int, effects: list[Effect]) -> None:
        left, right = state.left, state.right
        if left is not None and left.waiting:
            for row in [read for read in left.waiting if read.read_at <= through]:
                left.waiting.remove(row)
                self._changed.left.add(key)
                if left_side.settle_read(left, row, self.left, self._count):
                    effects.append(
                        self._incident(key, "as_of", Side.LEFT, row.read_at, "row is not what was held")
                    )
        if right is not None and right.waiting:
            for entry in [read for read in right.waiting if read.read_at <= through]:
                right.waiting.remove(entry)
                self._changed.right.add(key)
                if right_side.settle_read(right, entry, self._count):
                    detail = "entry is not what was held"
                    effects.append(self._incident(key, "as_of", Side.RIGHT, entry.read_at, detail))

    def _forget(self, key: str, state: KeyState, judged: int) -> None:
        """Drop what can no longer matter; a side's horizon is the moment up to which its key had been
        judged."""
        if state.left is not None:
            for row in state.left.rows.values():
                if len(row.versions) > 1 and forget_versions(row.versions, judged):
                    state.left.horizon = judged
                    self._changed.left.add(key)
        right = state.right
        if right is not None and len(right.versions) > 1:
            if forget_versions(right.versions, judged - self.comparison.after):
                right.horizon = judged
                self._changed.right.add(key)

    def _bury(self, key: str, state: KeyState, judged: int) -> int:
        """Past `reopen`: move a horizon to the episode's end first; the record goes in a later step. The next
        instant at which that must be looked at."""
        record = state.record
        if record is None or record.until is None:
            return INFINITY
        gone = record.until + self.rule.reopen_us + 1
        if judged <= gone:
            return gone
        if max(_horizons(state)) < record.until:
            if state.left is not None:
                state.left.horizon = judged
                self._changed.left.add(key)
            elif state.right is not None:
                state.right.horizon = judged
                self._changed.right.add(key)
        self._buried.append((key, record.until))
        return INFINITY

    def _schedule_next(self, key: str, state: KeyState, due: int, through: int) -> None:
        left, right = state.left, state.right
        if right is not None:
            if len(right.versions) > 1:
                due = min(due, right.versions[-1].at + self.comparison.after)
            for entry in right.waiting:
                due = min(due, entry.read_at)
        if left is not None:
            for row in left.rows.values():
                if len(row.versions) > 1:
                    due = min(due, row.versions[-1].at)
            for read in left.waiting:
                due = min(due, read.read_at)
        if due < INFINITY:
            self.schedule_at(key, max(due, through + 1))
        elif state.record is None:
            self._retire(key, state, through)

    def _retire(self, key: str, state: KeyState, through: int) -> None:
        """Forget a key that is absent on both sides once the topics cannot bring an old change of it back,
        and rows that ended beside a living one."""
        if state.left is None and state.right is None:
            del self.states[key]
            return
        if not self._is_gone(state):
            return
        newest = max(
            [row.versions[-1].at for row in state.left.rows.values()] if state.left is not None else [],
            default=-INFINITY,
        )
        if state.right is not None:
            newest = max(newest, state.right.versions[-1].at)
        forget_at = newest + self.rule.retain_us + 1
        if newest > -INFINITY and through < forget_at:
            self.schedule_at(key, forget_at)
            return
        del self.states[key]
        self._changed.left.add(key)
        self._changed.right.add(key)
        self._count("forgotten")

    def _is_gone(self, state: KeyState) -> bool:
        left, right = self.left.unheard[-1].value, self.right.unheard[-1].value
        if OUT in (left, right) or left != ABSENT or right != ABSENT:
            return False
        if state.right is not None and state.right.versions[-1].value != ABSENT:
            return False
        rows = state.left.rows.values() if state.left is not None else ()
        return all(row.versions[-1].value == ABSENT for row in rows)


def _horizons(state: KeyState) -> tuple[int, int]:
    return (
        state.left.horizon if state.left is not None else -INFINITY,
        state.right.horizon if state.right is not None else -INFINITY,
    )


def _judged_through(state: KeyState) -> int:
    judged = max(_horizons(state))
    return judged if state.record is None else max(judged, state.record.judged)

"""What one observation does to its key: the histories change, and the key is scheduled."""

from __future__ import annotations

from typing import Final, assert_never

from app.detector import left as left_side
from app.detector import right as right_side
from app.detector.model import (
    ABSENT,
    UNKNOWN,
    Effect,
    EntryAsOf,
    EntryEvent,
    EntryRead,
    Incident,
    Observation,
    RowAsOf,
    RowChange,
    Side,
    Unreadable,
)
from app.detector.proofs import Proofs
from app.detector.schedule import Schedule
from app.detector.settling import note_refuted
from app.detector.suspects import Suspects
from app.detector.timeline import limit_versions
from app.detector.trust import Trust

TOO_HOT: Final = "too many versions, or too large ones, wait to be judged"


class Observer:
    """Takes the observations of one rule in."""

    def __init__(self, suspects: Suspects, schedule: Schedule, trust: Trust, proofs: Proofs) -> None:
        self.rule, self.keys, self.suspects, self.trust = suspects.rule, suspects.keys, suspects, trust
        self.left, self.right = self.keys.left, self.keys.right
        self._schedule, self._proofs = schedule, proofs
        self._before = self.rule.window.lead_us + self.rule.window.skew_us
        self._after = self.rule.window.lag_us + self.rule.window.skew_us

    def observe(self, observation: Observation) -> list[Effect]:
        """Take one observation of this rule in; told at most an incident, never a verdict: those come with
        marks."""
        if isinstance(observation, RowChange):
            return self._observe_change(observation)
        if isinstance(observation, EntryEvent):
            return self._observe_event(observation)
        if isinstance(observation, EntryRead):
            return self._observe_read(observation)
        if isinstance(observation, RowAsOf):
            left_side.hold_read(self.keys.left_of(observation.key), observation, self.left)
            self.keys.changed.left.add(observation.key)
            self._schedule.put(observation.key, observation.read_at)
            self.suspects.note_read(observation.key)
        elif isinstance(observation, EntryAsOf):
            self._hold_read(observation)
            self.suspects.note_read(observation.key)
            if observation.value == UNKNOWN:
                what = "an entry cannot be read by the contract's decoder"
                return self.trust.see_unreadable(
                    Unreadable(self.rule.id, Side.RIGHT, observation.read_at, what)
                )
        else:
            assert_never(observation)
        return []

    def _observe_change(self, change: RowChange) -> list[Effect]:
        key = change.key
        left = self.keys.left_of(key)
        at, is_lost = left_side.apply_change(left, change, self.left, self.keys.count)
        self.keys.changed.left.add(key)
        if at is None:
            return []
        effects: list[Effect] = []
        if is_lost:
            incident = self._incident(key, "continuity", Side.LEFT, at, "a before-image is not what was held")
            if change.before == ABSENT:
                self._proofs.hold(incident)
            else:
                effects.append(incident)
        if limit_versions(left.rows[change.row].versions, self.rule):
            effects.append(self._incident(key, "too_hot", Side.LEFT, at, TOO_HOT))
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
        if limit_versions(right.versions, self.rule):
            effects.append(self._incident(key, "too_hot", Side.RIGHT, at, TOO_HOT))
        self._schedule_right(key, at)
        return effects

    def _observe_read(self, read: EntryRead) -> list[Effect]:
        key = read.key
        outcome = right_side.apply_read(self.keys.right_of(key), read, self.right, self.keys.count)
        if outcome.waits is not None:
            self._hold_read(outcome.waits)
        if outcome.at is None:
            return []
        self.keys.changed.right.add(key)
        is_late = outcome.at + self._after <= min(self.left.at, self.right.at - self._before)
        if is_late or outcome.is_lost or self.keys.live[key].record is not None:
            self._schedule_right(key, outcome.at)
        if not outcome.is_lost:
            return []
        note_refuted(self.rule, self.keys, key, Side.RIGHT, outcome.at)
        detail = "an entry changed and no event told of it"
        return [self._incident(key, "continuity", Side.RIGHT, outcome.at, detail)]

    def _hold_read(self, read: EntryAsOf) -> None:
        waiting = self.keys.right_of(read.key).waiting
        if read not in waiting:
            waiting.append(read)
        self.keys.changed.right.add(read.key)
        self._schedule.put(read.key, read.read_at - self._before)

    def _schedule_right(self, key: str, at: int) -> None:
        has_record = self.keys.live[key].record is not None
        self._schedule.put(key, at - self._before if has_record else at + self._after)

    def _incident(self, key: str, cause: str, side: Side, at: int, detail: str) -> Incident:
        self.keys.count("lost" if cause == "continuity" else cause)
        return Incident(self.rule.id, key, cause, side, at, at, detail)

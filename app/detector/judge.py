"""Judging one key up to T: verdicts in the exact order of event time, then forgetting, then the next date."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from app.detector.episode import Teller
from app.detector.join import join_rows
from app.detector.keys import Keys
from app.detector.model import (
    ABSENT,
    INFINITY,
    UNKNOWN,
    Effect,
    EpisodeForgotten,
    Side,
)
from app.detector.right import find_unsettled
from app.detector.schedule import Schedule
from app.detector.segments import OK, UNVERIFIABLE, Comparison, Segment, find_cover, find_segments
from app.detector.settling import Settler
from app.detector.stretches import Drifting, Verdicts, Walk, find_turns
from app.detector.suspects import LIVE, Suspects
from app.detector.timeline import (
    KeyState,
    Piece,
    RowState,
    forget_versions,
    judged_through,
    merge_rows,
    state_horizon,
)
from app.detector.unverifiable import UnknownKeys

KEPT_UNTIL_SEEDED: Final = 64
"""So many versions of a key wait for the seed of its other side: what they show then does not depend on when
the seed arrives. More would make each look too dear."""

EFFECT_COSTS: Final = 10
"""As much as so many looks at a key that is in agreement."""

Sides = tuple[Sequence[Piece], Sequence[Piece]]


class Judge:
    """Judges keys of one rule. Nothing before a key's horizons and its record's date is judged twice."""

    def __init__(self, teller: Teller, keys: Keys, schedule: Schedule, suspects: Suspects) -> None:
        self.rule, self.teller, self.keys, self.schedule = teller.rule, teller, keys, schedule
        self.suspects, self._settler = suspects, Settler(teller.rule, keys)
        self.comparison = Comparison(teller.rule)
        self.one_sided = UnknownKeys()
        """Keys of which a side is unknown for want of a seed: looked at again once it is seeded."""
        self.begins_at = -INFINITY
        """Nothing before it is judged."""
        self.room = INFINITY
        """What is left of it in this step."""
        self._buried: list[tuple[str, int]] = []

    def judge_due(self, through: int, effects: list[Effect]) -> bool:
        """Judge every key that is due, as long as there is room: a look takes one of it, each effect
        `EFFECT_COSTS`. True where keys are left."""
        for key in self.schedule.take_due(through):
            before = len(effects)
            self.judge(key, through, effects)
            self.room -= 1 + EFFECT_COSTS * (len(effects) - before)
            if self.room <= 0:
                return self.schedule.has_due(through)
        return False

    def judge(self, key: str, through: int, effects: list[Effect]) -> None:
        """Judge a key up to T, forget what can no longer matter, and name the next instant to look at it."""
        self.keys.counts["judged"] += 1
        state = self.keys.hold(key)
        end = through + 1
        if (state.left is not None and state.left.waiting) or (
            state.right is not None and state.right.waiting
        ):
            effects += self._settler.settle(key, state)
            if state.right is not None:
                end = min(end, find_unsettled(state.right) - self.comparison.before)
        judged = max(judged_through(state), self.begins_at)
        if end <= judged:
            self.schedule.put(key, max(judged, through + 1))
            return
        sides = self._sides(key, state)
        is_open = state.record is not None and state.record.state == "open"
        cover = None if is_open else find_cover(self.comparison, *sides, judged, end)
        if cover is None:
            judged, cover = self._look_closer(key, state, sides, (judged, end), effects)
        else:
            judged = end
            self.suspects.follow(key, state, judged, None)
        if state.record is not None and state.record.judged != judged:
            state.record.judged = judged
            self.keys.changed.records.add(key)
        keeps = key in self.one_sided and len(sides[0]) + len(sides[1]) <= KEPT_UNTIL_SEEDED
        if not keeps:
            self._forget_versions(key, state, judged)
        if state.suspect is None:
            due = cover if state.record is None else min(cover, self._bury(key, state, judged))
            self._plan(key, state, due, through, keeps)

    def note_open_ends(self) -> None:
        """What could not be judged and is unknown still has no end yet, however long nobody has looked."""
        if self.keys.log is None:
            return
        for key in self.keys.every():
            state = self.keys.find(key)
            for side, pieces in zip(Side, () if state is None else self._sides(key, state), strict=False):
                watermark = self.keys.left if side is Side.LEFT else self.keys.right
                name = (key, side, pieces[-1][0])
                if pieces[-1][2] == UNKNOWN and (name in self.keys.log.pieces or watermark.past):
                    self.keys.log.pieces[name] = INFINITY

    def end(self, key: str, at: int, effects: list[Effect]) -> None:
        """The rule's version ends: an open episode resolves, and nothing is kept of it."""
        state = self.keys.hold(key)
        if state.suspect is not None:
            self.suspects.clear(key, state)
        if state.record is not None:
            if state.record.state == "open":
                left, right = (_in_force(pieces, at) for pieces in self._sides(key, state))
                effects.append(self.teller.end(key, state.record, Segment(at, at + 1, OK, 0, left, right)))
                self.keys.count("resolved")
            state.record = None
            effects.append(EpisodeForgotten(self.rule.id, key))
        self.keys.open.pop(key, None)
        self.keys.changed.records.add(key)

    def delete_buried(self) -> list[Effect]:
        """Delete the records whose horizons have become durable since they were buried."""
        effects: list[Effect] = []
        for key, until in self._buried:
            state = self.keys.find(key)
            if state is not None and state.record is not None and state.record.until == until:
                state.record = None
                self.keys.changed.records.add(key)
                self.schedule.put(key, state_horizon(state))
                effects.append(EpisodeForgotten(self.rule.id, key))
        self._buried.clear()
        return effects

    def _sides(self, key: str, state: KeyState) -> Sides:
        """The pieces of both sides; a side never heard of is what its seed says."""
        left: Sequence[Piece] = self.keys.left.unheard
        right: Sequence[Piece] = self.keys.right.unheard
        if state.left is not None and state.left.rows:
            others = self.keys.left.unheard if state.left.others is None else state.left.others
            joined = self.rule.joined
            left = (
                join_rows(state.left.rows, others, joined) if joined else merge_rows(state.left.rows, others)
            )
        elif state.left is not None and state.left.others is not None:
            left = state.left.others
        if state.right is not None:
            right = state.right.versions
        if left[-1][2] == UNKNOWN or right[-1][2] == UNKNOWN:
            self.one_sided.add(key)
        else:
            self.one_sided.discard(key)
        return left, right

    def _look_closer(
        self, key: str, state: KeyState, sides: Sides, span: tuple[int, int], effects: list[Effect]
    ) -> tuple[int, int]:
        """Segments, then turns, then transitions: (judged through, next instant at which the key can
        change)."""
        segments, later = find_segments(self.comparison, key, *sides, span)
        if self.keys.log is not None:
            self.keys.log.note(key, sides, (span[1], span[1] + self.comparison.before), segments)
        record = state.record
        is_open = record is not None and record.state == "open"
        if record is not None and is_open and not (record.is_doubted or record.is_taken_up):
            record.is_doubted = self._is_doubtful(key, state, sides, record.since)
            if record.is_doubted:
                self.keys.changed.records.add(key)
        self.teller.confirmed, through = self.suspects.find_confirmation(state)
        is_news = partial(self.teller.is_news, record)
        verdicts = find_turns(self.rule, segments, Walk(is_open, span[1], later, through, is_news))
        self._tell_turns(key, state, verdicts, effects)
        exempt = (
            self._count_exempt(key, sides, segments, verdicts.judged) if self.comparison.exemptions else 0
        )
        if verdicts.transient or exempt:
            self.keys.count("transient", verdicts.transient)
            self.keys.count("exempt", exempt)
            self._move_horizon(key, state, verdicts.judged)
        if state.record is not None and state.record.state == "open":
            self.keys.open[key] = state.record.severity
        else:
            self.keys.open.pop(key, None)
        return verdicts.judged, verdicts.later

    def _tell_turns(self, key: str, state: KeyState, verdicts: Verdicts, effects: list[Effect]) -> None:
        """Transitions first; then the question about the turn that cannot be told yet."""
        for turn in verdicts.turns:
            tell = self.teller.drifting if type(turn) is Drifting else self.teller.in_sync
            told = tell(key, state, turn.segment)
            if told is None:
                continue
            self.keys.count(str(told.value["transition"]))
            self.keys.count(f"confirmed_{self.teller.confirmed}")
            self.keys.changed.records.add(key)
            effects.append(told)
            if state.suspect is not None and state.record is not None:
                state.record.checked = max(state.record.checked, state.suspect.right_at or -INFINITY)
                if turn.segment.start == state.suspect.since:
                    self.suspects.clear(key, state)
        if self.suspects.follow(key, state, verdicts.judged, verdicts.suspect) and state.suspect is not None:
            episode = self.teller.episode_at(key, state, state.suspect.since)
            effects.append(self.suspects.ask(key, state.suspect, state.record, episode))

    def _is_doubtful(self, key: str, state: KeyState, sides: Sides, at: int) -> bool:
        """Was an instant that had been judged as drift proven unknown, or in sync, since? False where it is
        forgotten."""
        if sides[0][0][0] > at:
            return False
        [segment], _ = find_segments(self.comparison, key, *sides, (at, at + 1))
        if segment.kind == OK:
            return segment.mask == 0 and self._remembers(state, at)
        return segment.kind == UNVERIFIABLE

    def _remembers(self, state: KeyState, at: int) -> bool:
        """Is everything held that counts at an instant?"""
        rows = () if state.left is None else state.left.rows.values()
        entries = () if state.right is None else state.right.versions[:1]
        oldest = [row.versions[0].at for row in rows]
        oldest += [version.at + self.comparison.after for version in entries]
        return max(oldest, default=at) <= at

    def _count_exempt(self, key: str, sides: Sides, segments: Sequence[Segment], judged: int) -> int:
        """How many stretches that an exemption excuses begin before `judged`; one that began before the first
        segment has been counted."""
        was_excused, begun = False, 0
        start = segments[0].start
        if segments[0].kind == OK and segments[0].mask and sides[0][0][0] < start:
            [before], _ = find_segments(self.comparison, key, *sides, (start - 1, start))
            was_excused = before.kind == OK and before.mask != 0
        for segment in segments:
            is_excused = segment.kind == OK and segment.mask != 0
            begun += is_excused and not was_excused and segment.start < judged
            was_excused = is_excused
        return begun

    def _move_horizon(self, key: str, state: KeyState, judged: int) -> None:
        """What was counted is not judged again."""
        if state.left is not None:
            state.left.horizon = max(state.left.horizon, judged)
            self.keys.changed.left.add(key)
        else:
            right = self.keys.right_of(key)
            right.horizon = max(right.horizon, judged)
            self.keys.changed.right.add(key)

    def _forget_versions(self, key: str, state: KeyState, judged: int) -> None:
        """Drop what can no longer matter; a side's horizon is the moment up to which its key had been
        judged. What an entry was while an episode is open matters until it has been read live once more."""
        if state.left is not None:
            for row in state.left.rows.values():
                if len(row.versions) > 1 and forget_versions(row.versions, judged):
                    state.left.horizon = judged
                    self.keys.changed.left.add(key)
        right = state.right
        if right is None or len(right.versions) == 1:
            return
        needed = judged - self.comparison.after
        if state.record is not None and state.record.state == "open" and self.suspects.mode == LIVE:
            needed = min(needed, state.record.checked)
        if forget_versions(right.versions, needed):
            right.horizon = judged
            self.keys.changed.right.add(key)

    def _bury(self, key: str, state: KeyState, judged: int) -> int:
        """Past `reopen`: move a horizon to the episode's end first; the record goes in a later step. The next
        instant at which that must be looked at."""
        record = state.record
        if record is None or record.until is None:
            return INFINITY
        gone = record.until + self.rule.reopen_us + 1
        if judged <= gone:
            return gone
        if state_horizon(state) < record.until:
            self._move_horizon(key, state, judged)
        self._buried.append((key, record.until))
        return INFINITY

    def _plan(self, key: str, state: KeyState, due: int, through: int, keeps: bool) -> None:
        """The next instant at which a key that stays silent must be looked at; none for a quiet one, nor for
        one that only keeps its versions."""
        left, right = state.left, state.right
        if right is not None:
            if len(right.versions) > 1 and not keeps:
                due = min(due, right.versions[-1].at + self.comparison.after)
            for entry in right.waiting:
                due = min(due, entry.read_at - self.comparison.before)
        if left is not None:
            wait = 0 if state.record is not None else max(self.rule.window.min_us - 1, 0)
            for row in left.rows.values():
                move = _next_move(row, through)
                if move > through or (len(row.versions) > 1 and not keeps):
                    due = min(due, move + wait)
            for read in left.waiting:
                due = min(due, read.read_at)
        if due < INFINITY:
            self.schedule.put(key, max(due, through + 1))
        elif state.record is None:
            self._retire(key, state, through)

    def _retire(self, key: str, state: KeyState, through: int) -> None:
        """Forget rows, and keys absent on both sides, once the topics cannot bring an old change of them
        back."""
        rows = state.left.rows if state.left is not None else {}
        gone = {row_id: row for row_id, row in rows.items() if row.versions[-1].value == ABSENT}
        forget_at = INFINITY
        if len(gone) < len(rows):
            for row_id, row in gone.items():
                forget_at = min(forget_at, self._forget_row(key, rows, (row_id, row), through))
        elif self._is_absent(state):
            newest = [row.versions[-1].at for row in rows.values()]
            newest += [state.right.versions[-1].at] if state.right is not None else []
            forget_at = max(newest, default=-INFINITY) + self.rule.retain_us + 1
            if through >= forget_at:
                self.keys.drop(key)
                return
        if forget_at < INFINITY:
            self.schedule.put(key, forget_at)

    def _forget_row(
        self, key: str, rows: dict[int | str, RowState], ended: tuple[int | str, RowState], through: int
    ) -> int:
        """A row that ended beside a living one: gone past the retention, else the date to look again."""
        row_id, row = ended
        forget_at = row.versions[-1].at + self.rule.retain_us + 1
        if through < forget_at:
            return forget_at
        del rows[row_id]
        self.keys.changed.left.add(key)
        return INFINITY

    def _is_absent(self, state: KeyState) -> bool:
        """Absent on both sides, as a fact: a side that was never heard of must be seeded."""
        if self.keys.left.unheard[-1].value != ABSENT or self.keys.right.unheard[-1].value != ABSENT:
            return False
        return state.right is None or state.right.versions[-1].value == ABSENT


def _in_force(pieces: Sequence[Piece], at: int) -> Piece:
    """The piece at an instant; the first one where that is forgotten."""
    found = pieces[0]
    for piece in pieces:
        if piece[0] <= at:
            found = piece
    return found


def _next_move(row: RowState, through: int) -> int:
    """When the first version after T begins; where none does, that of the newest: older ones can go then."""
    for version in row.versions:
        if version.at > through:
            return version.at
    return row.versions[-1].at

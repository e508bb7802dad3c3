"""As-of reads whose marks have come: compared with what is held, they confirm it or prove lost input."""

from __future__ import annotations

from app.detector import left as left_side
from app.detector import right as right_side
from app.detector.keys import Keys
from app.detector.left import Settled
from app.detector.model import Effect, EntryAsOf, Incident, RowAsOf, Rule, Side
from app.detector.timeline import KeyState, LeftState, RightState, judged_through


class Settler:
    """Settles the reads of one rule's keys, and tells suspects what was answered."""

    def __init__(self, rule: Rule, keys: Keys) -> None:
        self.rule, self.keys = rule, keys

    def settle(self, key: str, state: KeyState) -> list[Effect]:
        """Settle the reads whose marks have come. One that falls into a loss proves nothing: what it saw may
        have changed unheard a moment later."""
        left, right, keys = state.left, state.right, self.keys
        effects: list[Effect] = []
        if left is not None:
            for row in [read for read in left.waiting if read.read_at <= keys.left.at]:
                left.waiting.remove(row)
                keys.changed.left.add(key)
                effects += self._note_row(key, state, row, self._compare_row(left, row))
        if right is not None:
            before: EntryAsOf | None = None
            for entry in [read for read in right.waiting if read.read_at <= keys.right.at]:
                right.waiting.remove(entry)
                keys.changed.right.add(key)
                settled = self._compare_entry(right, entry, before)
                effects += self._note_entry(key, state, entry, settled)
                before = entry if settled.is_conclusive else None
        return effects

    def _compare_row(self, left: LeftState, read: RowAsOf) -> Settled:
        if self.keys.left.has_lost(read.read_at):
            self.keys.count("as_of_inconclusive")
            return left_side.INCONCLUSIVE
        return left_side.settle_read(left, read, self.keys.left, self.keys.count)

    def _compare_entry(self, right: RightState, read: EntryAsOf, before: EntryAsOf | None) -> Settled:
        if self.keys.right.has_lost(read.read_at):
            self.keys.count("as_of_inconclusive")
            return left_side.INCONCLUSIVE
        return right_side.settle_read(right, read, self.keys.count, before)

    def _note_row(self, key: str, state: KeyState, read: RowAsOf, settled: Settled) -> list[Effect]:
        if state.suspect is not None:
            state.suspect.note_row(read, is_conclusive=settled.is_conclusive)
            self.keys.changed.records.add(key)
        return self._tell_refuted(key, Side.LEFT, settled, read.read_at)

    def _note_entry(self, key: str, state: KeyState, read: EntryAsOf, settled: Settled) -> list[Effect]:
        if state.suspect is not None and settled.is_conclusive:
            state.suspect.note_entry(read)
            self.keys.changed.records.add(key)
        return self._tell_refuted(key, Side.RIGHT, settled, read.read_at)

    def _tell_refuted(self, key: str, side: Side, settled: Settled, read_at: int) -> list[Effect]:
        if settled.refuted_from is None:
            return []
        self.keys.count("lost")
        note_refuted(self.rule, self.keys, key, side, settled.refuted_from)
        detail = f"{'row' if side is Side.LEFT else 'entry'} is not what was held"
        return [Incident(self.rule.id, key, "as_of", side, settled.refuted_from, read_at, detail)]


def note_refuted(rule: Rule, keys: Keys, key: str, side: Side, since: int) -> None:
    """What was held since then is proven wrong; where it has been judged by already, what was said of the key
    there is worth no more than if it had been unknown."""
    if keys.log is None or (state := keys.find(key)) is None:
        return
    judged, window = judged_through(state), rule.window
    until = judged if side is Side.LEFT else judged - window.lag_us - window.skew_us
    reaches = judged if side is Side.LEFT else judged + window.lead_us + window.skew_us
    is_open = state.record is not None and state.record.state == "open"
    if since < until or (is_open and since < reaches):
        keys.log.note_piece(key, side, since, max(until, since + 1))

"""What a partition has lost: offsets that jump, a table that is gone."""

from __future__ import annotations

from collections.abc import Mapping

from app.detector.model import SECOND, Effect, Gap, Resweep, Side
from app.ports import Record
from app.stream.rule_partition import RulePartition, WorkerPlan
from app.stream.work import Batch, Part, Rows
from schemas.topics import DB_CHANGES

Rules = Mapping[str, RulePartition]


def fed_by(side: Side, source: str | None, rules: Rules) -> list[RulePartition]:
    """The rules whose side this source feeds."""
    found = []
    for held in rules.values():
        own = held.rule.left_source if side is Side.LEFT else held.rule.right_source
        if own is None or source is None or own == source:
            found.append(held)
    return found


def has_rows(part: Part, changed: Rows) -> bool:
    """Is anything left in a table when these rows are written?"""
    return (
        len(part) > len(changed)
        or any(row is not None for row in changed.values())
        or any(key not in changed for key in part)
    )


class Continuity:
    """`offsets`: the next one of each topic. `has_taken_up`: there is no state, and episodes had been told
    before. `parts`: the rows of the tables `left` and `right`."""

    def __init__(self, plan: WorkerPlan, parts: Mapping[Side, Part]) -> None:
        self._plan, self._parts = plan, parts
        self._changes = plan.names.of(DB_CHANGES)
        self.offsets: dict[str, int] = {}
        self.has_taken_up = False
        self._gone: list[Side] = []

    def find_filled(self, changed: Mapping[Side, Rows]) -> list[bool]:
        """Of `left` and `right`: has the table rows when these are written?"""
        return [has_rows(self._parts[side], changed[side]) for side in Side]

    def restore(self, offsets: dict[str, int], filled: list[bool]) -> None:
        """Take up what was durable. A table that had rows and has none was lost."""
        self.offsets = offsets
        self._gone = [side for side, had in zip(Side, filled, strict=True) if had and not self._parts[side]]

    def check(self, batch: Batch, rules: Rules) -> list[Effect]:
        """Offsets of `db.changes` are contiguous (its producer uses no transactions): a jump, or a log that
        begins after what we have, is lost input. Kafka itself would go on silently."""
        effects: list[Effect] = []
        first, last = batch.records[0], batch.records[-1]
        for side in self._gone:
            effects += self._lose_side(side, first, rules)
        self._gone = []
        expected = self.offsets.get(first.topic)
        self.offsets[first.topic] = last.offset + 1
        if first.topic != self._changes:
            return effects
        if expected is None:
            effects += self._begin(first, rules)
        elif first.offset > expected:
            effects += self._lose_offsets(expected, first, rules)
        if last.offset - first.offset + 1 != len(batch.records):
            for before, record in zip(batch.records, batch.records[1:], strict=False):
                if record.offset != before.offset + 1:
                    effects += self._lose_offsets(before.offset + 1, record, rules)
        return effects

    def _begin(self, first: Record, rules: Rules) -> list[Effect]:
        """The first change that this state takes in. Where it is not the first one of all, or where episodes
        had been told before, there was a state and it is gone: both sides are read again. Then never heard of
        is not absent, though both histories began with the topics: unknown since the beginning of time, until
        heard of."""
        effects: list[Effect] = []
        if first.offset == 0 and not self.has_taken_up:
            return effects
        for held in rules.values():
            if self._plan.from_empty and first.offset > 0:
                for side in Side:
                    effects += held.detector.control(Gap(side, None, 0, 1, "offsets"))
            else:
                effects.append(Resweep(held.rule.id, "state", first.timestamp * 1000))
        return effects

    def _lose_side(self, side: Side, record: Record, rules: Rules) -> list[Effect]:
        """Nothing of the side is known any more, whatever a seed said of keys that were never heard of."""
        effects: list[Effect] = []
        for held in rules.values():
            until = max(held.detector.watermarks()[side is Side.RIGHT], record.timestamp * 1000) + SECOND
            effects += held.detector.control(Gap(side, None, 0, until, "offsets"))
        return effects

    def _lose_offsets(self, expected: int, record: Record, rules: Rules) -> list[Effect]:
        effects: list[Effect] = []
        until = record.timestamp * 1000 + 1000
        self._plan.metrics.lost_offsets.inc(record.offset - expected)
        for held in fed_by(Side.LEFT, self._plan.source, rules):
            start = max(held.detector.watermarks()[0] + 1, 0)
            effects += held.detector.control(Gap(Side.LEFT, self._plan.source, start, until, "offsets"))
        return effects

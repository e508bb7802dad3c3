"""The story of a key from what was told of it: inputs as they came, and a detector's verdicts on them."""

from __future__ import annotations

from collections.abc import Sequence

from app.detector.model import (
    ABSENT,
    DUPLICATE,
    INFINITY,
    OUT,
    EntryAsOf,
    EntryRead,
    Input,
    RowAsOf,
    RowChange,
    RowId,
    Rule,
    Side,
    Transition,
    Value,
)
from app.detector.unverifiable import UnverifiableLog
from app.explain.picture import Interval, Story, read_time

Pieces = list[tuple[int, object]]


class Gathering:
    """Takes every input and effect of one rule, keeps those of one key, and makes a story of them."""

    def __init__(self, rule: Rule, key: str) -> None:
        self.rule, self.key = rule, key
        self.rows: dict[tuple[RowId | None, int], tuple[int, Value]] = {}
        self.entries: dict[int, tuple[int, Value]] = {}
        self.transitions: list[Transition] = []

    def see_input(self, item: Input) -> bool:
        """Keep what an observation of the key says, in whatever order it comes and however often; True where
        it is one."""
        if getattr(item, "key", None) != self.key or getattr(item, "rule", None) != self.rule.id:
            return False
        if isinstance(item, RowChange):
            self.rows[item.row, item.lsn] = item.at, item.after
        elif isinstance(item, RowAsOf) and not self.rows:
            self.rows[item.row, -1] = item.read_at, item.value
        elif isinstance(item, EntryRead) and item.modified_at is not None:
            self.entries[item.modified_ledger] = item.modified_at, item.value
        elif isinstance(item, EntryAsOf) and item.modified_ledger not in self.entries:
            at = item.read_at if item.modified_at is None else item.modified_at
            self.entries[item.modified_ledger] = at, item.value
        return True

    def see_transition(self, told: Transition) -> None:
        """Keep it where it is about the key, once."""
        is_mine = (told.value["rule"], told.value["key"]) == (self.rule.id, self.key)
        if is_mine and all(told.ce_id != known.ce_id for known in self.transitions):
            self.transitions.append(told)

    def story(self, judged_until: int, log: UnverifiableLog) -> Story:
        """Once no more input follows; everything before `judged_until` has been judged."""
        unknown: dict[Side, list[Interval]] = {Side.LEFT: [], Side.RIGHT: []}
        for (key, side, start), until in log.pieces.items():
            if key == self.key:
                unknown[side].append((start, until))
        return Story(
            self.rule.id,
            self.key,
            self.rule.fields,
            self.rule.window,
            self.left(),
            self.right(),
            judged_until,
            told=told_stretches(self.transitions, judged_until),
            unknown_left=unknown[Side.LEFT],
            unknown_right=unknown[Side.RIGHT],
            transitions=self.transitions,
        )

    def left(self) -> Pieces:
        """What the rows under the key made together, as far as changes told of it."""
        pieces: Pieces = [(-INFINITY, ABSENT)]
        rows: dict[RowId | None, Value] = {}
        for (row, _), (at, value) in sorted(self.rows.items(), key=lambda item: (item[1][0], item[0][1])):
            rows[row] = value
            pieces.append((at, _combine(list(rows.values()))))
        return pieces

    def right(self) -> Pieces:
        """What the entry was, as far as reads told of it."""
        return [(-INFINITY, ABSENT), *(self.entries[ledger] for ledger in sorted(self.entries))]


def _combine(rows: Sequence[Value]) -> Value:
    present = [row for row in rows if isinstance(row, tuple)]
    if len(present) > 1:
        return DUPLICATE
    return present[0] if present else OUT if OUT in rows else ABSENT


def told_stretches(transitions: Sequence[Transition], end: int) -> list[Interval]:
    """[since, until) of each stretch that was told; `end` where it is open still."""
    found: list[Interval] = []
    for told in transitions:
        kind = told.value["transition"]
        if kind in ("opened", "reopened"):
            found.append((read_time(told.value["since"]), end))
        elif kind == "resolved" and found:
            found[-1] = (found[-1][0], read_time(told.value["until"]))
    return found

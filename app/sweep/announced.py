"""Which changes of entries events told of: each with the read that it caused, and remembered for an hour."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import Final, NamedTuple

from app.detector.model import ABSENT, EntryAsOf, EntryEvent, EntryRead, Input, Mark, Side

_KEPT_LEDGERS: Final = 720
"""An hour of a network that closes one every five seconds."""


class Announced(NamedTuple):
    """An entry that was read because events named it. `ledger`, `at`: of the oldest event that the read
    answers; `at` 0: not known. `entry` is not dated."""

    entry: EntryAsOf
    ledger: int
    at: int


class Announcements:
    """One partition of `chain.events` in its order, from anywhere on.

    Remembered are the changes of the newest 720 ledgers, as a hash each (about 100 bytes with its place).
    """

    def __init__(self) -> None:
        self._unread: dict[tuple[str, str], EntryEvent] = {}
        self._is_read: dict[int, bool] = {}
        self._order: deque[tuple[int, int]] = deque()
        self._marks: list[tuple[int, int]] = []

    def take(self, each: Input) -> Announced | None:
        """What a read says that an event caused; all else is remembered only."""
        if isinstance(each, EntryEvent):
            self._unread.setdefault((each.rule, each.key), each)
            self._note(each.rule, each.key, each.ledger, is_read=False)
        elif isinstance(each, EntryRead):
            return self._pair(each)
        elif isinstance(each, Mark) and each.side is Side.RIGHT and each.ledger is not None:
            self._pass_mark(each.ledger, each.watermark)
        return None

    def is_read(self, entry: EntryAsOf) -> bool:
        """Was the entry read already as that change had left it?"""
        return entry.value != ABSENT and self._is_read.get(_place_of(*_change(entry)), False)

    def silent_from(self, entry: EntryAsOf) -> int | None:
        """Where it is certain that no event told of the change that the entry's value began with: an instant
        before that change, µs, and behind the ledgers before it as far as marks tell them apart."""
        modified = entry.modified_ledger
        if not self._marks or modified <= self._marks[0][0] or _place_of(*_change(entry)) in self._is_read:
            return None
        place = bisect_left(self._marks, (modified, 0))
        is_marked = place < len(self._marks) and self._marks[place][0] == modified
        return self._marks[place][1] - 1 if is_marked else self._marks[place - 1][1]

    def _pair(self, read: EntryRead) -> Announced | None:
        first = self._unread.pop((read.rule, read.key), None)
        modified, value = read.modified_ledger, read.value
        if modified < 0 or read.event_id is None:
            return None
        if value != ABSENT:
            self._note(read.rule, read.key, modified, is_read=True)
        entry = EntryAsOf(read.rule, read.key, value, modified, None, read.read_ledger, read.read_at)
        if first is None:
            return Announced(entry, modified, read.modified_at or 0)
        return Announced(entry, first.ledger, first.at)

    def _note(self, rule: str, key: str, ledger: int, *, is_read: bool) -> None:
        place = _place_of(rule, key, ledger)
        if place not in self._is_read:
            self._order.append((ledger, place))
        self._is_read[place] = is_read or self._is_read.get(place, False)

    def _pass_mark(self, ledger: int, at: int) -> None:
        """All reads of the events before it have come."""
        self._unread.clear()
        if self._marks and ledger < self._marks[-1][0]:  # a network that began anew
            self._marks, self._order, self._is_read = [], deque(), {}
        if not self._marks or ledger > self._marks[-1][0]:
            self._marks.append((ledger, at))
        oldest = ledger - _KEPT_LEDGERS
        if self._marks[0][0] < oldest:
            del self._marks[: bisect_left(self._marks, (oldest, 0))]
        while self._order and self._order[0][0] < oldest:
            self._is_read.pop(self._order.popleft()[1], None)


def _change(entry: EntryAsOf) -> tuple[str, str, int]:
    return entry.rule, entry.key, entry.modified_ledger


def _place_of(rule: str, key: str, ledger: int) -> int:
    return hash((rule, key, ledger))

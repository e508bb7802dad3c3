"""The usual ways of looking for drift, as small as they are usually written: what they raise, and when."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from operator import eq
from typing import Final, NamedTuple

from app.detector.model import (
    ABSENT,
    INFINITY,
    OUT,
    SECOND,
    EntryAsOf,
    EntryRead,
    RowAsOf,
    RowChange,
    RowId,
    Value,
)
from app.simulation.manner import Told
from app.simulation.truth import FOREVER, Pieces

WAITS_S: Final = (30, 60, 120)
LATEST: Final = "latest with latest"
HOURLY: Final = "hourly full compare"
HOUR_US: Final = 3600 * SECOND


def waiting_name(wait_s: int) -> str:
    """What looking again after so many seconds is called."""
    return f"wait and look again, {wait_s} s"


class Alarm(NamedTuple):
    """Raised by a record of an event at `event`, over when the sides were seen equal again."""

    event: int
    raised: int
    until: int


Alarms = dict[str, list[Alarm]]
Agrees = Callable[[object, object], bool]
"""What counts as equal."""
Switch = tuple[int, Agrees]
"""From when on."""
AT_ALL: Final[Sequence[Switch]] = ((-FOREVER, eq),)


class _Waiting:
    """Where a mismatch is seen, look again once after a while, and raise where there is one still."""

    def __init__(self, wait_us: int) -> None:
        self.wait_us = wait_us
        self.due: deque[tuple[int, str]] = deque()
        self.seen: dict[str, int] = {}
        self.active: dict[str, tuple[int, int]] = {}
        self.alarms: Alarms = {}

    def look_again(self, now: int, unequal: set[str]) -> None:
        """At every key whose time has come."""
        due = self.due
        while due and due[0][0] <= now:
            at, key = due.popleft()
            event = self.seen.pop(key)
            if key in unequal:
                self.active[key] = (event, at)

    def meet(self, key: str, event: int, arrival: int, *, is_equal: bool) -> None:
        """A record of a key came."""
        if is_equal:
            active = self.active.pop(key, None)
            if active is not None:
                self.alarms.setdefault(key, []).append(Alarm(*active, arrival))
        elif key not in self.active and key not in self.seen:
            if self.wait_us:
                self.seen[key] = event
                self.due.append((arrival + self.wait_us, key))
            else:
                self.active[key] = (event, arrival)


def watch_streams(told: Iterable[Told], end: int, rules: Sequence[Switch] = AT_ALL) -> dict[str, Alarms]:
    """Latest with latest, and waiting, over what arrives: the alarms of each, by key. `rules`: each from the
    arrival on at which it is put into force."""
    ways = {LATEST: _Waiting(0)} | {waiting_name(wait): _Waiting(wait * SECOND) for wait in WAITS_S}
    watchers, timed = list(ways.values()), list(ways.values())[1:]
    latest = _Latest()
    unequal: set[str] = set()
    coming = list(rules)
    for arrival, item in told:
        if coming and coming[0][0] <= arrival:
            latest.agrees = coming.pop(0)[1]
        taken = latest.take(item)
        if taken is None:
            continue
        key, event = taken
        for way in timed:
            if way.due and way.due[0][0] <= arrival:
                way.look_again(arrival, unequal)
        is_equal = latest.is_equal(key)
        if is_equal:
            unequal.discard(key)
        else:
            unequal.add(key)
        for way in watchers:
            way.meet(key, event, arrival, is_equal=is_equal)
    for way in watchers:
        way.look_again(end, unequal)
        for key, active in way.active.items():
            way.alarms.setdefault(key, []).append(Alarm(*active, INFINITY))
    return {name: way.alarms for name, way in ways.items()}


class _Latest:
    """The newest value of each side, by position; a read of a sweep counts where nothing is known."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[RowId, tuple[int, Value]]] = {}
        self.entries: dict[str, tuple[int, Value]] = {}
        self.agrees: Agrees = eq

    def take(self, item: object) -> tuple[str, int] | None:
        """Take a record in; its key and the time of its event, None where it brings nothing new."""
        if isinstance(item, RowChange):
            return self._row(item.key, item.row, (item.lsn, item.after), item.at)
        if isinstance(item, EntryRead) and item.modified_at is not None:
            return self._entry(item.key, (item.read_ledger, item.value), item.modified_at)
        if isinstance(item, EntryAsOf) and item.key not in self.entries:
            return self._entry(item.key, (item.read_ledger, item.value), item.read_at)
        if isinstance(item, RowAsOf) and item.row is not None:
            return self._row(item.key, item.row, (-1, item.value), item.read_at)
        return None

    def _row(self, key: str, row: RowId, version: tuple[int, Value], at: int) -> tuple[str, int] | None:
        rows = self.rows.setdefault(key, {})
        if row in rows and rows[row][0] >= version[0]:
            return None
        rows[row] = version
        return key, at

    def _entry(self, key: str, version: tuple[int, Value], at: int) -> tuple[str, int] | None:
        if key in self.entries and self.entries[key][0] >= version[0]:
            return None
        self.entries[key] = version
        return key, at

    def is_equal(self, key: str) -> bool:
        entry = self.entries[key][1] if key in self.entries else ABSENT
        rows = self.rows.get(key)
        if not rows:
            return entry == ABSENT
        if len(rows) == 1:
            [(_, value)] = rows.values()
            return value == OUT or self.agrees(value, entry)
        present = [value for _, value in rows.values() if isinstance(value, tuple)]
        if len(present) > 1:
            return False
        if present:
            return self.agrees(present[0], entry)
        return entry == ABSENT or any(value == OUT for _, value in rows.values())


def compare_hourly(
    left: Pieces, right: Pieces, span: tuple[int, int], rules: Sequence[Switch] = AT_ALL
) -> list[Alarm]:
    """Both sides read completely, at one and the same instant (kinder than any real one), each hour."""
    alarms: list[Alarm] = []
    was_unequal = False
    for at in range(span[0] + HOUR_US, span[1] + 1, HOUR_US):
        mine, theirs = _value_at(left, at), _value_at(right, at)
        agrees = next(each for since, each in reversed(rules) if since <= at)
        is_unequal = mine != OUT and not agrees(mine, theirs)
        if is_unequal and not was_unequal:
            alarms.append(Alarm(at, at, at + 1))
        elif is_unequal:
            alarms[-1] = alarms[-1]._replace(until=at + 1)
        was_unequal = is_unequal
    return alarms


def _value_at(pieces: Pieces, at: int) -> object:
    value: object = pieces[0][1]
    for begin, held in pieces:
        if begin > at:
            break
        value = held
    return value if pieces[0][0] == -FOREVER else ABSENT

"""How keys live: an entry changes, its row follows in time, and now and then something goes wrong."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.detector.model import ABSENT, OUT, SECOND, Value
from app.simulation.histories import START, Cause, Commit, EntryChange, KeyLife, Planted, close_of, ledger_at

LAG, LEAD, SKEW, MIN = 30 * SECOND, 10 * SECOND, 2 * SECOND, 2 * SECOND
"""The window of all simulated rules."""
CALM: Final = 60 * SECOND
"""From the end of one thing that happens to a key until the next may begin."""
STATUSES: Final = ("active", "suspended", "closed", "defaulted")

Line = tuple[int, int, str]
"""(limit, available, status)."""
Wish = tuple[int, int, Value, str | None]
"""(time, row, value, linked key): what a row shall become."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How people and programs behave: rates are per thing that happens to a key."""

    drift: float = 0.16
    busy: float = 0.02
    gone: float = 0.02
    hidden: float = 0.0
    short: float = 0.0
    moves: float = 0.0
    twice: float = 0.0
    soft_deleted: float = 0.0
    one_sided: float = 0.0
    silent: float = 0.0
    silent_until_s: int = 1 << 30
    hot: float = 0.0
    open_for_us: int = 0
    paces_s: tuple[int, ...] = (900, 2700, 7200)


def build_lives(r: random.Random, habits: Habits, keys: int, seconds: int, first: int = 0) -> list[KeyLife]:
    """The lives of `keys` keys, and of those that their rows were moved to."""
    lives: list[KeyLife] = []
    for number in range(first, first + keys):
        lives += _Living(r, habits, number, START + seconds * SECOND).live()
    return lives


class _Living:
    """One key. `now` is the time until which its life is written; every defect heals before the next
    thing happens."""

    def __init__(self, r: random.Random, habits: Habits, number: int, end: int) -> None:
        self.random, self.habits, self.end = r.random, habits, end
        self.key, self.row = f"key-{number:05d}", number * 10 + 1
        self.now = START
        self.line: Line = (self._between(1, 900) * 100, self._between(1, 90) * 10, "active")
        self.wishes: list[Wish] = []
        self.elsewhere: list[Wish] = []
        self.changes: list[EntryChange] = []
        self.planted: list[Planted] = []
        self.has_entry = self.has_row = True
        if habits.one_sided and self.random() < habits.one_sided:
            self.has_entry = self.random() < 0.5
            self.has_row = not self.has_entry
        self.pace = habits.paces_s[int(self.random() * len(habits.paces_s))] * SECOND
        if habits.hot and self.random() < habits.hot:
            self.pace = 0

    def live(self) -> list[KeyLife]:
        self._born()
        happenings = self._happenings()
        random_ = self.random
        while True:
            self.now += CALM if self.pace else 2 * SECOND
            self.now += int(-math.log(1.0 - random_()) * self.pace)
            if self.now >= self.end:
                break
            roll = random_()
            for rate, happen in happenings:
                roll -= rate
                if roll < 0:
                    happen()
                    break
            else:
                self._change()
        commits = self._commits(self.key, self.wishes)
        self.planted.sort(key=lambda planted: planted.at)
        found = [KeyLife(self.key, commits, self.changes, self.planted)]
        if self.elsewhere:
            other = f"{self.key}/moved"
            planted = [planted for planted in self.planted if planted.cause is Cause.MOVED_ROW]
            found.append(KeyLife(other, self._commits(other, self.elsewhere), [], planted))
        return found

    def _happenings(self) -> list[tuple[float, Callable[[], None]]]:
        habits = self.habits
        if not (self.has_entry and self.has_row):
            return []
        every = [
            (habits.drift, self._drift),
            (habits.busy, self._be_busy),
            (habits.gone, self._go),
            (habits.hidden, self._hide),
            (habits.short, self._blink),
            (habits.moves, self._move),
            (habits.soft_deleted, self._soft_delete),
        ]
        return [(rate, happen) for rate, happen in every if rate]

    # ---- numbers and times

    def _between(self, low: int, high: int) -> int:
        return low + int(self.random() * (high - low))

    def _pause(self, low_s: int, high_s: int) -> int:
        return low_s * SECOND + int(self.random() * (high_s - low_s) * SECOND)

    def _delay(self) -> int:
        """Of a row that follows in time: seldom a little early, mostly soon, sometimes late within lag."""
        roll = self.random()
        if roll < 0.15:
            return -int(self.random() * (LEAD - SECOND))
        return int(roll * roll * (LAG - SECOND))

    # ---- the two sides

    def _enter(self, value: Value) -> int:
        """The entry becomes something at the next ledger; its close time."""
        ledger = max(ledger_at(self.now) + 1, self.changes[-1].ledger + 1 if self.changes else 0)
        may_be_silent = self.habits.silent > 0 and self.now < START + self.habits.silent_until_s * SECOND
        is_silent = may_be_silent and len(self.changes) > 1 and self.random() < self.habits.silent
        if self.has_entry:
            self.changes.append(EntryChange(ledger, value, is_silent))
        at = close_of(ledger)
        self.now = max(self.now, at)
        return at

    def _write(self, at: int, value: Value) -> None:
        if self.has_row:
            self.wishes.append((at, self.row, value, None))
            self.now = max(self.now, at)

    def _plant(self, at: int, cause: Cause) -> None:
        self.planted.append(Planted(at, cause))

    def _next_line(self) -> Line:
        limit, available, status = self.line
        roll = self.random()
        if roll < 0.5:
            step = self._between(1, 50) * 10
            self.line = (limit + step, available + step, status)
        elif roll < 0.85:
            self.line = (limit, available + self._between(1, 9) * 10, status)
        else:
            others = [each for each in STATUSES if each != status]
            self.line = (limit, available, others[int(self.random() * 3)])
        return self.line

    # ---- what happens

    def _born(self) -> None:
        self.now += self._pause(0, 300)
        if not (self.has_entry and self.has_row):
            cause = Cause.MISSING_ROW if self.has_entry else Cause.ROW_WITHOUT_ENTRY
            self._plant(self.now, cause)
            self._write(self._enter(self.line), self.line)
        elif self.random() < self.habits.drift:
            self._plant(self.now, Cause.ROW_WITHOUT_ENTRY)
            self._write(self.now, self.line)
            self.now += LEAD + self._pause(20, 200)
            self._enter(self.line)
        else:
            at = self._enter(self.line)
            if self.random() < self.habits.drift:
                self._plant(at, Cause.MISSING_ROW)
                self._write(at + LAG + self._pause(15, 200), self.line)
            else:
                self._write(max(at + self._delay(), START), self.line)

    def _change(self) -> None:
        at = self._enter(self._next_line())
        self._write(at + self._delay(), self.line)

    def _be_busy(self) -> None:
        """The chain changes at nearly every ledger and the row keeps up."""
        delay = self._delay()
        for _ in range(self._between(4, 12)):
            start = self._enter(self._next_line())
            self._write(start + delay, self.line)
            self.now = start + int(self.random() * 6 * SECOND)
        self.now += LAG

    def _go(self) -> None:
        """Entry and row end, and begin again, in time."""
        self._write(self._enter(ABSENT) + self._delay(), ABSENT)
        self.now += CALM + self._pause(0, 300)
        self._change()

    def _hide(self) -> None:
        """The row leaves the rule's scope; whatever the entry does meanwhile is no drift."""
        self._write(self.now, OUT)
        self.now += self._pause(5, 200)
        if self.random() < 0.5:
            at = self._enter(self._next_line())
            self.now = at + self._pause(0, 60)
        self._write(self.now, self.line)

    def _blink(self) -> None:
        """Wrong for less than `min`."""
        limit, available, status = self.line
        self._write(self.now, (limit + 3, available, status))
        self.now += int(self.random() * (MIN - 50_000)) + 20_000
        self._write(self.now, self.line)

    def _soft_delete(self) -> None:
        """A second row under the key, out of scope from its birth on."""
        self.wishes.append((self.now, self.row + 1, OUT, None))
        self.now += self._pause(5, 300)
        self.wishes.append((self.now, self.row + 1, ABSENT, None))

    def _move(self) -> None:
        """The row's key is changed and changed back, each in one transaction."""
        other = f"{self.key}/moved"
        self._plant(self.now, Cause.MOVED_ROW)
        self.wishes.append((self.now, self.row, ABSENT, other))
        self.elsewhere.append((self.now, self.row, self.line, self.key))
        self.now += self._pause(15, 200)
        self.wishes.append((self.now, self.row, self.line, other))
        self.elsewhere.append((self.now, self.row, ABSENT, self.key))

    def _drift(self) -> None:
        drifts = (
            self._miss,
            self._miss,
            self._be_late,
            self._be_early,
            self._edit,
            self._edit,
            self._write_wrong_value,
            self._write_wrong_status,
            self._lose_row,
            self._keep_row,
            self._get_stuck,
            self._duplicate,
            self._overtake,
        )
        drifts[int(self.random() * len(drifts))]()

    # ---- defects

    def _miss(self) -> None:
        before = self.line
        at = self._enter(self._next_line())
        self._plant(at, Cause.MISSED_UPDATE)
        if self.random() < 0.3:
            self.line = before
            self.now += LAG + LEAD + self._pause(15, 400)
            self._enter(before)
        else:
            self._write(at + LAG + self._pause(130, 600), self.line)

    def _be_late(self) -> None:
        at = self._enter(self._next_line())
        self._plant(at, Cause.LATE_UPDATE)
        self._write(at + LAG + self._pause(15, 120), self.line)

    def _be_early(self) -> None:
        self._plant(self.now, Cause.EARLY_UPDATE)
        self._write(self.now, self._next_line())
        self.now += LEAD + self._pause(15, 120)
        self._enter(self.line)

    def _edit(self) -> None:
        limit, available, status = self.line
        self._plant(self.now, Cause.MANUAL_EDIT)
        self._write(self.now, (limit + 7, available, status))
        self._write(self.now + self._pause(13, 400), self.line)

    def _write_wrong_value(self) -> None:
        limit, available, status = self._next_line()
        self._follow_wrongly((limit, available + 4, status), Cause.WRONG_VALUE)

    def _write_wrong_status(self) -> None:
        limit, available, _ = self._next_line()
        self._follow_wrongly((limit, available, "aktive"), Cause.WRONG_STATUS)

    def _follow_wrongly(self, wrong: Line, cause: Cause) -> None:
        at = self._enter(self.line) + self._delay()
        self._plant(at, cause)
        self._write(at, wrong)
        self._write(at + self._pause(13, 300), self.line)

    def _lose_row(self) -> None:
        self._plant(self.now, Cause.MISSING_ROW)
        self._write(self.now, ABSENT)
        self._write(self.now + self._pause(13, 300), self.line)

    def _keep_row(self) -> None:
        at = self._enter(ABSENT)
        self._plant(at, Cause.ROW_WITHOUT_ENTRY)
        self._write(at + LAG + self._pause(15, 300), ABSENT)
        self.now += CALM
        self._change()

    def _get_stuck(self) -> None:
        """The chain changes at nearly every ledger and the row stands still."""
        until = self.now + LAG + self._pause(30, 120)
        self._plant(self.now, Cause.STALE_BUSY_ROW)
        while self.now < until:
            self._enter(self._next_line())
            self.now += int(self.random() * 10 * SECOND)
        self._write(self.now, self.line)

    def _duplicate(self) -> None:
        self._plant(self.now, Cause.DUPLICATE)
        self.wishes.append((self.now, self.row + 1, self.line, None))
        self.now += self._pause(13, 300)
        self.wishes.append((self.now, self.row + 1, ABSENT, None))

    def _overtake(self) -> None:
        """Two changes soon after each other, written by two programs of which the one with the newer value is
        the quicker one: what it wrote is overwritten by the older value."""
        first = self._enter(self._next_line())
        older = self.line
        self.now = first + int(self.random() * 10 * SECOND)
        second = self._enter(self._next_line())
        quick = second + self._pause(0, 5)
        self._write(quick + self._pause(1, 10), older)
        self._write(quick, self.line)
        self._write(second + LAG + self._pause(15, 300), self.line)

    # ---- commits

    def _commits(self, key: str, wishes: list[Wish]) -> list[Commit]:
        """The wishes as commits in order of time: none that changes nothing, no two transactions at once. One
        that lands on what was wished for later than it is a defect, planned or not."""
        commits: list[Commit] = []
        rows: dict[int, Value] = {}
        latest: dict[int, int] = {}
        newest = START - 1
        for number, (at, row, after, linked) in sorted(enumerate(wishes), key=lambda wish: wish[1][0]):
            is_overtaken = number < latest.get(row, -1)
            latest[row] = max(number, latest.get(row, -1))
            before = rows.get(row, ABSENT)
            if after == before:
                continue
            newest = max(at, newest + 1)
            if is_overtaken:
                self._plant(newest, Cause.OUT_OF_ORDER)
            started = newest
            if self.habits.open_for_us and linked is None:
                started -= self._between(0, self.habits.open_for_us)
            if self._writes_twice(before, after):
                between: Value = (1, 1, "between")
                commits.append(Commit(newest, key, row, before, between, linked, started))
                before = between
            commits.append(Commit(newest, key, row, before, after, linked, started))
            rows[row] = after
        return commits

    def _writes_twice(self, before: Value, after: Value) -> bool:
        if not self.habits.twice or not isinstance(after, tuple) or not isinstance(before, tuple):
            return False
        return self.random() < self.habits.twice

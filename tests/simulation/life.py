"""What really happens in a simulated world: commits in a database, changes in a contract, drift."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import NamedTuple

from app.detector.model import ABSENT, OUT, SECOND, Value

START = 1_790_000_000 * SECOND
LEDGER_US = 5 * SECOND
FIRST_LEDGER = 1000


def close_of(ledger: int) -> int:
    """When a ledger closed."""
    return START + (ledger - FIRST_LEDGER) * LEDGER_US


class Commit(NamedTuple):
    """One row change, in the order of the log (lsn). `started`: when its transaction took its id."""

    at: int
    key: str
    row: int
    before: Value
    after: Value
    linked: str | None = None
    started: int = 0
    tx: int = 0
    lsn: int = 0


class EntryChange(NamedTuple):
    """The entry of a key from a ledger on. Silent: no event tells of it."""

    ledger: int
    key: str
    value: Value
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class Habits:
    """How a world's people and programs behave; rates are per change of an entry."""

    keys: int = 12
    seconds: int = 900
    drift: float = 0.15
    gone: float = 0.04
    hidden: float = 0.0
    silent: float = 0.0
    short: float = 0.0
    moves: float = 0.0
    twice: float = 0.0
    several_rows: float = 0.0
    one_sided: float = 0.0
    hot: float = 0.0
    open_for_us: int = 0


@dataclass
class Life:
    """The two histories of all keys."""

    commits: list[Commit] = field(default_factory=list)
    changes: list[EntryChange] = field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        """Every key that either side ever held."""
        return sorted({commit.key for commit in self.commits} | {change.key for change in self.changes})


def build_life(r: random.Random, habits: Habits) -> Life:
    """Histories of all keys; transactions take their ids in the order of start, lsn in that of commit."""
    life = Life()
    for number in range(habits.keys):
        _KeyLife(r, habits, life, f"key-{number:02d}", number * 10 + 1).live()
    if habits.moves:
        _move_rows(r, habits, life)
    life.changes.sort(key=lambda change: (change.ledger, change.key))
    life.commits.sort(key=lambda commit: commit.at)
    started = sorted({(c.started, c.at, c.key.split("/")[0]) for c in life.commits})
    ids = {name: 4_294_967_000 + 3 * i for i, name in enumerate(started)}
    life.commits = [
        commit._replace(tx=ids[commit.started, commit.at, commit.key.split("/")[0]], lsn=100 + 2 * i)
        for i, commit in enumerate(life.commits)
    ]
    return life


class _KeyLife:
    """One key: its entry changes, and its row follows, sometimes badly."""

    def __init__(self, r: random.Random, habits: Habits, life: Life, key: str, row: int) -> None:
        self.r, self.habits, self.life, self.key, self.row = r, habits, life, key, row
        self.value: Value = ABSENT
        self.wish: list[tuple[int, Value]] = []

    def live(self) -> None:
        r, habits = self.r, self.habits
        roll = r.random()
        has_entry, has_row = roll >= habits.one_sided / 2, not habits.one_sided / 2 <= roll < habits.one_sided
        pace = 1 if r.random() < habits.hot else r.choice((2, 6, 20))
        last = FIRST_LEDGER + habits.seconds * SECOND // LEDGER_US - 1
        ledger = FIRST_LEDGER + r.randrange(0, 20)
        limit, status = r.randrange(1, 90) * 100, "active"
        value: Value = (limit, status)
        while ledger < last:
            is_silent = r.random() < habits.silent and ledger > FIRST_LEDGER + 20
            if has_entry:
                self.life.changes.append(EntryChange(ledger, self.key, value, is_silent))
            if has_row:
                self._follow(close_of(ledger), value)
            if r.random() < habits.gone:
                value = ABSENT
            else:
                limit, status = self._change(limit, status)
                value = (limit, status)
            ledger += r.randrange(1, pace + 1)
        self._write()

    def _change(self, limit: int, status: str) -> tuple[int, str]:
        if self.r.random() < 0.6:
            return limit + self.r.randrange(1, 50), status
        return limit, self.r.choice(("active", "suspended", "closed"))

    def _follow(self, at: int, value: Value) -> None:
        r, habits = self.r, self.habits
        at += r.choice((0, 1, 4, 12, 24)) * SECOND + r.randrange(0, 2 * SECOND) - r.choice((0, 0, 4 * SECOND))
        roll = r.random()
        if roll < habits.drift / 3:
            return
        if roll < habits.drift * 2 / 3:
            at += r.randrange(20, 70) * SECOND
        elif roll < habits.drift and isinstance(value, tuple):
            value = (value[0] + 7, value[1])
        if r.random() < habits.short:
            self.wish.append((at - r.randrange(1, SECOND), (1, "blink")))
        if r.random() < habits.hidden:
            self.wish.append((at, OUT))
            at += r.randrange(1, 40) * SECOND
        self.wish.append((at, value))

    def _write(self) -> None:
        """The wishes as commits: in order of time, none that changes nothing."""
        r, habits = self.r, self.habits
        newest = START
        for at, after in sorted(self.wish, key=lambda wish: wish[0]):
            if after == self.value:
                continue
            newest = max(at, newest + 1)
            started = newest - (r.randrange(0, habits.open_for_us) if habits.open_for_us else 0)
            if r.random() < habits.twice and isinstance(after, tuple) and self.value != ABSENT:
                self._commit(newest, (after[0] + 1, "between"), started)
            self._commit(newest, after, started)
        if self.life.commits and self.wish and r.random() < habits.several_rows:
            second = r.randrange(START, START + habits.seconds * SECOND)
            until = second + r.randrange(1, 200) * SECOND
            value = (9, "second")
            self.life.commits.append(Commit(second, self.key, self.row + 1, ABSENT, value, started=second))
            self.life.commits.append(Commit(until, self.key, self.row + 1, value, ABSENT, started=until))

    def _commit(self, at: int, after: Value, started: int) -> None:
        self.life.commits.append(Commit(at, self.key, self.row, self.value, after, started=started))
        self.value = after


def _move_rows(r: random.Random, habits: Habits, life: Life) -> None:
    """Some rows leave for a key of their own and come back a while later, each in one transaction."""
    last = {}
    for commit in life.commits:
        if commit.key not in last or commit.at >= last[commit.key].at:
            last[commit.key] = commit
    for key, commit in list(last.items()):
        if r.random() < habits.moves and isinstance(commit.after, tuple):
            other = f"{key}/moved"
            at = commit.at + r.randrange(1, 60) * SECOND
            back = at + r.randrange(1, 120) * SECOND
            for time, source, target in ((at, key, other), (back, other, key)):
                gone = Commit(time, source, commit.row, commit.after, ABSENT, target, time)
                come = Commit(time, target, commit.row, ABSENT, commit.after, source, time)
                life.commits += [gone, come]

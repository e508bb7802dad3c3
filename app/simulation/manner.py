"""How a world is told to the detector: delays, stalls, repeats, losses, sweeps; and a partition's facts."""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final, NamedTuple

from app.detector.model import ABSENT, SECOND, Input, Value
from app.simulation.histories import FIRST_LEDGER, LEDGER_US, START, Commit, KeyLife

RULE_ID: Final = "simulated"
_FIRST_TRANSACTION: Final = 4_294_960_000
"""Transaction ids pass 2**32 on the way."""


class Told(NamedTuple):
    """An input and when it arrives, by a clock without error."""

    arrival: int
    input: Input


@dataclass(frozen=True, slots=True)
class Manner:
    """How a life is told. Delays and stalls are per partition and side; times count from the beginning."""

    left_delay_s: tuple[float, float] = (0.05, 2.0)
    right_delay_s: tuple[float, float] = (0.5, 4.0)
    left_stalls: int = 0
    right_stalls: int = 0
    stalls_together: bool = False
    wander_s: float = 0.0
    duplicates: float = 0.0
    replays: int = 0
    left_offset_us: int = 0
    right_offset_us: int = 0
    full_images: bool = True
    page_ledgers: int = 1
    read_ahead: int = 0
    streams_from_s: int | None = None
    sweeps_s: tuple[int, ...] = ()
    left_loss: float = 0.0
    right_loss: float = 0.0
    right_drops: float = 0.0
    losses_are_told: bool = True
    losses_until_s: int = 1 << 30
    poller_gaps: int = 0
    epochs: int = 0
    restarts: bool = False
    confirms: bool = False
    before_images: bool = False
    rule_changes: int = 0


class Delay:
    """When what happens at an instant arrives, in order: a base delay, stalls, and a wandering part."""

    def __init__(self, r: random.Random, base_s: tuple[float, float], stalls: list[tuple[int, int]]) -> None:
        self.base = int(r.uniform(*base_s) * SECOND)
        self.stalls, self.newest = stalls, 0
        self.random, self.wander_us, self.extra = r.random, 0, 0

    def of(self, at: int) -> int:
        """The arrival of what happens at `at`; never before an earlier call's."""
        for start, until in self.stalls:
            if start <= at < until:
                at = until
        if self.wander_us and self.random() < 0.02:
            self.extra = int(self.random() * self.wander_us)
        arrival = at + self.base + self.extra
        self.newest = max(self.newest, arrival)
        return self.newest


def plan_stalls(r: random.Random, count: int, seconds: int) -> list[tuple[int, int]]:
    """Stretches of half a minute to seven minutes in which nothing arrives."""
    found = []
    for _ in range(count):
        start = START + r.randrange(0, seconds) * SECOND
        found.append((start, start + r.randrange(30, 420) * SECOND))
    return sorted(found)


class Facts:
    """The lives of one partition, put into the orders of the log (lsn), of transactions, and of ledgers."""

    def __init__(self, lives: list[KeyLife], seconds: int) -> None:
        self.lives, self.seconds = lives, seconds
        self.end = START + seconds * SECOND
        self.last_ledger = FIRST_LEDGER + seconds * SECOND // LEDGER_US
        self.life_of = {life.key: life for life in lives}
        self.commits = sorted((c for life in lives for c in life.commits), key=_commit_time)
        self.commit_times = [commit.at for commit in self.commits]
        names = sorted({_transaction(commit) for commit in self.commits})
        self.started = [name[0] for name in names]
        self.tx_of = {name: _FIRST_TRANSACTION + 3 * i for i, name in enumerate(names)}

    def transaction(self, commit: Commit) -> int:
        """The 64-bit id of the transaction of a commit."""
        return self.tx_of[_transaction(commit)]

    def next_transaction(self, at: int) -> int:
        """The id that a transaction would take next."""
        return _FIRST_TRANSACTION + 3 * bisect_right(self.started, at)

    def entry_at(self, key: str, ledger: int) -> tuple[Value, int]:
        """(value, ledger of its last modification; -1 where it never was)."""
        changes = self.life_of[key].changes
        i = bisect_right(changes, ledger, key=_ledger_of) - 1
        return (ABSENT, -1) if i < 0 else (changes[i].value, changes[i].ledger)


def _commit_time(commit: Commit) -> int:
    return commit.at


def _ledger_of(change: tuple[int, Value, bool]) -> int:
    return change[0]


def _transaction(commit: Commit) -> tuple[int, int, str]:
    return commit.started, commit.at, commit.key.partition("/")[0]

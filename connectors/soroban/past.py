"""What entries were before they were read: each ledger that changed one holds what it was, and since when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from app.detector.model import ABSENT, UNKNOWN, EntryAsOf, Value
from app.errors import DriftwatchError, Transient
from connectors.soroban.answers import Ledger, OutOfRange
from connectors.soroban.changes import Before, find_before
from connectors.soroban.times import SECOND

MOST_STEPS: Final = 8
MOST_LEDGERS: Final = 32


class LedgerSource(Protocol):
    """Tells what a ledger did; None where it cannot. Raises `DriftwatchError`, for a ledger that is not held
    any more, too."""

    async def get_ledger(self, ledger: int) -> Ledger | None: ...


@dataclass(slots=True)
class Trail:
    """One entry on its way back to `history_from`. `told`: newest first, the entry as it was read at the head
    of it. `value_of` reads what stood under `ledger_key`."""

    ledger_key: str
    history_from: int
    value_of: Callable[[Before], Value]
    told: list[EntryAsOf]
    is_over: bool = False

    @property
    def following(self) -> int:
        """The ledger that holds what the entry was before; -1 where that is not wanted, or not known.

        Ledgers close at whole seconds, each later than the one before: so many ledgers back are so many
        seconds at least."""
        last = self.told[-1]
        if self.is_over or last.modified_ledger < 0 or len(self.told) > MOST_STEPS:
            return -1
        latest = last.read_at - (last.read_ledger - last.modified_ledger) * SECOND
        if (latest if last.modified_at is None else last.modified_at) <= self.history_from:
            return -1
        return last.modified_ledger

    def step(self, ledger: Ledger, found: Before | None) -> None:
        """Take in what the ledger that modified the entry tells of it."""
        closed = ledger.ledger_close_time * SECOND
        self.told[-1] = last = self.told[-1]._replace(modified_at=closed)
        value = UNKNOWN if found is None else self.value_of(found)
        if found is None or value == UNKNOWN or closed <= self.history_from:
            self.is_over = True
            return
        since = found.modified_ledger if value != ABSENT else -1
        before = EntryAsOf(last.rule, last.key, value, since, None, ledger.sequence - 1, closed - 1)
        self.told.append(before)


async def walk_back(source: LedgerSource, trails: Sequence[Trail]) -> None:
    """Follow the trails, newest ledger first; each ledger is asked for once, and serves all of them.

    After `MOST_LEDGERS`, or `MOST_STEPS` of an entry, and where a ledger is not told, the way ends there.
    Raises what the source raises only where that told nothing at all, and `Transient` where a node has not
    the first ledger yet.
    """
    for number in range(MOST_LEDGERS):
        asked = max((trail.following for trail in trails), default=-1)
        if asked < 0:
            return
        trailing = [trail for trail in trails if trail.following == asked]
        try:
            ledger = await source.get_ledger(asked)
            keys = frozenset(trail.ledger_key for trail in trailing)
            found = {} if ledger is None else await asyncio.to_thread(find_before, ledger.metadata_xdr, keys)
        except DriftwatchError as error:
            if number > 0:
                return
            if isinstance(error, OutOfRange) and not error.is_gone(asked):
                raise Transient("calling getLedgers of", "a node that is behind", error) from error
            raise
        for trail in trailing:
            if ledger is None:
                trail.is_over = True
            else:
                trail.step(ledger, found.get(trail.ledger_key))

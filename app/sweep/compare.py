"""Compares both sides of a rule once, now, with nothing but the two sides: no Kafka, no slot, no history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from app.clock import Clock
from app.detector.model import SECOND
from app.rules import LoadedRule
from app.sweep.patience import Patience
from app.sweep.reading import ENTRIES_A_CALL, BothSides, EntrySource, Reading, RowSource
from app.sweep.sides import Look, Pair, Sides, lasting, pair_up, worst

_ROUNDS: Final = 3
_LASTED: Final = 2
"""So often in a row must a field be read the same on both sides where the entry moved meanwhile."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """`wait_s`: between two reads of a suspect; None: what the rule's window says."""

    page_size: int = 1000
    wait_s: float | None = None
    patience_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Difference:
    """A key that differed in the same way each time that it was read."""

    key: str
    severity: str
    differences: list[dict[str, object]]


@dataclass(slots=True)
class Compared:
    """What a comparison found; `in_sync` to `unverifiable` and the differences add up to `checked`.

    `unsettled`: they differed, and moved between the reads each time. `unreadable`: rows without a key.
    `refused`: keys of rows that can have no entry, and why; they are not among the checked.
    """

    checked: int = 0
    in_sync: int = 0
    exempt: int = 0
    unsettled: int = 0
    unverifiable: int = 0
    unreadable: int = 0
    cannot_list: bool = False
    differences: list[Difference] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def count(self, look: Look, by: int = 1) -> None:
        """One key, of which no more is to be said; or one less."""
        self.checked += by
        if look is Look.EXEMPT:
            self.exempt += by
        elif look is Look.UNVERIFIABLE:
            self.unverifiable += by
        else:
            self.in_sync += by


@dataclass(slots=True)
class _Suspect:
    """A key that differed. `mask`: the fields that did, the same way, in the last `lasted` rounds."""

    pair: Pair
    mask: int
    lasted: int = 0


@dataclass(slots=True)
class _Screened:
    """What one read of everything says. `odd`: what was counted, where it was not as in sync; `again`: keys
    whose rows stand in several pages, so that what was counted of them is not worth anything."""

    suspects: dict[str, None] = field(default_factory=dict)
    odd: dict[str, Look] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)


class Comparer:
    """Reads everything once; what differs is read again, and told only where it stays as it was.

    Two reads `lag + lead + skew` apart, both differing, nothing moved: between them there was a time at which
    the row was nothing that the chain held within the window. What moves meanwhile is read again, three times
    at most.
    """

    def __init__(self, rows: RowSource, entries: EntrySource, clock: Clock, options: CompareOptions) -> None:
        self._sources, self._clock, self._options = (rows, entries), clock, options

    async def compare(self, loaded: LoadedRule, say: Say) -> Compared:
        """Raises `Transient` for trouble that lasts longer than `patience_s`, and `Fatal`."""
        found, sides = Compared(), Sides(loaded.rule)
        both = BothSides(self._sources, loaded, Patience(self._clock, self._options.patience_s), 0)
        suspects = await self._screen(both, sides, found)
        found.cannot_list = both.cannot_list
        held: dict[str, _Suspect] = {}
        for pair in await _read_again(both, suspects, loaded.rule.joined):
            look, mask = sides.look(pair)
            if look is Look.DIFFERING:
                held[pair.key] = _Suspect(pair, mask)
            else:
                found.count(look)
        wait_s = self._wait_s(loaded)
        for _ in range(_ROUNDS):
            if held:
                say(f"{len(held)} keys differ; they are read again in {wait_s:g} s")
                await self._clock.sleep(wait_s)
                again = await _read_again(both, held, loaded.rule.joined)
                held = _keep(held, again, sides, found)
        for suspect in held.values():
            if suspect.lasted >= _LASTED:
                _tell(found, sides, suspect.pair, suspect.mask)
            else:
                found.checked += 1
                found.unsettled += 1
        found.differences.sort(key=lambda each: each.key)
        return found

    async def _screen(self, both: BothSides, sides: Sides, found: Compared) -> list[str]:
        """The keys that have to be read again; all others are counted."""
        screened = _Screened()
        async with aclosing(both.pages(self._options.page_size)) as pages:
            async for reading in pages:
                screened.again |= reading.again
                _count(reading, sides, found, screened)
        async with aclosing(both.others(())) as others:
            async for reading in others:
                _count(reading, sides, found, screened)
        screened.again.difference_update(found.refused)
        for key in screened.again.difference(screened.suspects):
            found.count(screened.odd.get(key, Look.IN_SYNC), -1)
        return list(screened.suspects | dict.fromkeys(screened.again))

    def _wait_s(self, loaded: LoadedRule) -> float:
        window = loaded.rule.window
        if self._options.wait_s is not None:
            return self._options.wait_s
        return (window.lag_us + window.lead_us + window.skew_us) / SECOND


def _count(reading: Reading, sides: Sides, found: Compared, screened: _Screened) -> None:
    found.unreadable += reading.rows.unreadable
    for pair in pair_up(reading.rows.rows, reading.entry_reads, sides.rule.joined):
        look, _ = sides.look(pair)
        if look is Look.DIFFERING and pair.key in reading.refused:
            found.refused[pair.key] = reading.refused[pair.key]
            continue
        if look is Look.DIFFERING:
            screened.suspects[pair.key] = None
            continue
        found.count(look)
        if look is not Look.IN_SYNC:
            screened.odd[pair.key] = look


async def _read_again(both: BothSides, keys: Iterable[str], joined: Sequence[int]) -> list[Pair]:
    left, pairs = iter(list(keys)), []
    while some := list(islice(left, ENTRIES_A_CALL)):
        reading = await both.read(some)
        pairs += pair_up(reading.rows.rows, reading.entry_reads, joined)
    return pairs


def _keep(
    held: dict[str, _Suspect], again: Iterable[Pair], sides: Sides, found: Compared
) -> dict[str, _Suspect]:
    """Tell what stood still and differs, count what agrees now; the others have to be read once more."""
    moved: dict[str, _Suspect] = {}
    for pair in again:
        suspect = held[pair.key]
        before = suspect.pair
        look, now = sides.look(pair)
        if look is not Look.DIFFERING:
            found.count(look)
            continue
        mask = lasting(suspect.mask & now, before, pair)
        if mask and before.modified_ledger == pair.modified_ledger:
            _tell(found, sides, pair, mask)
        elif mask:
            moved[pair.key] = _Suspect(pair, mask, suspect.lasted + 1)
        else:
            moved[pair.key] = _Suspect(pair, now)
    return moved


def _tell(found: Compared, sides: Sides, pair: Pair, mask: int) -> None:
    differences = sides.differences(pair, mask)
    found.checked += 1
    found.differences.append(Difference(pair.key, worst(differences), differences))

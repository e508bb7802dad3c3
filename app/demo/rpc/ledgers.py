"""What a node holds: the ledgers of its retention window with their events, and the newest state."""

from __future__ import annotations

import base64
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from app.demo.rpc.cursors import Position

UNDO_LEDGERS: Final = 64
_CONTRACT_DATA: Final = 6
_TEMPORARY: Final = bytes(4)


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it is served. `contract` may be "", `topics` and `value` are base64 ScVals; `succeeded`
    tells of its transaction."""

    position: Position
    type: str
    contract: str
    topics: tuple[str, ...]
    value: str
    tx_hash: str
    succeeded: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """What a ledger did to an entry; keys and data are base64 XDR. No data: it was deleted."""

    key: str
    data: str | None
    live_until: int | None = None
    archived: bool = False


@dataclass(frozen=True, slots=True)
class Ledger:
    """A closed ledger; its events are in the order of their positions."""

    sequence: int
    close_time_s: int
    hash: str
    events: Sequence[Event] = ()
    changes: Sequence[Change] = ()


@dataclass(frozen=True, slots=True)
class Range:
    """The ledgers that a node holds, both ends included."""

    oldest: Ledger
    latest: Ledger


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry at the newest ledger."""

    key: str
    data: str
    modified_ledger: int
    live_until: int | None
    archived: bool

    def shown_live_until(self, ledger: int) -> int | None:
        """What the node says of its life at a ledger: 0: archived, None: the core names no end."""
        if self.archived or self._expired(ledger):
            return 0
        return self.live_until

    def is_gone(self, ledger: int) -> bool:
        """A temporary entry that has expired is there no more; others are archived."""
        return self._expired(ledger) and _is_temporary(self.key)

    def _expired(self, ledger: int) -> bool:
        return self.live_until is not None and self.live_until < ledger


@dataclass(frozen=True, slots=True)
class View:
    """What a node knows that has come as far as `range.latest`; `before` holds the entries that changed after
    it as they were. `range` None: no ledger was closed yet."""

    range: Range | None
    entries: Mapping[str, Entry]
    before: Mapping[str, Entry | None]

    def entry(self, key: str) -> Entry | None:
        """The entry under the canonical base64 of its key; None where there is none at the latest ledger."""
        found = self.before[key] if key in self.before else self.entries.get(key)
        if found is None or self.range is None or found.is_gone(self.range.latest.sequence):
            return None
        return found


class Ledgers:
    """Grows by one ledger at a time and forgets what leaves the window of `retention` ledgers."""

    def __init__(self, retention: int) -> None:
        self.retention = retention
        self._held: dict[int, Ledger] = {}
        self._oldest = self._latest = 0
        self._entries: dict[str, Entry] = {}
        self._undo: deque[dict[str, Entry | None]] = deque(maxlen=UNDO_LEDGERS)

    def append(self, ledger: Ledger) -> None:
        """Close a ledger; raises ValueError for one that does not follow the latest."""
        if not self._held:
            self._oldest = ledger.sequence
        elif ledger.sequence != self._latest + 1:
            raise ValueError(f"ledger {ledger.sequence} does not follow {self._latest}")
        self._held[ledger.sequence] = replace(ledger, changes=())  # they are in the state from here on
        self._latest = ledger.sequence
        if len(self._held) > self.retention:
            del self._held[self._oldest]
            self._oldest += 1
        undo: dict[str, Entry | None] = {}
        for change in ledger.changes:
            undo.setdefault(change.key, self._entries.get(change.key))
            if change.data is None:
                self._entries.pop(change.key, None)
                continue
            self._entries[change.key] = Entry(
                change.key, change.data, ledger.sequence, change.live_until, change.archived
            )
        self._undo.append(undo)

    def at(self, sequence: int) -> Ledger:
        """A ledger that is held; raises KeyError."""
        return self._held[sequence]

    def changes_of(self, sequence: int) -> list[tuple[Entry | None, Entry | None]]:
        """What a ledger did to entries, each as it was before and after; nothing is told of ledgers before
        the newest `UNDO_LEDGERS`."""
        age = self._latest - sequence
        if age >= len(self._undo):
            return []
        found: list[tuple[Entry | None, Entry | None]] = []
        later = [self._undo[-place] for place in range(age, 0, -1)]
        for key, before in self._undo[-1 - age].items():
            kept = next((undo for undo in later if key in undo), self._entries)
            found.append((before, kept.get(key)))
        return found

    def view(self, behind: int = 0, kept: int | None = None) -> View:
        """The node as it is, or as it was `behind` ledgers ago; at most `UNDO_LEDGERS`, never before its
        oldest ledger. `kept`: it holds so many ledgers only."""
        if not self._held:
            return View(None, {}, {})
        behind = min(behind, UNDO_LEDGERS, self._latest - self._oldest)
        latest = self._latest - behind
        oldest = self._oldest if kept is None else max(self._oldest, latest - kept + 1)
        before: dict[str, Entry | None] = {}
        for place in range(1, behind + 1):
            before.update(self._undo[-place])
        held = Range(self._held[oldest], self._held[latest])
        return View(held, self._entries, before)

    def events(
        self, start: Position, end_ledger: int, wanted: Callable[[Event], bool]
    ) -> Iterator[tuple[Ledger, Event]]:
        """The wanted events from `start` up to `end_ledger`, which is excluded, in order. Ledgers that are
        not held any more are passed over in silence, as the real server does."""
        for sequence in range(max(start.ledger, self._oldest), min(end_ledger, self._latest + 1)):
            ledger = self._held[sequence]
            events = ledger.events
            begin = 0
            if events and sequence == start.ledger:
                begin = bisect_left(events, start, key=lambda event: event.position)
            for number in range(begin, len(events)):
                if wanted(events[number]):
                    yield ledger, events[number]


def _is_temporary(key: str) -> bool:
    raw = base64.b64decode(key)
    return int.from_bytes(raw[:4], "big") == _CONTRACT_DATA and raw[-4:] == _TEMPORARY

"""The events of the watched contracts in order, a stretch of ledgers at a time: by contract while they fit
into one request, by first topic beyond, in shards of contracts where a node refuses that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeVar

from stellar_sdk import scval

from app.errors import Transient
from app.telemetry import get_logger
from connectors.soroban import cursor as cursors
from connectors.soroban.answers import Event, OutOfRange, Page
from connectors.soroban.cursor import Cursor
from connectors.soroban.history import History
from connectors.soroban.rpc import MAX_CONTRACTS, Filters, NodeApi, OverTime, Refused, filters_of

log = get_logger(__name__)

T = TypeVar("T")
MAX_ROWS: Final = 25
_ROWS_A_FILTER: Final = 5
_SCAN: Final = 10_000
_MOST: Final = 10_000
_SHARD_SPAN: Final = 100
"""Ledgers of a sharded stretch: its events are held in memory until the last shard has answered."""
_TIMES_ASKED: Final = 3
"""Several nodes behind one address answer in turn: one of so many answers is the right one's."""
_IN_SHARDS: Final = 100
"""Stretches that are read in shards before topics are tried again."""
_FOREIGN_PAGES, _FOREIGN_PART = 3, 10
"""So many full pages in a row, of whose events fewer than a tenth were ours."""


class Mode(StrEnum):
    """How the events are asked for."""

    CONTRACTS = "contracts"
    TOPICS = "topics"
    SHARDS = "shards"


@dataclass(frozen=True, slots=True)
class Lost:
    """Ledgers whose events may be missing, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """The events between two cursors, and what of it may be missing. `latest`: the node's latest ledger;
    `oldest`: its oldest when it was asked first, None where it does not tell."""

    events: Sequence[Event]
    start: Cursor
    following: Cursor
    latest: int
    oldest: int | None
    lost: Lost | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How many events a page holds, and how near to the node's oldest ledger a stretch must begin to be
    checked for events that were trimmed under it."""

    page_events: int = 1000
    floor_margin_ledgers: int = 120


class Feed:
    """Reads on from a cursor. Only events of `known` contracts are given: a topic can be written by any
    contract. `topics` are the first topics that known contracts write, None where they are not known.

    `known` may grow between two stretches; what a contract did before it was known is not told.
    """

    def __init__(
        self,
        rpc: NodeApi,
        history: History,
        known: Collection[str],
        topics: Collection[str] | None,
        reading: Reading,
    ) -> None:
        self._rpc, self._history, self._known, self._reading = rpc, history, known, reading
        self._rows = None if topics is None else rows_of(topics)
        self._span: int | None = None
        self._sharded = self._foreign = 0

    @property
    def mode(self) -> Mode:
        """How the next stretch is asked for."""
        if len(self._known) <= MAX_CONTRACTS:
            return Mode.CONTRACTS
        return Mode.TOPICS if self._rows is not None and self._sharded == 0 else Mode.SHARDS

    async def read(self, cursor: Cursor) -> Stretch:
        """The next stretch; while nothing is watched, the ledgers go by without events.

        Raises `OutOfRange` for a node that has not come to the cursor, `Transient` for an answer that must
        not be believed, and `AnotherHistory`.
        """
        start, doubts = cursor, 0
        while True:
            try:
                stretch = await self._read_from(start)
                break
            except OutOfRange as error:
                oldest = await self._ask_oldest()
                if not error.is_gone(start.asked_ledger):
                    raise
                if oldest is not None and oldest <= start.asked_ledger and doubts < _TIMES_ASKED:
                    doubts += 1  # another node behind this address has what this one has not any more
                    continue
                start = replace(start, position=None, ledger=max(start.ledger, error.oldest - 1))
        if start.ledger > cursor.ledger:
            stretch = replace(stretch, lost=Lost(cursor.wanted_ledger, start.ledger))
        return await self._check_floor(stretch)

    async def _ask_oldest(self) -> int | None:
        """A cursor outside of a node's ledgers may be one of a history that ended; the oldest ledger, where
        the node says so."""
        try:
            health = await self._rpc.get_health()
        except Transient:
            return None
        self._history.take_health(health)
        return health.oldest_ledger

    async def _read_nothing(self, start: Cursor) -> Stretch:
        health = await self._rpc.get_health()
        self._history.take_health(health)
        latest = health.latest_ledger
        if latest < start.ledger:
            raise OutOfRange(self._rpc.subject, health.oldest_ledger, latest)
        following = replace(start, position=cursors.end_of(latest), ledger=latest)
        return Stretch((), start, following, latest, None)

    async def _read_from(self, start: Cursor) -> Stretch:
        while True:
            mode = self.mode
            try:
                stretch = await self._read_as(mode, start)
            except OutOfRange as error:
                if error.latest != start.ledger or start.position is None:
                    raise
                return Stretch((), start, start, error.latest, None)  # a range cannot begin behind the tip
            except OverTime:
                if not self._shrink(mode):
                    raise
            except Refused as error:
                if mode is not Mode.TOPICS:
                    raise
                self._shard(str(error))
            else:
                self._grow()
                return stretch

    async def _read_as(self, mode: Mode, start: Cursor) -> Stretch:
        if not self._known:
            return await self._read_nothing(start)
        if mode is Mode.SHARDS:
            return await self._read_shards(start)
        return await self._read_page(start, mode)

    async def _read_page(self, start: Cursor, mode: Mode) -> Stretch:
        filters = filters_of(list(self._known)) if mode is Mode.CONTRACTS else self._rows or ()
        if self._span is None:
            page = await self._rpc.find_events(filters, start.start, self._reading.page_events)
        else:
            until = start.wanted_ledger + self._span
            limit = self._reading.page_events if start.position is None else _MOST
            page = await self._rpc.find_events(filters, start.wanted_ledger, limit, until)
        self._believe(page, start)
        events = [event for event in page.events if self._is_wanted(event, start)]
        if mode is Mode.TOPICS:
            self._watch_for_floods(page, events)
        following = replace(start, position=page.cursor, ledger=_scanned(page, start))
        return Stretch(events, start, following, page.latest_ledger, page.oldest_ledger)

    def _is_wanted(self, event: Event, start: Cursor) -> bool:
        return event.contract_id in self._known and not start.is_published(event.id)

    def _believe(self, page: Page, start: Cursor) -> None:
        if cursors.ledger_of(page.cursor) < start.ledger:
            cause = f"the cursor went back: {page.cursor}"
            raise Transient("reading events of", self._rpc.subject, cause)
        self._history.take_page(page)

    async def _read_shards(self, start: Cursor) -> Stretch:
        """All shards up to one ledger, the last one that the first shard's node knew."""
        span = min(self._span or _SHARD_SPAN, _SHARD_SPAN)
        first, last = start.wanted_ledger, start.ledger + span
        found: list[Event] = []
        bounds: Page | None = None
        for shard in _parts(sorted(self._known), MAX_CONTRACTS):
            async for page in self._read_shard(shard, first, last):
                bounds = bounds or page
                last = min(last, page.latest_ledger)
                found += [event for event in page.events if self._is_wanted(event, start)]
        if bounds is None:
            raise ValueError("there is no contract to read the events of")
        events = sorted((event for event in found if event.ledger <= last), key=lambda event: event.id)
        position = start.position if last <= start.ledger else cursors.end_of(last)
        following = replace(start, position=position, ledger=max(start.ledger, last))
        self._sharded = max(0, self._sharded - 1)
        return Stretch(events, start, following, bounds.latest_ledger, bounds.oldest_ledger)

    async def _read_shard(self, shard: Sequence[str], first: int, last: int) -> AsyncIterator[Page]:
        filters, place, until = filters_of(shard), first, last + 1
        page = await self._rpc.find_events(filters, place, self._reading.page_events, until)
        while True:
            self._history.take_page(page)
            yield page
            if cursors.scanned_ledger(page.cursor) >= min(last, page.latest_ledger):
                return
            page = await self._rpc.find_events(filters, page.cursor, self._reading.page_events)

    async def _check_floor(self, stretch: Stretch) -> Stretch:
        """A node trims while it reads and tells nobody: a stretch near its floor is proven by asking again,
        and only the same node can prove it."""
        wanted, lost = stretch.start.wanted_ledger, stretch.lost
        if stretch.oldest is None or wanted - stretch.oldest >= self._reading.floor_margin_ledgers:
            return stretch
        for _ in range(_TIMES_ASKED):
            health = await self._rpc.get_health()
            self._history.take_health(health)
            if health.oldest_ledger >= stretch.oldest and health.latest_ledger >= stretch.latest:
                break
        else:
            cause = "another node than the one that told the events answers for its oldest ledger"
            raise Transient("proving the events of", self._rpc.subject, cause)
        last = min(health.oldest_ledger - 1, stretch.following.ledger)
        if last < wanted:
            return stretch
        return replace(stretch, lost=Lost(wanted if lost is None else lost.first, last))

    def _shrink(self, mode: Mode) -> bool:
        """Ask for fewer ledgers, at last for fewer contracts; False where neither is left."""
        self._span = (self._span or (_SHARD_SPAN if mode is Mode.SHARDS else _SCAN)) // 2
        if self._span > 0:
            return True
        self._span = 1
        if mode is not Mode.TOPICS:
            return False
        self._shard("it takes too long over a single ledger")
        return True

    def _grow(self) -> None:
        if self._span is not None:
            self._span = None if self._span * 2 >= _SCAN else self._span * 2

    def _watch_for_floods(self, page: Page, wanted: Sequence[Event]) -> None:
        """Strangers that write our topics may make more pages than reading contract by contract takes."""
        is_full = not page.cursor.endswith("-4294967295")
        is_foreign = is_full and len(wanted) * _FOREIGN_PART < len(page.events)
        self._foreign = self._foreign + 1 if is_foreign else 0
        if self._foreign >= max(_FOREIGN_PAGES, len(self._known) // MAX_CONTRACTS):
            self._foreign = 0
            self._shard("other contracts write the same topics all the time")

    def _shard(self, reason: str) -> None:
        self._sharded, self._span = _IN_SHARDS, None
        log.warning(
            "Reads events contract by contract",
            event_name="chain_shards",
            node=self._rpc.subject,
            reason=reason,
        )


def _scanned(page: Page, start: Cursor) -> int:
    return max(start.ledger, cursors.scanned_ledger(page.cursor))


def rows_of(topics: Collection[str]) -> Filters | None:
    """Filters by the first topic, the host's own word for an upgrade among them; None where they do not fit
    into one request. Filters with and without contracts are never mixed: servers before 27.1.1 lose events
    then."""
    names = sorted({*topics, "executable_update"})
    if len(names) > MAX_ROWS:
        return None
    rows = [[scval.to_symbol(name).to_xdr(), "**"] for name in names]
    return [{"topics": part} for part in _parts(rows, _ROWS_A_FILTER)]


def _parts(listed: Sequence[T], size: int) -> list[Sequence[T]]:
    return [listed[first : first + size] for first in range(0, len(listed), size)]

"""Follows one network: events, the entries that they name read again, marks, gaps; one batch a page."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from app.clock import Clock
from app.errors import Fatal, Transient
from app.telemetry import get_logger
from connectors.soroban import cursor as cursors
from connectors.soroban.answers import Event, Health, OutOfRange, Page
from connectors.soroban.cursor import Cursor
from connectors.soroban.metrics import PollerMetrics
from connectors.soroban.reader import CHUNK, EntryReader, EntryReads
from connectors.soroban.records import (
    Batch,
    Keyed,
    ReadPlace,
    Watch,
    entry_record,
    gap_record,
    mark_record,
    name_entries,
)
from connectors.soroban.rpc import Rpc
from connectors.soroban.times import SECOND, CloseTimes, micros_of

log = get_logger(__name__)

_RETRY_AFTER_MAX_S: Final = 300.0
_STALE_RETRIES: Final = 3


class Sink(Protocol):
    """Takes batches: each is visible wholly or not at all, and in the order of the calls."""

    async def publish(self, batch: Batch) -> None: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a tip is asked, how large a page is, how near to the node's oldest ledger a page must begin
    to be checked for events trimmed under it, and the bounds of the back-off."""

    interval_s: float = 1.0
    page_events: int = 1000
    floor_margin_ledgers: int = 120
    back_off_s: float = 0.25
    back_off_max_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Scope:
    """The network by its short name, what is watched on it, and at what pace."""

    network: str
    watches: tuple[Watch, ...]
    pace: Pace = Pace()


@dataclass(frozen=True, slots=True)
class _Lost:
    """Ledgers whose events may be missing, both included."""

    first: int
    last: int


class Poller:
    """Turns a node's answers into batches for a sink. One step is one page and one batch; a step that fails
    leaves nothing behind, so it may be repeated, by another process too."""

    def __init__(
        self, rpc: Rpc, sink: Sink, scope: Scope, clock: Clock, metrics: PollerMetrics | None = None
    ) -> None:
        self._rpc, self._sink, self._clock = rpc, sink, clock
        self._network, self._watches, self._pace = scope.network, scope.watches, scope.pace
        self._metrics = metrics or PollerMetrics()
        self._times = CloseTimes()
        self._contracts = [watch.contract for watch in self._watches]
        self._readers = {
            (watch.contract, decoder.entry): EntryReader(rpc, watch.contract, decoder)
            for watch in self._watches
            for decoder in watch.decoders
        }
        self.at_tip = False

    async def first_cursor(self) -> Cursor:
        """Where to begin on a network that was never followed: the node's latest ledger."""
        return Cursor(None, (await self._rpc.get_health()).latest_ledger - 1)

    async def follow(self, cursor: Cursor, stop: asyncio.Event) -> Cursor:
        """Step until `stop`; trouble with the node is waited out. Raises `Fatal` and the sink's errors."""
        failures = 0
        while not stop.is_set():
            pause = 0.0
            try:
                cursor = await self.step(cursor)
                failures = 0
                pause = self._pace.interval_s if self.at_tip else 0.0
            except OutOfRange:
                self._metrics.enter("node_behind")
                pause = self._pace.interval_s
            except Transient as error:
                failures += 1
                pause = self._back_off(failures, error)
                if failures in (1, 10) or failures % 100 == 0:
                    log.warning(
                        "The node gives no answer",
                        event_name="rpc_trouble",
                        reason=str(error),
                        failures=failures,
                    )
            self._show_lag(cursor.ledger)
            await self._wait(pause, stop)
        return cursor

    async def step(self, cursor: Cursor) -> Cursor:
        """Publish the next page and return the cursor behind it. Raises `Transient` and, for a node that has
        not yet come to the cursor, `OutOfRange`; nothing is published then."""
        page, start, lost = await self._next_page(cursor)
        self._learn(page.latest_ledger, page.latest_ledger_close_time)
        if page.oldest_ledger is not None:
            self._learn(page.oldest_ledger, page.oldest_ledger_close_time)
        scanned = max(start.ledger, cursors.scanned_ledger(page.cursor))
        lost = await self._check_floor(page, start, scanned, lost)
        self.at_tip = scanned >= page.latest_ledger
        following = Cursor(page.cursor, scanned)
        if page.events or scanned > cursor.ledger or lost is not None:
            batch = await self._batch(page, start, following, lost)
            await self._sink.publish(batch)
            self._metrics.published(len(page.events), scanned)
        self._metrics.enter("gap" if lost is not None else "tip" if self.at_tip else "catching_up")
        return following

    async def _next_page(self, cursor: Cursor) -> tuple[Page, Cursor, _Lost | None]:
        """The page after the cursor, where it really began, and what was lost in between."""
        start = cursor
        while True:
            try:
                page = await self._rpc.get_events(self._contracts, start.start, self._pace.page_events)
            except OutOfRange as error:
                if not error.is_gone(start.asked_ledger):
                    raise
                start = Cursor(None, max(start.ledger, error.oldest - 1))
                continue
            if cursors.ledger_of(page.cursor) < start.ledger:
                raise Transient(
                    "reading events of", self._rpc.subject, f"the cursor went back: {page.cursor}"
                )
            if start.ledger > cursor.ledger:
                return page, start, _Lost(cursor.wanted_ledger, start.ledger)
            return page, start, None

    async def _check_floor(self, page: Page, start: Cursor, scanned: int, lost: _Lost | None) -> _Lost | None:
        """A node trims while it reads and tells nobody: a page near its floor is proven by asking again."""
        wanted = start.wanted_ledger
        if page.oldest_ledger is None or wanted - page.oldest_ledger >= self._pace.floor_margin_ledgers:
            return lost
        oldest = (await self._health()).oldest_ledger
        last = min(oldest - 1, scanned)
        if last < wanted:
            return lost
        return _Lost(wanted if lost is None else lost.first, last)

    async def _batch(self, page: Page, start: Cursor, following: Cursor, lost: _Lost | None) -> Batch:
        for event in page.events:
            self._learn(event.ledger, micros_of(event.ledger_closed_at) // SECOND)
        named = name_entries(self._network, page.events, self._watches)
        if named.undecodable:
            self._metrics.undecodable.inc(named.undecodable)
        records = named.records
        for (contract, entry), by_key in named.entries.items():
            records += await self._read(contract, entry, by_key)
        gap = None
        if lost is not None:
            gap = gap_record(self._network, lost.first, lost.last)
            self._metrics.lost(lost.last - lost.first + 1)
            log.error(
                "Ledgers left the node's retention before they were read",
                event_name="chain_gap",
                from_ledger=lost.first,
                to_ledger=lost.last,
            )
        mark = None
        if following.ledger > start.ledger:
            closed_at = self._lower_bound(following.ledger)
            mark = mark_record(self._network, following.ledger, closed_at, start.ledger)
        return Batch(self._network, gap, tuple(records), mark, cursors.to_json(following))

    async def _read(self, contract: str, entry: str, by_key: dict[str, Event]) -> list[Keyed]:
        reader = self._readers[contract, entry]
        keys = list(by_key)
        records: list[Keyed] = []
        for first in range(0, len(keys), CHUNK):
            chunk = keys[first : first + CHUNK]
            reads, read_at = await self._read_fresh(reader, chunk, max(by_key[key].ledger for key in chunk))
            place = ReadPlace(self._network, contract, entry, reads.read_ledger, read_at)
            for state in reads.states:
                event = by_key[state.key]
                modified = state.modified_ledger if state.exists else event.ledger
                modified_at = None if modified is None else self._times.of(modified)
                records.append(entry_record(place, state, event, modified_at))
                self._metrics.entry_read(state)
        return records

    async def _read_fresh(
        self, reader: EntryReader, keys: Sequence[str], at_least: int
    ) -> tuple[EntryReads, int]:
        """A read at or after `at_least`, and a moment at which what it says held: the close of its ledger, or
        of an earlier one that is not before the last change."""
        for _ in range(_STALE_RETRIES):
            reads = await reader.read(keys)
            if reads.read_ledger < at_least:
                break
            if self._times.of(reads.read_ledger) is None:
                await self._health()
            known = self._times.floor(reads.read_ledger)
            changed = max([at_least, *(state.modified_ledger or 0 for state in reads.states)])
            if known is not None and known[0] >= changed:
                return reads, known[1]
        raise Transient(
            "reading entries of",
            self._rpc.subject,
            f"the state is of ledger {reads.read_ledger}, needed: {at_least} or later, its close time known",
        )

    async def _health(self) -> Health:
        health = await self._rpc.get_health()
        self._learn(health.latest_ledger, health.latest_ledger_close_time)
        self._learn(health.oldest_ledger, health.oldest_ledger_close_time)
        return health

    def _learn(self, ledger: int, close_time_s: int | None) -> None:
        if close_time_s:
            self._times.learn(ledger, close_time_s * SECOND)

    def _lower_bound(self, ledger: int) -> int:
        known = self._times.floor(ledger)
        if known is None:
            hint = "stellar-rpc 23 or newer is needed"
            raise Fatal("reading events of", self._rpc.subject, "the node tells no close times", hint)
        return known[1]

    def _show_lag(self, scanned: int) -> None:
        known = self._times.floor(scanned)
        if known is not None:
            self._metrics.lag.set(max(0.0, (self._clock.now_us() - known[1]) / SECOND))

    def _back_off(self, failures: int, error: Transient) -> float:
        """The time that the node named, or a doubling one; jitter keeps many pollers from asking at once."""
        jitter = 0.5 + secrets.randbelow(500) / 1000
        doubled = min(self._pace.back_off_max_s, self._pace.back_off_s * 2.0 ** min(failures, 20)) * jitter
        named = error.retry_after_s
        return doubled if named is None else max(doubled, min(named, _RETRY_AFTER_MAX_S))

    async def _wait(self, seconds: float, stop: asyncio.Event) -> None:
        if seconds <= 0:
            return
        stopped = asyncio.ensure_future(stop.wait())
        slept = asyncio.ensure_future(self._clock.sleep(seconds))
        await asyncio.wait((stopped, slept), return_when=asyncio.FIRST_COMPLETED)
        for waiting in (stopped, slept):
            waiting.cancel()

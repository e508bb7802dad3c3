"""Follows one network: events, the entries that they name read again, marks, gaps; one batch a stretch."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from app.clock import Clock, sleep_unless
from app.errors import DriftwatchError, Fatal, Transient
from app.telemetry import get_logger
from connectors.soroban import cursor as cursors
from connectors.soroban.answers import Event, Health, OutOfRange
from connectors.soroban.cursor import Anchor, Cursor
from connectors.soroban.feed import Feed, Lost, Reading, Stretch
from connectors.soroban.history import AnotherHistory, History
from connectors.soroban.mapped import MappedContracts, MappedRule, Moves
from connectors.soroban.metrics import PollerMetrics
from connectors.soroban.pacing import TipPace
from connectors.soroban.reader import CHUNK, Asked, EntryReads, read_entries
from connectors.soroban.records import (
    Batch,
    Keyed,
    MovePlace,
    ReadPlace,
    Watch,
    entry_record,
    epoch_record,
    gap_record,
    gone_record,
    mark_record,
    move_record,
    name_entries,
)
from connectors.soroban.rpc import NodeApi, Refused
from connectors.soroban.times import SECOND
from connectors.soroban.upgrades import find_upgrades

log = get_logger(__name__)

_RETRY_AFTER_MAX_S: Final = 300.0
_STALE_RETRIES: Final = 3
_TIMES_ASKED: Final = 2
"""Behind one address two nodes may answer in turn, one of them behind."""
_SEEDS_A_STEP: Final = CHUNK
"""Keys of new contracts that are read beside a stretch; more would make the tip wait."""
_REFUSALS: Final = 10
"""Refusals in a row that are taken for one node's own; then no node will do what is asked."""


class Sink(Protocol):
    """Takes batches: each is visible wholly or not at all, and in the order of the calls."""

    async def publish(self, batch: Batch) -> None: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a tip is asked, how large a page is, how near to the node's oldest ledger a page must begin
    to be checked for events trimmed under it, the bounds of the back-off, and how often the history is
    proven at the tip."""

    interval_s: float = 1.0
    page_events: int = 1000
    floor_margin_ledgers: int = 120
    back_off_s: float = 0.25
    back_off_max_s: float = 30.0
    proof_every_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Scope:
    """The network by its short name, what is watched on it, at what pace, and by which tables."""

    network: str
    watches: tuple[Watch, ...]
    pace: Pace = Pace()
    mapped: tuple[MappedRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the network is followed: up to which ledger all is published and when that closed (µs, None:
    not known), and the latest ledger that any node told."""

    ledger: int
    closed_at: int | None
    latest: int
    epoch: int


class Poller:
    """Turns a node's answers into batches for a sink. One step is one stretch of ledgers and one batch; a
    step that fails leaves nothing behind, so it may be repeated, by another process too."""

    def __init__(
        self, rpc: NodeApi, sink: Sink, scope: Scope, clock: Clock, metrics: PollerMetrics | None = None
    ) -> None:
        self._rpc, self._sink, self._clock = rpc, sink, clock
        self._network, self._pace = scope.network, scope.pace
        self._metrics = metrics or PollerMetrics()
        self._watches = {watch.contract: watch for watch in scope.watches}
        self.mapped = MappedContracts(scope.mapped, self._watches)
        self._history = History(rpc)
        reading = Reading(self._pace.page_events, self._pace.floor_margin_ledgers)
        topics = _topics_of(scope)
        self._feed = Feed(rpc, self._history, self._watches.keys(), topics, reading)
        self._tip = TipPace(self._pace.interval_s)
        self._latest, self._proven_s = -1, clock.monotonic_s()
        self._place: Cursor | None = None
        self._asked = rpc.subject
        self.at_tip = False

    @property
    def progress(self) -> Progress | None:
        """How far it is; None before the first step."""
        if self._place is None:
            return None
        known = self._history.times.floor(self._place.ledger)
        closed_at = None if known is None else known[1]
        return Progress(self._place.ledger, closed_at, self._latest, self._place.epoch)

    async def first_cursor(self) -> Cursor:
        """Where to begin on a network that was never followed: the node's latest ledger."""
        return Cursor(None, (await self._rpc.get_health()).latest_ledger - 1)

    async def resume(self, cursor: Cursor) -> Cursor:
        """Take up a stored cursor, and see whether the network still has the history that it belongs to; the
        cursor to follow from, which is another one where it has not. Raises what the node's calls raise."""
        self._history.resume(cursor)
        self._place = cursor
        try:
            await self._history.prove(cursor)
        except AnotherHistory as error:
            return await self._begin_epoch(cursor, error)
        return cursor

    async def follow(self, cursor: Cursor, stop: asyncio.Event) -> Cursor:
        """Step until `stop`; trouble with the nodes is waited out. Raises `Fatal` and the sink's errors."""
        failures, is_resumed = 0, False
        while not stop.is_set():
            try:
                if not is_resumed:
                    cursor = await self.resume(cursor)
                    is_resumed = True
                cursor = await self._prove_now_and_then(await self.step(cursor))
                failures = 0
                pause = self._tip.pause_s(self._clock.monotonic_s()) if self.at_tip else 0.0
            except OutOfRange:
                self._metrics.enter("node_behind")
                self._rpc.turn_away("it has not come to the cursor")
                pause = self._pace.interval_s
            except Refused as error:
                failures += 1
                if failures > _REFUSALS or not self._rpc.turn_away(str(error)):
                    raise
                pause = self._trouble(failures, error, None)
            except Transient as error:
                failures += 1
                pause = self._trouble(failures, error, error.retry_after_s)
            self._show_lag(cursor.ledger)
            await sleep_unless(stop, pause, self._clock)
        return cursor

    def _trouble(self, failures: int, error: DriftwatchError, named_s: float | None) -> float:
        """Tell of it, not each time; how long to wait: not long, where another node is asked next."""
        is_moved, self._asked = self._rpc.subject != self._asked, self._rpc.subject
        if failures > 1:
            self._metrics.enter("unreachable")
        if failures in (1, 10) or failures % 100 == 0:
            log.warning(
                "The node gives no answer", event_name="rpc_trouble", reason=str(error), failures=failures
            )
        return self._back_off(1 if is_moved else failures, None if is_moved else named_s)

    async def step(self, cursor: Cursor) -> Cursor:
        """Publish the next stretch and return the cursor behind it. Raises `Transient` and, for a node that
        has not yet come to the cursor, `OutOfRange`; nothing is published then."""
        self._place = cursor
        try:
            stretch = await self._feed.read(cursor)
        except AnotherHistory as error:
            return await self._begin_epoch(cursor, error)
        following = self._history.anchored(stretch.following, stretch.events)
        is_new_tip = cursor.ledger < following.ledger >= stretch.latest
        moves = Moves()
        if is_new_tip:
            moves = self.mapped.take(_SEEDS_A_STEP, self._lower_bound(following.ledger))
        if stretch.events or following.ledger > cursor.ledger or stretch.lost is not None:
            await self._sink.publish(await self._batch(stretch, following, moves))
            self._metrics.published(len(stretch.events), following.ledger)
            self.mapped.told(moves)
        self._place = following
        self._judge_place(stretch)
        return following

    def _judge_place(self, stretch: Stretch) -> None:
        """A latest ledger that is lower than one that was told before is no tip: the node is behind."""
        ledger = stretch.following.ledger
        is_behind = stretch.latest < self._latest
        self._latest = max(self._latest, stretch.latest)
        self.at_tip = ledger >= stretch.latest
        if self.at_tip:
            self._see_tip(stretch.latest)
        else:
            self._tip.forget()
        if stretch.lost is not None:
            self._metrics.enter("gap")
        elif self.at_tip and is_behind:
            self._metrics.enter("node_behind")
            self._rpc.turn_away("it is behind what another node told")
        else:
            self._metrics.enter("tip" if self.at_tip else "catching_up")

    def _see_tip(self, latest: int) -> None:
        closed_at = self._history.times.of(latest)
        if closed_at is not None:
            self._tip.see(latest, closed_at, self._clock.monotonic_s())

    async def _prove_now_and_then(self, cursor: Cursor) -> Cursor:
        now_s = self._clock.monotonic_s()
        if not self.at_tip or now_s - self._proven_s < self._pace.proof_every_s:
            return cursor
        self._proven_s = now_s
        try:
            await self._history.prove(cursor)
        except AnotherHistory as error:
            return await self._begin_epoch(cursor, error)
        return cursor

    async def _begin_epoch(self, cursor: Cursor, reason: AnotherHistory) -> Cursor:
        """The network began anew: tell that its old history is over, in every partition, and follow the new
        one from the first ledger that the node has. Asked twice: the node must say it again."""
        health = await self._rpc.get_health()
        oldest, closed_s = health.oldest_ledger, health.oldest_ledger_close_time
        followed = self._history.times.floor(cursor.ledger)
        if not closed_s or not health.latest_ledger_close_time:
            raise Transient(reason.operation, reason.subject, f"{reason.cause}, and it tells no close times")
        if followed is not None and health.latest_ledger_close_time * SECOND <= followed[1]:
            self._rpc.turn_away("it was left behind in an older history")
            raise Transient(reason.operation, reason.subject, f"{reason.cause}, and it is an older history")
        log.error(
            "The network began anew",
            event_name="chain_epoch",
            reason=str(reason),
            followed_to=cursor.ledger,
            from_ledger=oldest,
        )
        start = Anchor(
            oldest - 1, (closed_s - 1) * SECOND
        )  # closes of neighbours are a second apart at least
        following = Cursor(cursors.end_of(start.ledger), start.ledger, cursor.epoch + 1, start)
        gap = epoch_record(self._network, cursor.wanted_ledger)
        mark = mark_record(self._network, start.ledger, start.closed_at, start.ledger, following.epoch)
        await self._sink.publish(Batch(self._network, gap, (), mark, cursors.to_json(following)))
        self._history.resume(following)
        self._metrics.epochs.inc()
        self._metrics.enter("gap")
        self._tip.forget()
        self._latest, self._place, self.at_tip = health.latest_ledger, following, False
        return following

    async def _batch(self, stretch: Stretch, following: Cursor, moves: Moves) -> Batch:
        named = name_entries(self._network, stretch.events, self._watches)
        if named.undecodable:
            self._metrics.undecodable.inc(named.undecodable)
        for failure in named.failures:
            self._metrics.decoder_failed(failure)
        self._tell_upgrades(stretch.events)
        records = named.records + await self._read_named(named.entries)
        if moves.read or moves.gone:
            records += await self._read_moved(moves, following.ledger)
        gap = None if stretch.lost is None else self._lose(stretch.lost)
        mark = None
        start = stretch.start.ledger
        if following.ledger > start:
            closed_at = self._lower_bound(following.ledger)
            mark = mark_record(self._network, following.ledger, closed_at, start, following.epoch)
        return Batch(self._network, gap, tuple(records), mark, cursors.to_json(following))

    def _lose(self, lost: Lost) -> bytes:
        self._metrics.lost(lost.last - lost.first + 1)
        log.error(
            "Ledgers left the node's retention before they were read",
            event_name="chain_gap",
            from_ledger=lost.first,
            to_ledger=lost.last,
        )
        return gap_record(self._network, lost.first, lost.last)

    def _tell_upgrades(self, events: Sequence[Event]) -> None:
        for upgrade in find_upgrades(events):
            self._metrics.upgrades.inc()
            log.warning("A contract got other code", event_name="contract_upgrade", **upgrade._asdict())

    async def _read_named(self, named: dict[tuple[str, str], dict[str, Event]]) -> list[Keyed]:
        """The entries that events named, of all contracts together, as few answers as there can be."""
        asked: list[tuple[Asked, Event | None]] = [
            (Asked(contract, decoder, key), event)
            for (contract, entry), by_key in named.items()
            for decoder in self._watches[contract].decoders
            if decoder.entry == entry
            for key, event in by_key.items()
        ]
        return await self._read_chunks(asked, 0)

    async def _read_moved(self, moves: Moves, ledger: int) -> list[Keyed]:
        """A key's contract is another one since this ledger, later than all that was told of the key before:
        the poller is at the tip, and the ledger is new."""
        closed_at = self._lower_bound(ledger)
        place = MovePlace(self._network, ledger, closed_at)
        records = [move_record(place, asked) for asked in (*moves.read, *moves.gone)]
        records += [gone_record(place, asked) for asked in moves.gone]
        for first in range(0, len(moves.read), CHUNK):
            chunk = moves.read[first : first + CHUNK]
            reads, read_at = await self._read_fresh(chunk, ledger)
            for asked, state in zip(chunk, reads.states, strict=True):
                at = ReadPlace(self._network, asked.contract, asked.decoder.entry, reads.read_ledger, read_at)
                records.append(entry_record(at, replace(state, modified_ledger=ledger), None, closed_at))
                self._metrics.entry_read(state, reads.read_ledger)
        return records

    async def _read_chunks(self, asked: Sequence[tuple[Asked, Event | None]], at_least: int) -> list[Keyed]:
        records: list[Keyed] = []
        for first in range(0, len(asked), CHUNK):
            records += await self._read_chunk(asked[first : first + CHUNK], at_least)
        return records

    async def _read_chunk(self, chunk: Sequence[tuple[Asked, Event | None]], at_least: int) -> list[Keyed]:
        at_least = max(at_least, *(event.ledger for _, event in chunk if event is not None), 0)
        reads, read_at = await self._read_fresh([asked for asked, _ in chunk], at_least)
        records: list[Keyed] = []
        for (asked, event), state in zip(chunk, reads.states, strict=True):
            place = ReadPlace(self._network, asked.contract, asked.decoder.entry, reads.read_ledger, read_at)
            modified = state.modified_ledger if state.exists or event is None else event.ledger
            modified_at = None if modified is None else self._history.times.of(modified)
            records.append(entry_record(place, state, event, modified_at))
            self._metrics.entry_read(state, reads.read_ledger)
        return records

    async def _read_fresh(self, asked: Sequence[Asked], at_least: int) -> tuple[EntryReads, int]:
        """A read at or after `at_least`, and a moment at which what it says held: the close of its ledger, or
        of an earlier one that is not before the last change."""
        for _ in range(_STALE_RETRIES):
            reads = await read_entries(self._rpc, asked)
            if reads.read_ledger < at_least:
                break
            for _ in range(_TIMES_ASKED):
                if self._history.times.of(reads.read_ledger) is None:
                    await self._health()
            known = self._history.times.floor(reads.read_ledger)
            changed = max([at_least, *(state.modified_ledger or 0 for state in reads.states)])
            if known is not None and known[0] >= changed:
                return reads, known[1]
        cause = (
            f"the state is of ledger {reads.read_ledger}, needed: {at_least} or later, its close time known"
        )
        subject = self._rpc.subject
        self._rpc.turn_away("its state is stale")
        raise Transient("reading entries of", subject, cause)

    async def _health(self) -> Health:
        health = await self._rpc.get_health()
        try:
            self._history.take_health(health)
        except AnotherHistory as error:
            raise Transient(error.operation, error.subject, error.cause) from error  # the next page tells
        return health

    def _lower_bound(self, ledger: int) -> int:
        known = self._history.times.floor(ledger)
        if known is None:
            hint = "stellar-rpc 23 or newer is needed"
            raise Fatal("reading events of", self._rpc.subject, "the node tells no close times", hint)
        return known[1]

    def _show_lag(self, scanned: int) -> None:
        known = self._history.times.floor(scanned)
        if known is not None:
            self._metrics.lag.set(max(0.0, (self._clock.now_us() - known[1]) / SECOND))

    def _back_off(self, failures: int, named_s: float | None) -> float:
        """The time that the node named, or a doubling one; jitter keeps many pollers from asking at once."""
        jitter = 0.5 + secrets.randbelow(500) / 1000
        doubled = min(self._pace.back_off_max_s, self._pace.back_off_s * 2.0 ** min(failures, 20)) * jitter
        return doubled if named_s is None else max(doubled, min(named_s, _RETRY_AFTER_MAX_S))


def _topics_of(scope: Scope) -> set[str] | None:
    """The first topics that the watched contracts' events begin with; None where a decoder names none."""
    found: set[str] = set()
    mapped = [rule.decoder for rule in scope.mapped]
    for decoder in (*mapped, *(decoder for watch in scope.watches for decoder in watch.decoders)):
        topics = getattr(decoder, "topics", None)
        if topics is None:
            return None
        found.update(topics)
    return found

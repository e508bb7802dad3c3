"""Seeds rules: reads both sides once, completely, and tells the detector what was there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from app.clock import Clock
from app.detector.model import UNKNOWN, EntryAsOf, RowAsOf, Rule, Seeded, Side
from app.errors import DriftwatchError, Transient
from app.readings import EntryPage, KeyPage, Place, RowPage
from app.rules import LoadedRule
from app.sweep.met import MetKeys
from app.sweep.pacing import Backlog, Judged, Pace, PaceOptions
from app.sweep.patience import Patience
from app.sweep.run import SeedRun
from app.telemetry import get_logger

log = get_logger(__name__)

MOST_WAITING: Final = 1_500
"""Reads of a partition that no worker has taken in yet: fewer than beside a sweep, since those of a seed make
states and cost the workers more."""
_FOLLOWED_WITHIN_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.2
_TELL_EVERY_S: Final = 2.0
_LOG_EVERY_S: Final = 10.0
_ENTRIES_A_PAGE: Final = 200


class RowSource(Protocol):
    """Reads rows as of a snapshot. `read_page` repeats harmlessly from the same place."""

    async def has_slot(self) -> bool: ...
    async def read_page(self, loaded: LoadedRule, after: Place | None, size: int) -> RowPage: ...


class EntrySource(Protocol):
    """Reads entries as of a ledger. `list_page`: keys from a number on, None where the contract cannot list
    its keys."""

    async def list_page(self, loaded: LoadedRule, first: int) -> KeyPage | None: ...
    async def read(self, loaded: LoadedRule, keys: Sequence[str], at_least: int) -> EntryPage: ...


class SeedLog(Protocol):
    """Where a seed is told; what was told is durable when a call returns, and stands in that order in each
    partition."""

    async def publish(self, rule: Rule, reads: Sequence[RowAsOf | EntryAsOf], run: str) -> None: ...
    async def finish_side(self, seeded: Seeded, run: str) -> None: ...
    async def tell_run(self, run: Mapping[str, object]) -> None: ...
    async def find_runs(self, rule: str) -> Sequence[Mapping[str, Any]]: ...
    async def followed_ledger(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class SeedOptions:
    """`page_size` rows a snapshot; `rate`: most rows or entries a second, None without a limit."""

    page_size: int = 1000
    rate: float | None = None
    patience_s: float = 120.0
    followed_within_s: float = _FOLLOWED_WITHIN_S


@dataclass(frozen=True, slots=True)
class Sources:
    """What a seed reads from, tells to, and gives way to. `judged`: how far the rules are judged whose alarms
    must not become late by it (`RunningRules`)."""

    rows: RowSource
    entries: EntrySource
    log: SeedLog
    judged: Judged
    backlog: Backlog


@dataclass(slots=True)
class _Reading:
    """What a seed has met. `at_least`: the ledger from which entries are read; `left`, `right`: when each
    page was read, empty where the side cannot be read completely."""

    at_least: int
    met: MetKeys = field(default_factory=MetKeys)
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)


class Seeder:
    """Seeds one rule after the other. A crash in the middle and another seed are harmless: as-of reads move
    no position, and the end of a side is told only once all of it is durable.

    Nothing between the read and the stream may be lost, therefore:
    1. the replication slot exists before the first row is read
    2. the poller's cursor exists before the first entry is read, and entries are read at its ledger or later

    Where rules run already it stands still between two pages while the workers are behind (`Pace`). What it
    tells costs them least where a key's row and entry come one soon after the other, and both ends after all:
    a key of which one side is known is judged as it is, and again at the end of a side.
    """

    def __init__(self, sources: Sources, clock: Clock, options: SeedOptions = SeedOptions()) -> None:
        self._rows, self._entries, self._log = sources.rows, sources.entries, sources.log
        self._clock, self._options = clock, options
        self._patiently = Patience(clock, options.patience_s)
        pace = PaceOptions(options.rate, MOST_WAITING)
        self._pace = Pace(sources.judged, sources.backlog, clock, pace)
        self._told_s = self._logged_s = 0.0

    async def is_seeded(self, loaded: LoadedRule) -> bool:
        """Has a seed of this very rule been completed?"""
        runs = await self._patiently(lambda: self._log.find_runs(loaded.rule.id))
        return any(
            run.get("kind") == "seed" and run.get("state") == "done" and run.get("digest") == loaded.digest
            for run in runs
        )

    async def seed(self, loaded: LoadedRule) -> SeedRun:
        """Read both sides and tell them; the finished run. Raises the error that ended it."""
        run = SeedRun(loaded, self._clock.now_us())
        self._told_s = self._logged_s = self._clock.monotonic_s()
        await self._tell(run, "running")
        try:
            await self._until(self._rows.has_slot, "the replication slot", "is `driftwatch connect` running?")
            ledger = await self._until(
                self._log.followed_ledger, "the poller's cursor", "is `driftwatch poller` running?"
            )
            await self._pace.look_first(loaded.rule.id)
            self._pace.begin(run.stand_still)
            reading = _Reading(ledger)
            await self._read_rows(run, reading)
            await self._read_listed(run, reading)
            await self._finish_side(run, Side.LEFT, reading.left)
            await self._finish_side(run, Side.RIGHT, reading.right)
        except DriftwatchError as error:
            await self._log.tell_run(run.record("failed", self._clock.now_us(), str(error)))
            raise
        await self._tell(run, "done")
        log.info("Seeded the rule", event_name="seed_done", **self._counts(run))
        return run

    async def _read_rows(self, run: SeedRun, reading: _Reading) -> None:
        """All rows, each page with the entries of its keys."""
        after: Place | None = None
        while True:
            began = self._clock.monotonic_s()
            page = await self._next_page(run.loaded, after)
            reading.left.append(page.read_at)
            run.errors += page.unreadable
            run.read[Side.LEFT] += page.unreadable
            await self._publish(run, Side.LEFT, page.rows, began)
            await self._tell_entries(run, reading, [row.key for row in page.rows])
            after = page.after
            if after is None:
                return

    async def _next_page(self, loaded: LoadedRule, after: Place | None) -> RowPage:
        return await self._patiently(lambda: self._rows.read_page(loaded, after, self._options.page_size))

    async def _read_listed(self, run: SeedRun, reading: _Reading) -> None:
        """The entries that the contract lists and no row has."""
        first: int | None = 0
        while first is not None:
            page = await self._list_page(run.loaded, first)
            if page is None:
                reading.right.clear()
                log.warning(
                    "The contract cannot list its keys: entries that no row and no event names stay unknown",
                    event_name="seed_partial",
                    rule=run.loaded.rule.id,
                )
                return
            await self._tell_entries(run, reading, page.keys)
            first = page.following
        if not reading.right:
            reading.right.append((await self._read_entries(run.loaded, [], reading.at_least)).read_at)

    async def _list_page(self, loaded: LoadedRule, first: int) -> KeyPage | None:
        return await self._patiently(lambda: self._entries.list_page(loaded, first))

    async def _tell_entries(self, run: SeedRun, reading: _Reading, keys: Sequence[str]) -> None:
        """The entries of those keys that were not met before."""
        new = [key for key in keys if reading.met.add(key)]
        for first in range(0, len(new), _ENTRIES_A_PAGE):
            began = self._clock.monotonic_s()
            some = new[first : first + _ENTRIES_A_PAGE]
            page = await self._read_entries(run.loaded, some, reading.at_least)
            reading.right.append(page.read_at)
            await self._publish(run, Side.RIGHT, page.entries, began)

    async def _read_entries(self, loaded: LoadedRule, keys: Sequence[str], at_least: int) -> EntryPage:
        return await self._patiently(lambda: self._entries.read(loaded, keys, at_least))

    async def _publish(
        self, run: SeedRun, side: Side, reads: Sequence[RowAsOf | EntryAsOf], began_s: float
    ) -> None:
        await self._patiently(lambda: self._log.publish(run.loaded.rule, reads, run.id))
        unknown = sum(read.value == UNKNOWN for read in reads)
        run.unverifiable += unknown
        run.in_flight += len(reads) - unknown
        run.read[side] += len(reads)
        await self._show(run)
        await self._patiently(lambda: self._pace.rest(run.loaded.rule.id, began_s, len(reads)))

    async def _finish_side(self, run: SeedRun, side: Side, read_at: Sequence[int]) -> None:
        """Since the first page, what was never heard of is absent; by the last one all has been heard of.
        Without pages nobody can say so."""
        if not read_at:
            return
        rule = run.loaded.rule
        seeded = Seeded(rule.id, side, min(read_at), max(read_at), rule.version)
        await self._patiently(lambda: self._log.finish_side(seeded, run.id))
        await self._tell(run, "running")

    async def _until(self, look: Callable[[], Awaitable[Any]], what: str, hint: str) -> Any:
        """What `look` finds once it finds something; raises `Transient` when that takes too long."""
        limit_s = self._options.followed_within_s
        deadline = self._clock.monotonic_s() + limit_s
        is_told = False
        while True:
            found = await self._patiently(look)
            if found is not None and found is not False:
                return found
            if self._clock.monotonic_s() > deadline:
                raise Transient("waiting for", what, f"not there after {limit_s:g} s", hint)
            if not is_told:
                is_told = True
                log.info("Waits for a part to begin", event_name="seed_waits", missing=what)
            await self._clock.sleep(_LOOK_EVERY_S)

    async def _show(self, run: SeedRun) -> None:
        now = self._clock.monotonic_s()
        if now - self._told_s > _TELL_EVERY_S:
            self._told_s = now
            await self._tell(run, "running")
        if now - self._logged_s > _LOG_EVERY_S:
            self._logged_s = now
            log.info("Seeds the rule", event_name="seed_progress", **self._counts(run))

    async def _tell(self, run: SeedRun, state: str) -> None:
        finished = self._clock.now_us() if state == "done" else None
        await self._patiently(lambda: self._log.tell_run(run.record(state, finished)))

    def _counts(self, run: SeedRun) -> dict[str, object]:
        return {
            "rule": run.loaded.rule.id,
            "rows": run.read[Side.LEFT],
            "entries": run.read[Side.RIGHT],
            "unverifiable": run.unverifiable,
            "errors": run.errors,
            "stood_still_s": round(run.stood_still_s, 1),
        }

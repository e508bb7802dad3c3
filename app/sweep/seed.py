"""Seeds rules: reads both sides once, completely, and tells the detector what was there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol

from app.clock import Clock
from app.detector.model import UNKNOWN, EntryAsOf, RowAsOf, Rule, Seeded, Side
from app.errors import DriftwatchError, Transient
from app.readings import EntryPage, Place, RowPage
from app.rules import LoadedRule
from app.sweep.patience import Patience
from app.sweep.run import SeedRun
from app.telemetry import get_logger

log = get_logger(__name__)

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
    """Reads entries as of a ledger. `list_keys` is None where the contract cannot list its keys."""

    async def list_keys(self, loaded: LoadedRule) -> Sequence[str] | None: ...
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
    """What a seed reads from and tells to."""

    rows: RowSource
    entries: EntrySource
    log: SeedLog


class Seeder:
    """Seeds one rule after the other. A crash in the middle and another seed are harmless: as-of reads move
    no position, and the end of a side is told only once all of it is durable.

    Nothing between the read and the stream may be lost, therefore:
    1. the replication slot exists before the first row is read
    2. the poller's cursor exists before the first entry is read, and entries are read at its ledger or later
    """

    def __init__(self, sources: Sources, clock: Clock, options: SeedOptions = SeedOptions()) -> None:
        self._rows, self._entries, self._log = sources.rows, sources.entries, sources.log
        self._clock, self._options = clock, options
        self._patiently = Patience(clock, options.patience_s)
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
            keys = await self._seed_left(run)
            ledger = await self._until(
                self._log.followed_ledger, "the poller's cursor", "is `driftwatch poller` running?"
            )
            await self._seed_right(run, keys, ledger)
        except DriftwatchError as error:
            await self._log.tell_run(run.record("failed", self._clock.now_us(), str(error)))
            raise
        await self._tell(run, "done")
        log.info("Seeded the rule", event_name="seed_done", **self._counts(run))
        return run

    async def _seed_left(self, run: SeedRun) -> set[str]:
        """All rows; the keys that they have."""
        keys: set[str] = set()
        after: Place | None = None
        read_at: list[int] = []
        while True:
            began = self._clock.monotonic_s()
            page = await self._next_page(run.loaded, after)
            read_at.append(page.read_at)
            keys.update(row.key for row in page.rows)
            run.errors += page.unreadable
            run.read[Side.LEFT] += page.unreadable
            await self._publish(run, Side.LEFT, page.rows, began)
            after = page.after
            if after is None:
                break
        await self._finish_side(run, Side.LEFT, read_at)
        return keys

    async def _next_page(self, loaded: LoadedRule, after: Place | None) -> RowPage:
        return await self._patiently(lambda: self._rows.read_page(loaded, after, self._options.page_size))

    async def _seed_right(self, run: SeedRun, known: set[str], at_least: int) -> None:
        """The entries that the contract lists, then those of the other keys that the left side has."""
        listed = await self._patiently(lambda: self._entries.list_keys(run.loaded))
        left = iter((*(listed or ()), *sorted(known.difference(listed or ()))))
        read_at: list[int] = []
        while keys := list(islice(left, _ENTRIES_A_PAGE)):
            began = self._clock.monotonic_s()
            page = await self._read_entries(run.loaded, keys, at_least)
            read_at.append(page.read_at)
            await self._publish(run, Side.RIGHT, page.entries, began)
        if listed is None:
            log.warning(
                "The contract cannot list its keys: entries that no row and no event names stay unknown",
                event_name="seed_partial",
                rule=run.loaded.rule.id,
            )
            return
        if not read_at:
            read_at.append((await self._read_entries(run.loaded, [], at_least)).read_at)
        await self._finish_side(run, Side.RIGHT, read_at)

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
        if self._options.rate is not None:
            spent = self._clock.monotonic_s() - began_s
            await self._clock.sleep(max(0.0, len(reads) / self._options.rate - spent))

    async def _finish_side(self, run: SeedRun, side: Side, read_at: Sequence[int]) -> None:
        """Since the first page, what was never heard of is absent; by the last one all has been heard of."""
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
        }

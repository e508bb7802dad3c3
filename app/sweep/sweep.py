"""Sweeps a rule: reads both sides completely again and tells the detector, which alone judges."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Protocol

from app.clock import Clock
from app.detector.model import SECOND, EntryAsOf, RowAsOf, Rule, Seeded, Side
from app.rules import LoadedRule
from app.sweep.metrics import SweepMetrics
from app.sweep.pacing import Backlog, Judged, Pace, PaceOptions
from app.sweep.patience import Patience
from app.sweep.reading import BothSides, EntrySource, Reading, RowSource
from app.sweep.sides import Look, Sides, pair_up
from app.sweep.sweep_run import Phase, State, SweepRun
from app.telemetry import get_logger

log = get_logger(__name__)

_TELL_EVERY_S: Final = 2.0
_LEDGER_EVERY_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.25


class SweepLog(Protocol):
    """Where a sweep is told; what was told is durable when a call returns, and stands in that order in each
    partition."""

    async def publish(self, rule: Rule, reads: Sequence[RowAsOf | EntryAsOf], run: str) -> None: ...
    async def finish_side(self, seeded: Seeded, run: str) -> None: ...
    async def tell_run(self, run: Mapping[str, object]) -> None: ...
    async def followed_ledger(self) -> int | None: ...
    async def open_episodes(self, rule: str) -> Mapping[str, Mapping[str, Any]]: ...


class Verdicts(Judged, Protocol):
    """What the workers have told. Times in µs."""

    def count_repaired(self, rule: str, since: int, through: int) -> int: ...


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """`page_size` rows a snapshot; `rate`: most keys a second, None without a limit; `settle_s`: how long the
    detector may take beyond the window to judge what was read, before the run ends without its word."""

    page_size: int = 1000
    rate: float | None = None
    patience_s: float = 120.0
    settle_s: float = 60.0


@dataclass(frozen=True, slots=True)
class SweepSources:
    """What a sweep reads from, tells to, and is told by."""

    rows: RowSource
    entries: EntrySource
    log: SweepLog
    verdicts: Verdicts
    backlog: Backlog


class Sweeper:
    """Sweeps one rule at a time. A sweep never alarms: its reads correct the histories.

    1. each page of rows, as one snapshot saw it, with the entries of its keys, is published, acknowledged
    2. only then does the run's record say that it is behind that page: a kill repeats pages, and reads as of
       a snapshot may be repeated
    3. after the last page the end of the side is told: what was not met is absent, and a loss before the
       first page has ended
    4. the keys that no row had are read by themselves on both sides: those that the contract lists, and those
       of open episodes (a deletion that was lost is found so); open ones that a row had are read whole, too
    5. when the detector has judged the time of the last read, and the window after it, what differed is told
       apart: open episodes are drifting, the rest agreed within the window
    """

    def __init__(
        self, sources: SweepSources, clock: Clock, options: SweepOptions, metrics: SweepMetrics
    ) -> None:
        self._sources, self._clock, self._options = sources, clock, options
        self.metrics = metrics
        self._patiently = Patience(clock, options.patience_s)
        self._pace = Pace(sources.verdicts, sources.backlog, clock, PaceOptions(options.rate))
        self._told_s = self._ledger_s = 0.0

    async def sweep(self, loaded: LoadedRule, run: SweepRun, gate: asyncio.Event) -> Mapping[str, Any]:
        """Sweep until the detector has judged what was read; the open episodes of keys that drift. `gate`:
        cleared while a person wants a pause.

        Raises `Transient` for trouble that lasts longer than `patience_s`, and `Fatal`; the run may be taken
        up again afterwards.
        """
        run.begin(loaded, self._clock.now_us())
        self._pace.begin(self.metrics.gave_way.labels(run.rule).inc)
        await self._tell(run)
        both = BothSides(
            (self._sources.rows, self._sources.entries), loaded, self._patiently, await self._find_ledger()
        )
        if run.phase is Phase.OTHERS or (run.phase is Phase.ROWS and run.after is not None):
            await both.pass_by(self._options.page_size, run.after)
        if run.phase is Phase.ROWS:
            await self._sweep_rows(both, loaded, run, gate)
        if run.phase is Phase.OTHERS:
            await self._sweep_others(both, loaded, run, gate)
        return await self._settle(loaded, run)

    async def _sweep_rows(
        self, both: BothSides, loaded: LoadedRule, run: SweepRun, gate: asyncio.Event
    ) -> None:
        async with aclosing(both.pages(self._options.page_size, run.after)) as pages:
            async for reading in pages:
                began = self._clock.monotonic_s()
                await self._take(loaded, run, reading)
                run.after = reading.rows.after
                await self._rest(both, run, gate, (began, len(reading.entry_reads)))
        run.phase = Phase.OTHERS
        await self._finish_side(run, Side.LEFT)

    async def _sweep_others(
        self, both: BothSides, loaded: LoadedRule, run: SweepRun, gate: asyncio.Event
    ) -> None:
        """What no row had. A restart repeats this part, so the record counts it only once it is done."""
        open_keys = await self._patiently(lambda: self._sources.log.open_episodes(run.rule))
        counted = run.copy()
        async with aclosing(both.others(sorted(open_keys))) as others:
            async for reading in others:
                began = self._clock.monotonic_s()
                await self._take(loaded, counted, reading)
                await self._rest(both, run, gate, (began, len(reading.entry_reads)))
        run.adopt(counted)
        async with aclosing(both.again(sorted(open_keys))) as whole:
            async for reading in whole:
                await self._publish(loaded, run, reading)
        if run.spans[Side.RIGHT].since is None:
            run.spans[Side.RIGHT].add((await both.read_nothing()).read_at, 0)
        if both.cannot_list:
            log.warning(
                "The contract cannot list its keys: entries that no row and no event names were not read",
                event_name="sweep_partial",
                rule=run.rule,
            )
        run.phase = Phase.JUDGING
        await self._finish_side(run, Side.RIGHT, is_complete=not both.cannot_list)

    async def _take(self, loaded: LoadedRule, run: SweepRun, reading: Reading) -> None:
        """Publish what was read, then count it."""
        await self._publish(loaded, run, reading)
        entries = reading.entry_reads
        sides, refused = Sides(loaded.rule), reading.refused
        for key in reading.again:
            run.count_again(key)
        for pair in pair_up(reading.rows.rows, entries, loaded.rule.joined):
            look = sides.look(pair)[0]
            if look is Look.DIFFERING and pair.key in refused:
                run.errors += 1
            else:
                run.count(pair.key, look)
        run.errors += reading.rows.unreadable
        run.spans[Side.LEFT].add(reading.rows.read_at, len(reading.rows.rows))
        for page in reading.entries:
            run.spans[Side.RIGHT].add(page.read_at, len(page.entries))
        self.metrics.count(run.rule, len(reading.rows.rows), len(entries))

    async def _publish(self, loaded: LoadedRule, run: SweepRun, reading: Reading) -> None:
        reads: list[RowAsOf | EntryAsOf] = [*reading.rows.rows, *reading.entry_reads]
        await self._patiently(lambda: self._sources.log.publish(loaded.rule, reads, run.id))

    async def _rest(
        self, both: BothSides, run: SweepRun, gate: asyncio.Event, page: tuple[float, int]
    ) -> None:
        """Between two pages: tell how far it is, keep to the rate, and stand still where a person says so.
        `page`: since when (monotonic seconds), and how many keys it had."""
        now = self._clock.monotonic_s()
        if now - self._ledger_s > _LEDGER_EVERY_S:
            both.at_least = await self._find_ledger()
        if now - self._told_s > _TELL_EVERY_S:
            await self._tell(run)
        began_s, keys = page
        await self._patiently(lambda: self._pace.rest(run.rule, began_s, keys))
        if not gate.is_set():
            run.state = State.PAUSED
            await self._tell(run)
            await gate.wait()
            run.state = State.RUNNING
            await self._tell(run)

    def look_around(self, rule: str) -> None:
        """Called about once a second while nothing is swept (`Pace.look_around`)."""
        self._pace.look_around(rule)

    async def _find_ledger(self) -> int:
        """Entries are read at the poller's ledger or later; where nobody has polled yet, at any."""
        self._ledger_s = self._clock.monotonic_s()
        return await self._patiently(self._sources.log.followed_ledger) or 0

    async def _finish_side(self, run: SweepRun, side: Side, *, is_complete: bool = True) -> None:
        """What was not met is absent; the record says what comes next."""
        seeded = run.seeded(side)
        if seeded is not None and is_complete:
            await self._patiently(lambda: self._sources.log.finish_side(seeded, run.id))
        await self._tell(run)

    # ---- what became of it

    async def _settle(self, loaded: LoadedRule, run: SweepRun) -> Mapping[str, Any]:
        """Wait until all that was read is judged, and tell apart what differed."""
        spans = run.spans.values()
        since = min((span.since for span in spans if span.since is not None), default=0)
        through = max((span.through for span in spans if span.through is not None), default=0)
        window = loaded.rule.window
        wanted = through + window.lag_us + window.skew_us + window.min_us
        behind_s = (window.lag_us + window.lead_us + 2 * window.skew_us + window.min_us) / SECOND
        deadline = self._clock.monotonic_s() + behind_s + self._options.settle_s
        verdicts = self._sources.verdicts
        while (verified := verdicts.verified_through(run.rule)) is None or verified < wanted:
            if self._clock.monotonic_s() > deadline:
                run.why = "the workers have not judged the time of the reads yet"
                log.warning("Nobody judged what was read", event_name="sweep_unsettled", rule=run.rule)
                break
            await self._clock.sleep(_LOOK_EVERY_S)
        found = await self._patiently(lambda: self._sources.log.open_episodes(run.rule))
        run.settle(found, verdicts.count_repaired(run.rule, since, through))
        return {key: value for key, value in found.items() if key in run.suspects}

    async def _tell(self, run: SweepRun) -> None:
        self._told_s = self._clock.monotonic_s()
        await self._patiently(lambda: self._sources.log.tell_run(run.record()))
        self.metrics.show(run)

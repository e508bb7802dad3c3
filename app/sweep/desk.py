"""One rule's sweeps: what is asked for, what the clock asks for, what was begun; one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from app.clock import Clock
from app.detector.episode import RANK
from app.detector.model import SECOND, Severity, Side
from app.detector.values import format_time
from app.errors import DriftwatchError, Transient
from app.rules import LoadedRule
from app.rules.canonical import microseconds
from app.sweep.metrics import SweepMetrics
from app.sweep.patience import Patience
from app.sweep.schedule import Schedule
from app.sweep.sweep import Sweeper
from app.sweep.sweep_run import OVER, State, SweepRun, read_run
from app.telemetry import get_logger

log = get_logger(__name__)

PERSON: Final = "person"
RETRY: Final = "retry"
"""The cause of a run that reads everything again, since the one before it failed."""
SEED_COVERS: Final = "connect_start"
"""The cause of a request that the first seed of a rule answers as well."""
_LOOK_EVERY_S: Final = 1.0


class RunLog(Protocol):
    """Where runs are kept."""

    async def tell_run(self, run: Mapping[str, object]) -> None: ...
    async def forget_run(self, rule: str, run: str) -> None: ...
    async def bury_run(self, run: Mapping[str, object], mismatches: Sequence[Mapping[str, Any]]) -> None: ...
    async def tell_incident(self, incident: Mapping[str, object]) -> None: ...


class RunView(Protocol):
    """What is told of runs and incidents."""

    def runs(self, rule: str) -> list[Mapping[str, Any]]: ...
    def open_incidents(self, rule: str) -> list[Mapping[str, Any]]: ...


class Asked(Protocol):
    """A request; `connectors.kafka.requests.SweepRequest` is one."""

    @property
    def run(self) -> str: ...
    @property
    def cause(self) -> str: ...
    @property
    def action(self) -> str: ...


@dataclass(frozen=True, slots=True)
class DeskOptions:
    """`gather_s`: how long a run waits for more requests of the same kind (a loss is told by each partition);
    `rest_s`: the same for changes that were found missing one by one. `back_off_s`: pauses before a failed
    run is tried again; after the last one it is given up. `source`: the name of the left sides' database."""

    gather_s: float = 2.0
    rest_s: float = 30.0
    back_off_s: tuple[float, ...] = (10.0, 60.0)
    kept_runs: int = 50
    immediately: bool = False
    waits_for_seed: bool = True
    source: str = "db"


@dataclass(frozen=True, slots=True)
class DeskParts:
    """What a desk works with."""

    sweeper: Sweeper
    log: RunLog
    view: RunView
    clock: Clock
    metrics: SweepMetrics


class Desk:
    """`ask` returns once the request is durable; `work` sweeps until it is cancelled.

    A request while one waits is one with it, or takes the place of one that only tries again; a request while
    one runs waits for its end: what it is about may have come after a page that was read.
    """

    def __init__(
        self, loaded: LoadedRule, parts: DeskParts, schedule: Schedule, options: DeskOptions
    ) -> None:
        self.loaded, self._schedule, self._options = loaded, schedule, options
        self._sweeper, self._log, self._view = parts.sweeper, parts.log, parts.view
        self._clock, self._metrics = parts.clock, parts.metrics
        self._patiently = Patience(parts.clock)
        self._gate, self._woken = asyncio.Event(), asyncio.Event()
        self._gate.set()
        self._waiting: SweepRun | None = None
        self._not_before_s = 0.0
        self._has_run = False
        self._started_at = parts.clock.now_us()

    # ---- requests

    async def ask(self, asked: Asked) -> None:
        """Take a request in."""
        if asked.action == "pause":
            self._gate.clear()
        elif asked.action == "resume":
            self._gate.set()
        elif asked.cause == SEED_COVERS and self._options.waits_for_seed and not self._is_seeded():
            log.info("The seed reads everything", event_name="sweep_covered", rule=self.loaded.rule.id)
        else:
            await self._ask_for(asked.cause, asked.run)
        self._woken.set()

    def _is_seeded(self) -> bool:
        runs = self._view.runs(self.loaded.rule.id)
        return any(run["kind"] == "seed" and run["state"] == State.DONE for run in runs)

    async def _ask_for(self, cause: str, run_id: str | None = None) -> None:
        rule, now = self.loaded.rule.id, self._clock.now_us()
        if run_id is not None and any(run["run"] == run_id for run in self._view.runs(rule)):
            return
        run = SweepRun.asked(rule, cause, now, run_id)
        waiting = self._waiting
        if waiting is not None and waiting.cause != RETRY:
            if cause == PERSON:
                self._not_before_s = 0.0
                await self._merge(run, waiting)
            return
        self._waiting = run
        self._not_before_s = self._clock.monotonic_s() + self._gather_s(cause)
        if waiting is not None:
            await self._merge(waiting, run)
        await self._tell(run)
        log.info("A sweep was asked for", event_name="sweep_asked", rule=rule, cause=cause, run=run.id)

    async def _merge(self, run: SweepRun, into: SweepRun) -> None:
        run.state, run.into = State.MERGED, into.id
        await self._tell(run, self._clock.now_us())

    def _gather_s(self, cause: str) -> float:
        """Changes that got lost one by one are many requests; the side that lost them is swept in between."""
        if cause == PERSON:
            return 0.0
        return self._options.rest_s if cause == "continuity" else self._options.gather_s

    # ---- work

    async def work(self) -> None:
        """Sweep what was begun, what waits, and what the clock asks for, until cancelled."""
        begun = await self._take_up()
        if begun is not None:
            await self._perform(begun)
        elif self._options.immediately and self._waiting is None:
            await self._ask_for("start")
        while True:
            await self._perform(await self._next())

    async def _take_up(self) -> SweepRun | None:
        """The run that was in work when a sweeper ended; one that waited waits again."""
        found: list[SweepRun] = []
        for record in self._view.runs(self.loaded.rule.id):
            if record["kind"] == "sweep" and record["state"] not in OVER:
                with suppress(KeyError, TypeError, ValueError):
                    found.append(read_run(record))
        begun = [run for run in found if run.started_at is not None]
        waiting = [run for run in found if run.started_at is None]
        if waiting and self._waiting is None:
            self._waiting = waiting.pop(0)
        for run in (*begun[1:], *waiting):
            await self._merge(run, (begun or found)[0])
        if begun and begun[0].state is State.PAUSED:
            self._gate.clear()
        return begun[0] if begun else None

    async def _next(self) -> SweepRun:
        """The next run once its time has come."""
        while True:
            self._woken.clear()
            if self._waiting is None and self._is_due():
                await self._ask_for("schedule")
                self._not_before_s = 0.0
            if self._waiting is not None and self._clock.monotonic_s() >= self._not_before_s:
                run, self._waiting = self._waiting, None
                return run
            self._sweeper.look_around(self.loaded.rule.id)
            await self._doze()

    async def _doze(self) -> None:
        """A moment, or until somebody asks."""
        tasks = [
            asyncio.ensure_future(self._woken.wait()),
            asyncio.ensure_future(self._clock.sleep(_LOOK_EVERY_S)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    def _is_due(self) -> bool:
        starts = [
            microseconds(run["started_at"]) or 0
            for run in self._view.runs(self.loaded.rule.id)
            if run["kind"] == "sweep" and run["state"] != State.MERGED
        ]
        # a run of just now may not be in the view yet
        last = max(starts, default=self._started_at) if not self._has_run else max(*starts, self._started_at)
        due = self._schedule.next_after(last)
        return due is not None and due <= self._clock.now_us()

    async def _perform(self, run: SweepRun) -> None:
        incidents = self._view.open_incidents(run.rule)
        self._has_run, self._started_at = True, self._clock.now_us()
        try:
            drifting = await self._sweeper.sweep(self.loaded, run, self._gate)
        except DriftwatchError as error:
            await self._fail(run, str(error), (), is_passing=isinstance(error, Transient))
            return
        except Exception as error:
            log.exception("A sweep broke off", event_name="sweep_broke_off", rule=run.rule, run=run.id)
            await self._fail(run, f"{type(error).__name__}: {error}", (), is_passing=False)
            return
        if run.why is not None:
            await self._finish(run, State.DONE)
            return
        await self._close(incidents, run)
        severe = self._severe(drifting)
        if severe:
            why = f"{len(severe)} keys drift with severity {self.loaded.settings.fail_run_on} or above"
            await self._fail(run, why, severe, is_passing=False)
            return
        await self._finish(run, State.DONE)

    def _severe(self, drifting: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        least = self.loaded.settings.fail_run_on
        if least is None:
            return []
        rank = RANK[Severity(least).value]
        return [value for value in drifting.values() if RANK[value["severity"]] >= rank]

    async def _close(self, incidents: Sequence[Mapping[str, Any]], run: SweepRun) -> None:
        """What was lost before the run's first page is known again, and judged: its incidents end."""
        for incident in incidents:
            if incident["cause"] in _OTHER_ENDS or incident["until"] is None:
                continue
            is_left = incident["source"] == (self.loaded.left.source or self._options.source)
            span = run.spans[Side.LEFT if is_left else Side.RIGHT]
            if span.since is None or span.through is None:
                continue
            if (microseconds(incident["until"]) or 0) <= span.since:
                closed = {**incident, "until": format_time(span.through), "state": "closed"}
                await self._patiently(lambda closed=closed: self._log.tell_incident(closed))  # type: ignore[misc]

    async def _fail(
        self, run: SweepRun, why: str, mismatches: Sequence[Mapping[str, Any]], *, is_passing: bool
    ) -> None:
        """Try again later: from its page where trouble may have passed, else from the beginning; give up
        after the last back-off."""
        run.why = why
        pauses = self._options.back_off_s
        is_last = run.attempt > len(pauses)
        log.warning(
            "A sweep failed", event_name="sweep_failed", rule=run.rule, attempt=run.attempt, reason=why
        )
        if is_passing and not is_last:
            pause_s = pauses[run.attempt - 1]
            run.attempt += 1
            run.state = State.WAITING
            await self._tell(run)
            await self._clock.sleep(pause_s)
            await self._perform(run)
            return
        await self._finish(run, State.FAILED)
        if is_last:
            await self._patiently(lambda: self._log.bury_run(run.record(self._clock.now_us()), mismatches))
        elif self._waiting is None:
            again = SweepRun.asked(run.rule, RETRY, self._clock.now_us())
            again.attempt = run.attempt + 1
            self._waiting = again
            self._not_before_s = self._clock.monotonic_s() + pauses[run.attempt - 1]
            await self._tell(again)

    async def _finish(self, run: SweepRun, state: State) -> None:
        run.state = state
        record = run.record(self._clock.now_us())
        await self._tell(run, self._clock.now_us())
        self._metrics.finish(run)
        parts = (
            "checked",
            "in_sync",
            "drifting",
            "in_flight",
            "exempt",
            "unverifiable",
            "repaired",
            "errors",
        )
        shown = {name: record[name] for name in parts}
        seconds = (self._clock.now_us() - (run.started_at or 0)) / SECOND
        log.info(
            "Swept the rule", event_name=f"sweep_{state}", rule=run.rule, seconds=round(seconds, 1), **shown
        )
        sweeps = [one for one in self._view.runs(run.rule) if one["kind"] == "sweep" and one["state"] in OVER]
        for old in sweeps[: -self._options.kept_runs]:
            await self._patiently(lambda old=old: self._log.forget_run(run.rule, old["run"]))  # type: ignore[misc]

    async def _tell(self, run: SweepRun, finished_at: int | None = None) -> None:
        await self._patiently(lambda: self._log.tell_run(run.record(finished_at)))


_OTHER_ENDS: Final = ("parked", "clock", "schema")
"""Incidents that a sweep does not end."""

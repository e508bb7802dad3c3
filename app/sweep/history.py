"""Tells what entries were before each change that an event told of, so that one that none told of shows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, TypeVar

from app.clock import Clock
from app.detector.model import EntryAsOf, Input, Mark
from app.errors import DriftwatchError, Transient
from app.rules import LoadedRule
from app.sweep.announced import Announced, Announcements
from app.sweep.confirm import AnswerLog, EntryPast
from app.sweep.metrics import HistoryMetrics
from app.sweep.reading import ENTRIES_A_CALL
from app.telemetry import get_logger

log = get_logger(__name__)

T = TypeVar("T")
RUN: Final = "history"
_POLL_S: Final = 0.25
_PAUSE_S: Final = 1.0
_MOST_PAUSE_S: Final = 10.0
_CALL_S: Final = 60.0
_TIMES_SLOW: Final = 3
_MOST_SILENT: Final = 8


class Changes(Protocol):
    """This process's share of `chain.events`: each input with its partition, in the order of that."""

    async def take(self, within_s: float) -> Sequence[tuple[int, Input]]: ...
    async def done(self) -> None: ...


class _Stopped(Exception):
    """Nobody waits any longer."""


@dataclass(slots=True)
class _Step:
    """Entries of a rule that one ledger modified last, by key, each with its partition's memory."""

    loaded: LoadedRule
    reads: dict[str, tuple[Announced, Announcements]] = field(default_factory=dict)

    def add(self, read: Announced, known: Announcements) -> None:
        """Of two reads the later one, back to the older event: the ledger tells both the same."""
        key = read.entry.key
        if key in self.reads and self.reads[key][0].at < read.at:
            before = self.reads[key][0]
            read = Announced(read.entry, before.ledger, before.at)
        self.reads[key] = read, known

    def silent_from(self, past: Sequence[EntryAsOf]) -> dict[str, tuple[EntryAsOf, int]]:
        """Of each key the oldest of these statements, where no event told of the change that it began with,
        and an instant before that."""
        oldest = {entry.key: entry for entry in reversed(past)}
        found: dict[str, tuple[EntryAsOf, int]] = {}
        for key, entry in oldest.items():
            since = self.reads[key][1].silent_from(entry)
            if since is not None:
                found[key] = entry, since
        return found


class Historian:
    """Runs until `stop`, behind the stream and in nobody's way. What was taken is acknowledged once all of it
    is told; to tell it twice is harmless. Rules whose contracts stand in a table are passed over: what an
    entry was is not what its key was."""

    def __init__(
        self,
        rules: Mapping[str, LoadedRule],
        sources: tuple[EntryPast, AnswerLog],
        changes: Changes,
        clock: Clock,
        metrics: HistoryMetrics,
    ) -> None:
        self._rules = {key: loaded for key, loaded in rules.items() if loaded.right.contracts is None}
        self._past, self._log = sources
        self._changes, self._clock, self._metrics = changes, clock, metrics
        self._partitions: dict[int, Announcements] = {}
        self._is_told = True

    async def run(self, stop: asyncio.Event) -> None:
        """Take what comes, and go on only behind what is told."""
        try:
            while not stop.is_set():
                taken = await self._insist(lambda: self._changes.take(_POLL_S), stop)
                if taken:
                    for step in self._steps_of(taken):
                        if stop.is_set():
                            return
                        await self._tell(step, stop)
                    await self._changes.done()
                    self._show_place(taken)
        except _Stopped:
            return

    def _steps_of(self, taken: Sequence[tuple[int, Input]]) -> list[_Step]:
        """By the ledger that modified the entries, oldest first: each is asked for once, however many keys it
        changed, and a key that changed in two of them is told of each."""
        steps: dict[tuple[int, str, int], _Step] = {}
        for partition, each in taken:
            known = self._partitions.setdefault(partition, Announcements())
            read = known.take(each)
            loaded = None if read is None else self._rules.get(read.entry.rule)
            if read is None or loaded is None:
                continue
            if read.entry.modified_ledger < read.ledger:  # the event changed nothing in it
                self._count(loaded, "nothing", 1)
                continue
            part = 0
            place = (read.entry.modified_ledger, loaded.rule.id)
            while len(steps.get((*place, part), _Step(loaded)).reads) >= ENTRIES_A_CALL:
                part += 1
            steps.setdefault((*place, part), _Step(loaded)).add(read, known)
        return [steps[place] for place in sorted(steps)]

    async def _tell(self, step: _Step, stop: asyncio.Event) -> None:
        """What its ledger told, and those of silent changes before it; nothing of a key of which all was read
        already. Of the others all is told: two statements that join prove when the second one began."""
        past = await self._insist(partial(self._find, step), stop)
        is_told, self._is_told = self._is_told, not isinstance(past, str)
        if isinstance(past, str):
            self._count(step.loaded, "unavailable", len(step.reads))
            if is_told:
                rule = step.loaded.rule.id
                log.warning("The ledgers tell nothing", event_name="no_before_images", rule=rule, reason=past)
            return
        new = {entry.key for entry in past if not step.reads[entry.key][1].is_read(entry)}
        if new:
            told = [entry for entry in past if entry.key in new]
            await self._insist(lambda: self._log.publish(step.loaded.rule, told, RUN), stop)
        self._count(step.loaded, "told", len(new))
        self._count(step.loaded, "nothing", len(step.reads) - len(new))

    async def _find(self, step: _Step) -> list[EntryAsOf] | str:
        """What the entries were before their oldest events, oldest first; or why no ledger tells."""
        entries = [read.entry for read, _ in step.reads.values()]
        history_from = {read.entry.key: read.at - 1 for read, _ in step.reads.values()}
        try:
            past, dated = await self._trace(step.loaded, entries, history_from)
        except Transient:
            raise
        except DriftwatchError as error:
            return str(error)
        if all(entry.modified_at is None for entry in dated):
            return f"the node does not tell ledger {entries[0].modified_ledger}"
        return await self._follow(step, past)

    async def _follow(self, step: _Step, past: list[EntryAsOf]) -> list[EntryAsOf]:
        """Back through changes that nothing told of, so that each value is known with its beginning, and what
        was before it too."""
        followed: set[tuple[str, int]] = set()
        for _ in range(_MOST_SILENT):
            silent = {
                key: found
                for key, found in step.silent_from(past).items()
                if (key, found[0].modified_ledger) not in followed
            }
            if not silent:
                break
            entries = [entry for entry, _ in silent.values()]
            followed |= {(entry.key, entry.modified_ledger) for entry in entries}
            history_from = {key: since for key, (_, since) in silent.items()}
            try:
                older, dated = await self._trace(step.loaded, entries, history_from)
            except Transient:
                raise
            except DriftwatchError:
                break
            exact = dict(zip(entries, dated, strict=True))
            past = [*older, *(exact.get(entry, entry) for entry in past)]
        return past

    async def _trace(
        self, loaded: LoadedRule, entries: Sequence[EntryAsOf], history_from: Mapping[str, int]
    ) -> tuple[list[EntryAsOf], list[EntryAsOf]]:
        """What they were, and they themselves, dated where their ledger told; in bounded time."""
        for _ in range(_TIMES_SLOW):
            try:
                found = await asyncio.wait_for(self._past.trace(loaded, entries, history_from), _CALL_S)
            except TimeoutError:
                continue
            border = len(found) - len(entries)
            return list(found[:border]), list(found[border:])
        cause = f"nothing within {_CALL_S:g} s, {_TIMES_SLOW} times"
        raise DriftwatchError("reading the ledgers that changed entries of", loaded.rule.id, cause)

    async def _insist(self, attempt: Callable[[], Awaitable[T]], stop: asyncio.Event) -> T:
        """The attempt's answer, once what is in the way has passed."""
        pause = _PAUSE_S
        while True:
            try:
                return await attempt()
            except Transient as error:
                self._metrics.trouble.inc()
                wait = pause if error.retry_after_s is None else max(pause, error.retry_after_s)
                if pause == _PAUSE_S:
                    reason = str(error)
                    log.warning("Before-images wait", event_name="before_images_wait", reason=reason)
            if stop.is_set():
                raise _Stopped
            await self._clock.sleep(min(wait, _MOST_PAUSE_S))
            pause = min(2 * pause, _MOST_PAUSE_S)

    def _show_place(self, taken: Sequence[tuple[int, Input]]) -> None:
        marks = {partition: each.watermark for partition, each in taken if isinstance(each, Mark)}
        if marks:
            self._metrics.through_us = min(marks.values())

    def _count(self, loaded: LoadedRule, outcome: str, number: int) -> None:
        if number:
            self._metrics.images.labels(loaded.rule.id, outcome).inc(number)

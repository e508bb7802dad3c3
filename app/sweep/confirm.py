"""Answers what the detector asks before it tells an episode: both sides of single keys, read live."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from app.clock import Clock
from app.detector.model import EntryAsOf, RowAsOf, Rule
from app.errors import DriftwatchError, Transient
from app.rules import LoadedRule
from app.sweep.metrics import ConfirmMetrics
from app.sweep.patience import Patience
from app.sweep.reading import ENTRIES_A_CALL, EntrySource, RowSource
from app.telemetry import get_logger

log = get_logger(__name__)

RUN: Final = "confirm"
_POLL_S: Final = 0.25
_PAUSE_S: Final = 1.0
_PATIENCE_S: Final = 5.0
_HISTORY_S: Final = 2.0
_NEVER_OLDER_US: Final = 60_000_000


class Question(Protocol):
    """A request to confirm; `connectors.kafka.confirming.ConfirmRequest` is one. `asked_at` in µs; `ledger`:
    the entry must be read there or later; `history_from`: back to when it is wanted what it was, µs."""

    @property
    def rule(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def ledger(self) -> int: ...
    @property
    def asked_at(self) -> int: ...
    @property
    def history_from(self) -> int: ...


class Questions(Protocol):
    """This process's share of the requests."""

    async def take(self, within_s: float) -> Sequence[Question]: ...
    async def done(self) -> None: ...


class AnswerLog(Protocol):
    """Where reads are told; acknowledged when a call returns."""

    async def publish(self, rule: Rule, reads: Sequence[RowAsOf | EntryAsOf], run: str) -> None: ...


class EntryPast(Protocol):
    """What entries were before they were read, each back to an instant (by key, µs), oldest first, and then
    the entries themselves, dated where that was learned. Raises `DriftwatchError` where nothing tells."""

    async def trace(
        self, loaded: LoadedRule, entries: Sequence[EntryAsOf], history_from: Mapping[str, int]
    ) -> Sequence[EntryAsOf]: ...


@dataclass(frozen=True, slots=True)
class ConfirmSources:
    """What is read, and where it is told. `past` None: nobody tells what an entry was before."""

    rows: RowSource
    entries: EntrySource
    log: AnswerLog
    past: EntryPast | None = None


class Confirmer:
    """Runs until `stop`. A question that was not answered is not asked again: its episode is told when its
    time is up. An old one is not answered: that has happened already."""

    def __init__(
        self,
        rules: Mapping[str, LoadedRule],
        sources: ConfirmSources,
        questions: Questions,
        clock: Clock,
        metrics: ConfirmMetrics,
    ) -> None:
        self._rules, self._sources, self._questions = rules, sources, questions
        self._clock, self._metrics = clock, metrics
        self._patiently = Patience(clock, _PATIENCE_S)

    async def run(self, stop: asyncio.Event) -> None:
        """Answer what comes."""
        while not stop.is_set():
            try:
                asked = await self._questions.take(_POLL_S)
                if asked:
                    await self.answer(asked)
                    await self._questions.done()
            except Transient as error:
                self._metrics.trouble.inc()
                log.warning("Suspects cannot be confirmed", event_name="confirm_trouble", reason=str(error))
                await self._clock.sleep(_PAUSE_S)

    async def answer(self, asked: Sequence[Question]) -> None:
        """Read and tell both sides of every key that was asked about, 200 at once."""
        by_rule: dict[str, dict[str, Question]] = {}
        for one in asked:
            loaded = self._rules.get(one.rule)
            if loaded is None or self._is_late(loaded.rule, one):
                self._metrics.answers.labels(one.rule if loaded else "", "unanswered").inc()
            else:
                by_rule.setdefault(one.rule, {})[one.key] = one
        for rule_id, questions in by_rule.items():
            keys = list(questions)
            for first in range(0, len(keys), ENTRIES_A_CALL):
                some = [questions[key] for key in keys[first : first + ENTRIES_A_CALL]]
                await self._answer_some(self._rules[rule_id], some)

    def _is_late(self, rule: Rule, one: Question) -> bool:
        return self._clock.now_us() - one.asked_at > max(rule.confirm_us or 0, _NEVER_OLDER_US)

    async def _answer_some(self, loaded: LoadedRule, questions: Sequence[Question]) -> None:
        """Rows and entries side by side; what cannot be read in time stays unanswered."""
        keys = [one.key for one in questions]
        ledger = max(one.ledger for one in questions)
        rule_id = loaded.rule.id
        try:
            rows, entries = await asyncio.gather(
                self._patiently(lambda: self._sources.rows.read_keys(loaded, keys)),
                self._patiently(lambda: self._sources.entries.read(loaded, keys, ledger)),
            )
            traced = await self._trace(loaded, entries.entries, questions)
            reads: list[RowAsOf | EntryAsOf] = [*rows.rows, *traced]
            await self._patiently(lambda: self._sources.log.publish(loaded.rule, reads, RUN))
        except Transient as error:
            self._metrics.answers.labels(rule_id, "unanswered").inc(len(keys))
            log.warning(
                "Suspects stay unconfirmed", event_name="confirm_failed", rule=rule_id, reason=str(error)
            )
            return
        self._metrics.answers.labels(rule_id, "answered").inc(len(keys))
        oldest = min(one.asked_at for one in questions)
        self._metrics.duration.observe(max(0.0, (self._clock.now_us() - oldest) / 1_000_000))

    async def _trace(
        self, loaded: LoadedRule, entries: Sequence[EntryAsOf], questions: Sequence[Question]
    ) -> Sequence[EntryAsOf]:
        """The entries behind what they were before: the current ones last, so that a suspect is settled with
        all that is known. A node that does not tell in time changes nothing: the entries alone are an
        answer."""
        past, counted = self._sources.past, self._metrics.history
        if past is None:
            return entries
        rule_id = loaded.rule.id
        history_from = {one.key: one.history_from for one in questions}
        try:
            found = await asyncio.wait_for(past.trace(loaded, entries, history_from), _HISTORY_S)
        except (DriftwatchError, TimeoutError) as error:
            counted.labels(rule_id, "unavailable").inc(len(questions))
            reason = str(error) or f"nothing within {_HISTORY_S:g} s"
            log.info("The ledgers tell nothing", event_name="no_history", rule=rule_id, reason=reason)
            return entries
        told = {entry.key for entry in found[: len(found) - len(entries)]}
        counted.labels(rule_id, "told").inc(len(told))
        counted.labels(rule_id, "nothing_new").inc(len(questions) - len(told))
        return found

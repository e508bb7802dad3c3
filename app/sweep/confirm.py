"""Answers what the detector asks before it tells an episode: both sides of single keys, read live."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from app.clock import Clock
from app.detector.model import EntryAsOf, RowAsOf, Rule
from app.errors import Transient
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
_NEVER_OLDER_US: Final = 60_000_000


class Question(Protocol):
    """A request to confirm; `connectors.kafka.confirming.ConfirmRequest` is one. `asked_at` in µs; `ledger`:
    the entry must be read there or later."""

    @property
    def rule(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def ledger(self) -> int: ...
    @property
    def asked_at(self) -> int: ...


class Questions(Protocol):
    """This process's share of the requests."""

    async def take(self, within_s: float) -> Sequence[Question]: ...
    async def done(self) -> None: ...


class AnswerLog(Protocol):
    """Where reads are told; acknowledged when a call returns."""

    async def publish(self, rule: Rule, reads: Sequence[RowAsOf | EntryAsOf], run: str) -> None: ...


@dataclass(frozen=True, slots=True)
class ConfirmSources:
    """What is read, and where it is told."""

    rows: RowSource
    entries: EntrySource
    log: AnswerLog


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
            reads: list[RowAsOf | EntryAsOf] = [*rows.rows, *entries.entries]
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

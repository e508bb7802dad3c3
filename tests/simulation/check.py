"""Runs a detector over what was told, and holds what it published against the truth."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from app.detector.detector import Detector
from app.detector.model import (
    INFINITY,
    SECOND,
    Effect,
    Field,
    FieldType,
    Incident,
    Input,
    Mark,
    Rule,
    Side,
    Transition,
    Window,
)
from app.detector.panel import Panel
from app.detector.unverifiable import UnverifiableLog
from tests.simulation import truth
from tests.simulation.feed import RULE_ID, Feed, Manner
from tests.simulation.life import START, Habits, Life, build_life
from tests.simulation.truth import LAG, LEAD, MIN, SKEW, Intervals

FIELDS = (Field("limit", FieldType.AMOUNT), Field("status", FieldType.TEXT))


def rule(**changes: object) -> Rule:
    """The rule of all simulated worlds."""
    window = Window(LAG, LEAD, SKEW, MIN)
    return Rule(RULE_ID, 1, FIELDS, window, **changes)  # type: ignore[arg-type]


@dataclass
class Outcome:
    """What a run published: transitions by id, the stretches that it could not verify, the incidents."""

    detector: Detector
    log: UnverifiableLog
    told: list[Transition] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)

    @property
    def by_id(self) -> dict[str, str]:
        """The payload of each id, as text."""
        return {told.ce_id: json.dumps(told.value) for told in self.told}

    def stretches(self, key: str, end: int) -> Intervals:
        """[since, until) of every published stretch of a key; `end` where it is open still."""
        found: Intervals = []
        for told in self.told:
            if told.value["key"] != key:
                continue
            kind = told.value["transition"]
            if kind in ("opened", "reopened"):
                found.append((micros(told.value["since"]), end))
            elif kind == "resolved":
                found[-1] = (found[-1][0], micros(told.value["until"]))
        return found

    def unverified(self, key: str) -> Intervals:
        """Where nothing is claimed about a key: unknown pieces, widened as far as their effect reaches."""
        found: Intervals = []
        for (name, side, start), until in self.log.pieces.items():
            if name == key:
                before, after = (0, 0) if side is Side.LEFT else (LEAD + SKEW, LAG + SKEW)
                found.append((start - before, until + after))
        return found


def micros(text: object) -> int:
    """A time as it is told, in µs."""
    moment = datetime.fromisoformat(str(text))
    return int(moment.replace(microsecond=0).timestamp()) * SECOND + moment.microsecond


def run(inputs: Iterable[Input], a_rule: Rule | None = None, *, from_empty: bool = True) -> Outcome:
    """Feed everything to one detector, a step after each mark; the marks' laws are held on the way."""
    log = UnverifiableLog()
    outcome = Outcome(Detector(a_rule or rule(), from_empty=from_empty, log=log), log)
    detector = outcome.detector
    panel = Panel([detector])
    for item in inputs:
        before = detector.verified_through
        effects = panel.take(item)
        assert detector.verified_through >= before
        _sort(effects, outcome)
        if isinstance(item, Mark):
            _sort(detector.step_done(), outcome)
    detector.finish_log()
    return outcome


def _sort(effects: list[Effect], outcome: Outcome) -> None:
    for effect in effects:
        if isinstance(effect, Transition):
            outcome.told.append(effect)
        elif isinstance(effect, Incident):
            outcome.incidents.append(effect)


@dataclass
class World:
    """A seed's life and its feed. `end`: nothing later than that is known to have been judged."""

    seed: int
    habits: Habits
    manner: Manner

    def __post_init__(self) -> None:
        r = random.Random(self.seed)
        self.life: Life = build_life(r, self.habits)
        self.feed = Feed(r, self.life, self.manner)

    def check_precision(self, outcome: Outcome, since: int = -INFINITY) -> None:
        """I1: what was published lies inside true violations, but for what could not be verified."""
        for key in self.life.keys:
            end = outcome.detector.verified_through
            published = [(max(a, since), b) for a, b in outcome.stretches(key, end)]
            shift = self.manner.offset_us
            true = [(a + shift, b + shift) for a, b in truth.violations(self.life, key, end + 60 * SECOND)]
            wrong = truth.minus(truth.minus(published, true), outcome.unverified(key))
            assert not wrong, (self.seed, key, wrong, published, true, outcome.unverified(key))

    def check_recall(self, outcome: Outcome, since: int = START) -> None:
        """I2: a violation with a known part longer than 4 skew + min meets an episode."""
        for key in self.life.keys:
            end = outcome.detector.verified_through - SKEW
            shift = self.manner.offset_us
            published = outcome.stretches(key, end)
            for a, b in truth.violations(self.life, key, end):
                known = truth.minus([(max(a, since) + shift, min(b, end) + shift)], outcome.unverified(key))
                for start, until in known:
                    if until - start > 4 * SKEW + MIN:
                        met = any(p < until and start < q for p, q in published)
                        assert met, (self.seed, key, (start, until), published, outcome.unverified(key))

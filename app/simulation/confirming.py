"""Confirming, as the worlds answer it: both sides of a key are read live when an episode of it opens.

The detector has no confirm effect yet. Here its published openings stand for one, and a stretch that ends
soon after the reads have proven lost input counts as never published.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from app.detector.detector import Detector
from app.detector.model import SECOND, Effect, Incident, Transition
from app.detector.unverifiable import UnverifiableLog
from app.simulation.judging import RULE, Verdicts, close, note, take
from app.simulation.manner import Facts, Manner, Told
from app.simulation.sweeping import read_both

ASKED_AFTER_US: Final = SECOND // 2
PATIENCE_US: Final = 60 * SECOND
"""Longest time from an opening until its withdrawal counts as one before publishing."""


@dataclass(slots=True)
class _Opened:
    """A stretch that was told at `at`, and everything told of it since."""

    at: int
    ids: set[str] = field(default_factory=set)
    is_proven_lost: bool = False


class Confirming:
    """One partition's run. Nothing of the answers is told before they arrive."""

    def __init__(self, r: random.Random, facts: Facts, manner: Manner) -> None:
        self.r, self.facts, self.manner = r, facts, manner
        self.answers: list[Told] = []
        self.opened: dict[str, _Opened] = {}
        self.withdrawn: set[str] = set()

    def run(self, told: list[Told], *, from_empty: bool) -> Verdicts:
        """Feed everything in order of arrival, answers in between, and take out what was withdrawn."""
        log = UnverifiableLog()
        detector = Detector(RULE, from_empty=from_empty, log=log)
        verdicts = Verdicts()
        for each in told:
            while self.answers and self.answers[0].arrival <= each.arrival:
                self._feed(detector, verdicts, self.answers.pop(0))
            self._feed(detector, verdicts, each)
        verdicts.transitions = [
            (arrival, effect)
            for arrival, effect in verdicts.transitions
            if effect.ce_id not in self.withdrawn
        ]
        return close(verdicts, detector, log)

    def _feed(self, detector: Detector, verdicts: Verdicts, told: Told) -> None:
        effects = take(detector, told.input)
        if effects:
            note(verdicts, told.arrival, effects)
            detector.step_done()
            self._answer(told.arrival, effects)

    def _answer(self, arrival: int, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Incident) and effect.key in self.opened:
                self.opened[effect.key].is_proven_lost = True
            elif isinstance(effect, Transition):
                self._follow(arrival, effect)

    def _follow(self, arrival: int, told: Transition) -> None:
        key, name = str(told.value["key"]), told.value["transition"]
        if name in ("opened", "reopened"):
            self.opened[key] = _Opened(arrival)
            self.answers += read_both(self.r, self.facts, self.manner, key, arrival + ASKED_AFTER_US)
            self.answers.sort(key=lambda answer: answer.arrival)
        if key in self.opened:
            opened = self.opened[key]
            opened.ids.add(told.ce_id)
            if name == "resolved":
                if opened.is_proven_lost and arrival - opened.at <= PATIENCE_US:
                    self.withdrawn |= opened.ids
                del self.opened[key]

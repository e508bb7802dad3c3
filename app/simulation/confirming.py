"""Confirming, as the worlds answer it: both sides of a key are read live when the detector asks for it."""

from __future__ import annotations

import random
from typing import Final

from app.detector.detector import Detector
from app.detector.model import SECOND, Confirm
from app.detector.suspects import LIVE
from app.detector.unverifiable import UnverifiableLog
from app.simulation.judging import RULE, Verdicts, close, note, take
from app.simulation.manner import Facts, Manner, Told
from app.simulation.sweeping import read_both, walk_back

ASKED_AFTER_US: Final = SECOND // 2


class Confirming:
    """One partition's run. Every question is answered; the answers arrive among the other records: `fed` is
    all of it, in order of arrival."""

    def __init__(self, r: random.Random, facts: Facts, manner: Manner) -> None:
        self.r, self.facts, self.manner = r, facts, manner
        self.answers: list[Told] = []
        self.fed: list[Told] = []

    def run(self, told: list[Told], *, from_empty: bool) -> Verdicts:
        """Feed everything in order of arrival, answers in between."""
        log = UnverifiableLog()
        detector = Detector(RULE, from_empty=from_empty, log=log, confirmed=LIVE)
        verdicts = Verdicts()
        for each in told:
            while self.answers and self.answers[0].arrival <= each.arrival:
                self._feed(detector, verdicts, self.answers.pop(0))
            self._feed(detector, verdicts, each)
        return close(verdicts, detector, log)

    def _feed(self, detector: Detector, verdicts: Verdicts, told: Told) -> None:
        self.fed.append(told)
        effects = take(detector, told.input)
        if effects:
            note(verdicts, told.arrival, effects)
            detector.step_done()
            for effect in effects:
                if isinstance(effect, Confirm):
                    at = told.arrival + ASKED_AFTER_US
                    answers = read_both(self.r, self.facts, self.manner, effect.key, at)
                    self.answers += walk_back(self.facts, self.manner, effect.history_from_us, answers)
                    self.answers.sort(key=lambda answer: answer.arrival)

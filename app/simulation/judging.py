"""Feeds a detector what was told, and keeps what it published, and when."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from app.detector.detector import Detector
from app.detector.model import (
    INFINITY,
    SECOND,
    UNKNOWN,
    Effect,
    Field,
    FieldType,
    Gap,
    Incident,
    Input,
    Mark,
    Rule,
    Seeded,
    Side,
    Transition,
    Window,
)
from app.detector.unverifiable import UnverifiableLog
from app.simulation.life import LAG, LEAD, MIN, SKEW
from app.simulation.manner import RULE_ID, Told
from app.simulation.truth import EXISTENCE, Intervals
from app.stream.state import (
    decode_key,
    encode_left,
    encode_record,
    encode_right,
)

FIELDS: Final = (
    Field("creditLimit", FieldType.AMOUNT, 7),
    Field("availableCredit", FieldType.AMOUNT, 7),
    Field("status", FieldType.TEXT),
)
NUMBER_OF: Final = {"existence": EXISTENCE} | {each.name: i for i, each in enumerate(FIELDS)}
RULE: Final = Rule(RULE_ID, 1, FIELDS, Window(LAG, LEAD, SKEW, MIN))


@dataclass(slots=True)
class Stretch:
    """A stretch as it was published: [since, until), when that was told, and which field was named when."""

    since: int
    told_at: int
    until: int = INFINITY
    named: list[tuple[int, str]] = field(default_factory=list)


@dataclass(slots=True)
class Verdicts:
    """What a run published. `unknown`: by key, where nothing is claimed: unknown pieces as far as they
    reach. `waits`: by key, where a turn waits to be confirmed as the input ends: nothing later is told yet.
    `second_payloads`: ids that were told twice with two payloads; there is none."""

    stretches: dict[str, list[Stretch]] = field(default_factory=dict)
    transitions: list[tuple[int, Transition]] = field(default_factory=list)
    unknown: dict[str, Intervals] = field(default_factory=dict)
    pieces: dict[tuple[str, Side, int], int] = field(default_factory=dict)
    incidents: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    verified_through: int = -INFINITY
    waits: dict[str, int] = field(default_factory=dict)
    second_payloads: list[str] = field(default_factory=list)
    restarts: int = 0

    def pieces_of(self, key: str, side: Side) -> Intervals:
        """The unknown pieces themselves of one side of a key."""
        return [(at, until) for (name, of, at), until in self.pieces.items() if (name, of) == (key, side)]


def judge(told: Iterable[Told], *, from_empty: bool) -> Verdicts:
    """Feed everything to one detector, in order of arrival, and gather what it published."""
    log = UnverifiableLog()
    detector = Detector(RULE, from_empty=from_empty, log=log)
    verdicts = Verdicts()
    for arrival, item in told:
        effects = take(detector, item)
        if effects:
            note(verdicts, arrival, effects)
            detector.step_done()
    return close(verdicts, detector, log)


def take(detector: Detector, item: Input) -> list[Effect]:
    """Feed one input."""
    if type(item) is Mark:
        return detector.advance(item)
    if isinstance(item, Gap | Seeded):
        return detector.control(item)
    return detector.observe(item)  # type: ignore[arg-type]


def note(verdicts: Verdicts, arrival: int, effects: list[Effect]) -> None:
    """Keep what was published with the time at which that became possible."""
    for effect in effects:
        if type(effect) is Transition:
            verdicts.transitions.append((arrival, effect))
        elif type(effect) is Incident:
            verdicts.incidents[effect.cause] = verdicts.incidents.get(effect.cause, 0) + 1


def close(verdicts: Verdicts, detector: Detector, log: UnverifiableLog) -> Verdicts:
    """No more input follows: stretches are made of transitions, and unknown pieces of the log."""
    detector.finish_log()
    verdicts.verified_through = detector.verified_through
    verdicts.counts = dict(detector.counts)
    states = {key: detector.snapshot(key) for key in detector.suspects.waiting}
    verdicts.waits = {key: state.suspect.since for key, state in states.items() if state and state.suspect}
    verdicts.pieces = log.pieces | _unknown_ends(detector)
    _gather(verdicts)
    window = detector.rule.window
    reach = window.lead_us + window.skew_us, window.lag_us + window.skew_us
    for (key, side, start), until in verdicts.pieces.items():
        before, after = (0, 0) if side is Side.LEFT else reach
        verdicts.unknown.setdefault(key, []).append((start - before, until + after))
    return verdicts


def _unknown_ends(detector: Detector) -> dict[tuple[str, Side, int], int]:
    """What is unknown where the input ends: of a key that nobody looked at since, the log does not tell."""
    found: dict[tuple[str, Side, int], int] = {}
    for key in list(detector.states):
        state = detector.snapshot(key)
        if state is None:
            continue
        lefts = [] if state.left is None else [row.versions for row in state.left.rows.values()]
        rights = [] if state.right is None else [state.right.versions]
        for side, timelines in ((Side.LEFT, lefts), (Side.RIGHT, rights)):
            for versions in timelines:
                if versions[-1].value == UNKNOWN:
                    found[key, side, versions[-1].at] = INFINITY
    return found


def _gather(verdicts: Verdicts) -> None:
    seen: dict[str, dict[str, object]] = {}
    for arrival, told in verdicts.transitions:
        value = told.value
        if told.ce_id in seen:
            if seen[told.ce_id] != value:
                verdicts.second_payloads.append(told.ce_id)
            continue
        seen[told.ce_id] = value
        stretches = verdicts.stretches.setdefault(str(value["key"]), [])
        if value["transition"] in ("opened", "reopened"):
            stretches.append(Stretch(micros(value["since"]), arrival))
        elif value["transition"] == "resolved":
            stretches[-1].until = micros(value["until"])
            continue
        at = micros(told.ce_time)
        differences: list[dict[str, object]] = value["differences"]  # type: ignore[assignment]
        stretches[-1].named += [(at, str(difference["field"])) for difference in differences]


_SECONDS: dict[str, int] = {}


def micros(text: object) -> int:
    """A time as it is told, in µs; the second is remembered."""
    whole, _, fraction = str(text).rstrip("Z").partition(".")
    second = _SECONDS.get(whole)
    if second is None:
        if len(_SECONDS) > 50_000:
            _SECONDS.clear()
        second = _SECONDS[whole] = int(datetime.fromisoformat(whole + "+00:00").timestamp()) * SECOND
    return second + int(fraction.ljust(6, "0")) if fraction else second


class Mortal:
    """A detector whose process dies between any two durable writes and comes back with what was durable.

    The order of writes is worker.md's: messages, episodes, left and right, the partition's record, commit.
    """

    def __init__(self, r: random.Random, *, from_empty: bool, confirmed: str = "off") -> None:
        self.r, self.from_empty, self.confirmed = r, from_empty, confirmed
        self.left: dict[str, bytes] = {}
        self.right: dict[str, bytes] = {}
        self.records: dict[str, bytes] = {}
        self.partition: list[list[object]] | None = None
        self.log = UnverifiableLog()
        self.verdicts = Verdicts()
        self.counts: dict[str, int] = {}
        self.detector = self._start()

    def run(self, told: list[Told]) -> Verdicts:
        """Everything, in steps, with a death in about one of four."""
        committed = 0
        while committed < len(told):
            until = min(committed + self.r.randrange(100, 900), len(told))
            if self._step(told[committed:until]):
                committed = until
            else:
                self.verdicts.restarts += 1
                self.detector = self._start()
        return close(self.verdicts, self.detector, self.log)

    def _start(self) -> Detector:
        detector = Detector(RULE, from_empty=self.from_empty, log=self.log, confirmed=self.confirmed)
        if self.partition is not None:
            detector.restore_partition(self.partition)
        for key in self.left.keys() | self.right.keys() | self.records.keys():
            state = decode_key(self.left.get(key), self.right.get(key), self.records.get(key))
            if state is not None:
                detector.restore(key, state)
        return detector

    def _step(self, told: list[Told]) -> bool:
        """One batch; False where the process died in it."""
        detector = self.detector
        death = self.r.randrange(0, 20)
        for arrival, item in told:
            effects = take(detector, item)
            if effects:
                note(self.verdicts, arrival, effects)
        changed = detector.take_changed()
        writes = [
            lambda: self._write_records(changed.records),
            lambda: self._write_left(changed.left),
            lambda: self._write_right(changed.right),
            self._write_partition,
        ]
        for number, write in enumerate(writes):
            if number == death:
                return False
            write()
        if death == len(writes):
            return False
        detector.step_done()
        return True

    def _write_records(self, keys: set[str]) -> None:
        for key in keys:
            state = self.detector.snapshot(key)
            stored = None if state is None else encode_record(state.record, state.suspect)
            if stored is None:
                self.records.pop(key, None)
            else:
                self.records[key] = stored

    def _write_left(self, keys: set[str]) -> None:
        for key in keys:
            state = self.detector.snapshot(key)
            if state is None or state.left is None:
                self.left.pop(key, None)
            else:
                self.left[key] = encode_left(state.left)

    def _write_right(self, keys: set[str]) -> None:
        for key in keys:
            state = self.detector.snapshot(key)
            if state is None or state.right is None:
                self.right.pop(key, None)
            else:
                self.right[key] = encode_right(state.right)

    def _write_partition(self) -> None:
        self.partition = self.detector.partition_state()  # type: ignore[assignment]

"""What a run is worth: verdicts held against the truth, by cause, and sums of that over worlds."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from app.detector.model import INFINITY
from app.detector.values import format_time
from app.simulation.baselines import Alarm
from app.simulation.histories import Cause, KeyLife
from app.simulation.judging import NUMBER_OF, Stretch, Verdicts
from app.simulation.life import MIN, SKEW
from app.simulation.statistics import ratio_bounds
from app.simulation.truth import Intervals, join, meet, minus

SURELY_FOUND_US = 4 * SKEW + MIN
"""A violation whose known part is longer than this must be found, whatever the clocks do within `skew`."""
MOST_EXAMPLES = 20
_ENDED_LATE = "ended late"


class Drift(NamedTuple):
    """A true violation of a key that must be found: [start, until) by the left's clock."""

    start: int
    until: int
    cause: Cause


class Failure(NamedTuple):
    """A verdict that was wrong, and the world that shows it."""

    seed: int
    scenario: str
    key: str
    what: str


@dataclass(slots=True)
class Tally:
    """What one way of looking for drift made of some worlds. `late_ends`: those of the false alarms that were
    right when they were told, and told as over too late. `latencies_s` are of what was found."""

    alarms: int = 0
    false_alarms: int = 0
    late_ends: int = 0
    misses: int = 0
    found: int = 0
    latencies_s: array[float] = field(default_factory=lambda: array("f"))

    def add(self, other: Tally) -> None:
        """Take the sums of other worlds in."""
        self.alarms += other.alarms
        self.false_alarms += other.false_alarms
        self.late_ends += other.late_ends
        self.misses += other.misses
        self.found += other.found
        self.latencies_s += other.latencies_s

    @property
    def precision(self) -> float:
        """Of the alarms, those that were right; 1 where there was none."""
        return 1.0 - self.false_alarms / self.alarms if self.alarms else 1.0

    @property
    def recall(self) -> float:
        """Of the true drifts, those that were found; 1 where there was none."""
        return self.found / (self.found + self.misses) if self.found + self.misses else 1.0


@dataclass(slots=True)
class Score:
    """Sums over worlds. `own` is the detector's; `declared_misses` of its misses lie in declared stretches,
    the rest are undeclared. Times are key-microseconds: `omniscient_us` and `noticed_us` are what others
    would declare who knew of each lost record, or of each notice of a loss. `partitions`: (unverifiable,
    omniscient, noticed) of each."""

    worlds: int = 0
    key_us: int = 0
    unverifiable_us: int = 0
    omniscient_us: int = 0
    noticed_us: int = 0
    declared_misses: int = 0
    short: int = 0
    short_found: int = 0
    inputs: int = 0
    restarts: int = 0
    own: Tally = field(default_factory=Tally)
    baselines: dict[str, Tally] = field(default_factory=dict)
    by_cause: dict[str, list[int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    partitions: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def true_drifts(self) -> int:
        return self.own.found + self.own.misses

    @property
    def undeclared_misses(self) -> int:
        return self.own.misses - self.declared_misses

    @property
    def unverifiable_share(self) -> float:
        return self.unverifiable_us / self.key_us if self.key_us else 0.0

    @property
    def omniscient_share(self) -> float:
        return self.omniscient_us / self.key_us if self.key_us else 0.0

    @property
    def noticed_share(self) -> float:
        return self.noticed_us / self.key_us if self.key_us else 0.0

    @property
    def to_omniscient(self) -> tuple[float, float, float] | None:
        """What is declared, as a multiple of what somebody would declare who knew of each lost record, with
        its 95 % bounds."""
        return ratio_bounds([(declared, known) for declared, known, _ in self.partitions])

    @property
    def to_noticed(self) -> tuple[float, float, float] | None:
        """The same, of what somebody would declare who knew what the notices of losses say."""
        return ratio_bounds([(declared, noticed) for declared, _, noticed in self.partitions])

    def add(self, other: Score) -> None:
        """Take the sums of other worlds in."""
        for name in (
            "worlds",
            "key_us",
            "unverifiable_us",
            "omniscient_us",
            "noticed_us",
            "declared_misses",
            "short",
            "short_found",
            "inputs",
            "restarts",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.own.add(other.own)
        for name, tally in other.baselines.items():
            self.baselines.setdefault(name, Tally()).add(tally)
        for cause, (true, found) in other.by_cause.items():
            mine = self.by_cause.setdefault(cause, [0, 0])
            mine[0] += true
            mine[1] += found
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        self.failures += other.failures[: MOST_EXAMPLES - len(self.failures)]
        self.seeds += other.seeds
        self.partitions += other.partitions


def find_drifts(life: KeyLife, violations: dict[int, Intervals], shift: int) -> tuple[list[Drift], Intervals]:
    """(the violations of a key that must be found, all of them), by the left's clock.

    A key is in violation while any field is; it must be found where one field alone is for long enough.
    """
    every = join(interval for mine in violations.values() for interval in mine)
    long = [
        (start, until)
        for mine in violations.values()
        for start, until in mine
        if until - start > SURELY_FOUND_US
    ]
    drifts = [
        Drift(start + shift, until + shift, life.cause_of(start))
        for start, until in every
        if meet((start, until), long)
    ]
    return drifts, [(start + shift, until + shift) for start, until in every]


class Case(NamedTuple):
    """One key: its violations by field and all of them together, and what was published about it."""

    key: str
    fields: dict[int, Intervals]
    every: Intervals
    drifts: list[Drift]
    told: list[Stretch]
    unknown: Intervals


def score_key(score: Score, case: Case, verdicts: Verdicts) -> list[str]:
    """Count one key; what was wrong, in words."""
    wrong: list[str] = []
    through = min(verdicts.verified_through, verdicts.waits.get(case.key, INFINITY) - 1)
    for stretch in case.told:
        score.own.alarms += 1
        false = _falsehood(stretch, case, through)
        if false:
            score.own.false_alarms += 1
            score.own.late_ends += false.startswith(_ENDED_LATE)
            wrong.append(false)
    published = [(stretch.since, min(stretch.until, through + 1)) for stretch in case.told]
    score.short += len(case.every) - len(case.drifts)
    for drift in case.drifts:
        met = [s for s, span in zip(case.told, published, strict=True) if meet(span, [drift[:2]])]
        counts = score.by_cause.setdefault(drift.cause.value, [0, 0])
        counts[0] += 1
        if met:
            counts[1] += 1
            score.own.found += 1
            score.own.latencies_s.append(max(0, met[0].told_at - drift.start) / 1e6)
            continue
        score.own.misses += 1
        known = minus([drift[:2]], case.unknown)
        if any(until - start > SURELY_FOUND_US for start, until in known):
            wrong.append(f"missed {drift.cause}: {_show([drift[:2]])}")
        else:
            score.declared_misses += 1
    return wrong


def _falsehood(stretch: Stretch, case: Case, through: int) -> str | None:
    """Every instant of a stretch must lie in a true violation, and every field named in one of its own, but
    for what could not be verified."""
    span = (stretch.since, min(stretch.until, through + 1))
    outside = minus(minus([span], case.every), case.unknown)
    if outside:
        ended = [until for start, until in case.every if start <= span[0] < until]
        word = _ENDED_LATE if ended and outside[0][0] >= ended[0] else "false alarm"
        return f"{word}: {_show([span])}, not in violation in {_show(outside)}"
    for at, name in stretch.named:
        if not meet((at, at + 1), case.fields.get(NUMBER_OF[name], [])) and not meet(
            (at, at + 1), case.unknown
        ):
            return f"false field: {name} at {format_time(at)}"
    return None


def _show(intervals: Intervals) -> str:
    return ", ".join(f"{format_time(start)} to {format_time(until)}" for start, until in intervals)


def score_alarms(tally: Tally, alarms: Iterable[Alarm], case: Case) -> None:
    """Count one key for a usual way of looking: an alarm is right where any true violation, however short,
    overlaps the time from the event that set it off to its end."""
    mine = list(alarms)
    for alarm in mine:
        tally.alarms += 1
        tally.false_alarms += not meet((alarm.event, alarm.until), case.every)
    for drift in case.drifts:
        met = [alarm for alarm in mine if alarm.event < drift.until and drift.start < alarm.until]
        if met:
            tally.found += 1
            tally.latencies_s.append(max(0, min(alarm.raised for alarm in met) - drift.start) / 1e6)
        else:
            tally.misses += 1


def measure(intervals: Intervals, span: tuple[int, int]) -> int:
    """How much of a span the intervals cover."""
    clipped = join((max(a, span[0]), min(b, span[1])) for a, b in intervals)
    return sum(until - start for start, until in clipped)

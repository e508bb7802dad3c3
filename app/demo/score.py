"""The score of a demo: what was told against what was true."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from app.demo.scenario import Planted, Subject, World
from app.demo.truth import FOREVER, Violation, Window
from connectors.soroban.times import micros_of


class Told(Protocol):
    """A transition as a consumer saw it; `connectors.kafka.mismatches.Mismatch` is one."""

    @property
    def id(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def transition(self) -> str: ...
    @property
    def value(self) -> dict[str, Any]: ...
    @property
    def seen_us(self) -> int: ...


@dataclass(slots=True)
class Stretch:
    """A drift as it was told: [from, until), and when the telling was seen."""

    key: str
    from_us: int
    seen_us: int
    until_us: int = FOREVER


@dataclass(frozen=True, slots=True)
class Period:
    """Event times (microseconds) between which every drift must be found: both sides are known from
    `from_us` on, and everything was judged up to `verified_us`."""

    from_us: int
    verified_us: int


@dataclass(slots=True)
class Score:
    """`unplanned`: true drifts that nobody planted, such as a row that a busy machine wrote too late.
    `harmless`: what was planted that is no drift."""

    planted: int = 0
    found: int = 0
    missed: list[str] = field(default_factory=list)
    false_alarms: list[str] = field(default_factory=list)
    by_kind: dict[str, dict[str, int]] = field(default_factory=dict)
    harmless: int = 0
    unplanned: int = 0
    unplanned_missed: list[str] = field(default_factory=list)
    detection_ms: list[float] = field(default_factory=list)
    drift_to_event_ms: list[float] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Everything was found, and nothing that was not there."""
        return not (self.missed or self.false_alarms or self.unplanned_missed)


def read_stretches(events: Iterable[Told]) -> dict[str, list[Stretch]]:
    """The stretches told, by key, in order."""
    found: dict[str, list[Stretch]] = {}
    for event in events:
        of_key = found.setdefault(event.key, [])
        if event.transition in {"opened", "reopened"}:
            of_key.append(Stretch(event.key, parse_time(event.value["since"]), event.seen_us))
        elif event.transition == "resolved" and of_key:
            of_key[-1].until_us = parse_time(event.value["until"])
    return found


def score(world: World, events: Sequence[Told], period: Period) -> Score:
    """Compare every stretch that was told with every violation that was true."""
    result = Score()
    stretches = read_stretches(events)
    subjects: dict[str, Subject] = {subject.key: subject for subject in world.subjects}
    for subject in subjects.values():
        of_key = stretches.get(subject.key, [])
        true = subject.violations(world.shape.window)
        _blame_false_alarms(result, of_key, true, (period, world.shape.window))
        if subject.plan is None:
            _count_unplanned(result, of_key, _must_be_found(true, period, world.shape.window))
        elif subject.plan.is_drift:
            _count_planted(result, subject.plan, of_key, true)
        else:
            result.harmless += subject.plan.planted_us is not None
    result.false_alarms += [key for key in stretches if key not in subjects]
    for kind in world.kinds:
        result.by_kind.setdefault(kind, {"planted": 0, "found": 0})
    _measure(result, world.shape.window, subjects, stretches)
    return result


def count_second_ids(events: Iterable[Told]) -> int:
    """Transitions that were told under more than one id; a repeat with the same id is none."""
    ids: dict[tuple[str, str, str], set[str]] = {}
    for event in events:
        instant = str(event.value["until"] or event.value["since"])
        ids.setdefault((event.key, event.transition, instant), set()).add(event.id)
    return sum(
        len(of_one) - 1 for (_, transition, _), of_one in ids.items() if transition in {"opened", "resolved"}
    )


def _blame_false_alarms(
    result: Score, told: Iterable[Stretch], true: Sequence[Violation], bounds: tuple[Period, Window]
) -> None:
    """A stretch must lie inside a violation, as far as it has been judged: what healed after that is still
    told as open. Half the skew is left for the time of a commit."""
    period, window = bounds
    slack = window.skew_us // 2
    for stretch in told:
        until_us = min(stretch.until_us, period.verified_us)
        if not any(
            each.from_us - slack <= stretch.from_us and until_us <= each.until_us + slack for each in true
        ):
            result.false_alarms.append(f"{stretch.key} {stretch.from_us}..{stretch.until_us}: {true}")


def _must_be_found(true: Iterable[Violation], period: Period, window: Window) -> list[Violation]:
    clipped = (
        Violation(max(each.from_us, period.from_us), min(each.until_us, period.verified_us)) for each in true
    )
    return [each for each in clipped if each.until_us - each.from_us > window.surely_found_us]


def _meets(told: Iterable[Stretch], violation: Violation) -> bool:
    return any(each.from_us < violation.until_us and violation.from_us < each.until_us for each in told)


def _count_unplanned(result: Score, told: Sequence[Stretch], true: Iterable[Violation]) -> None:
    for violation in true:
        result.unplanned += 1
        if not _meets(told, violation):
            result.unplanned_missed.append(str(violation))


def _count_planted(
    result: Score, planned: Planted, told: Sequence[Stretch], true: Sequence[Violation]
) -> None:
    if planned.planted_us is None:
        return
    counts = result.by_kind.setdefault(str(planned.kind), {"planted": 0, "found": 0})
    counts["planted"] += 1
    result.planted += 1
    began = 0 if planned.is_from_before else planned.planted_us
    caused = [each for each in true if each.from_us >= began][:1]
    if caused and _meets(told, caused[0]):
        counts["found"] += 1
        result.found += 1
    else:
        result.missed.append(f"{planned.kind} {planned.subject.key}: true {caused}, told {list(told)}")


def _measure(
    result: Score, window: Window, subjects: Mapping[str, Subject], stretches: Mapping[str, list[Stretch]]
) -> None:
    """How late the events were. Drift that was there before the start had waited for the start itself."""
    for key, of_key in stretches.items():
        subject = subjects.get(key)
        if subject is None or (subject.plan is not None and subject.plan.is_from_before):
            continue
        true = subject.violations(window)
        starts = [each.from_us for each in true]
        for stretch in of_key:
            possible_us = stretch.from_us + window.decided_after_us
            result.detection_ms.append((stretch.seen_us - possible_us) / 1000)
            began = bisect_right(starts, stretch.from_us) - 1
            if began >= 0:
                result.drift_to_event_ms.append((stretch.seen_us - starts[began]) / 1000)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile, rounded to 0.1; None of nothing."""
    if not values:
        return None
    return round(sorted(values)[min(len(values) - 1, int(share * len(values)))], 1)


def parse_time(text: str) -> int:
    """Microseconds UTC of an RFC 3339 time."""
    return micros_of(datetime.fromisoformat(text))

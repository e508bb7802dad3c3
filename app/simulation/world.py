"""One seeded world from its birth to its score; the same seed is the same world."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.detector.model import Side
from app.simulation.baselines import AT_ALL, HOURLY, Switch, compare_hourly, watch_streams
from app.simulation.changing import Changing
from app.simulation.confirming import Confirming
from app.simulation.histories import START, KeyLife
from app.simulation.judging import Mortal, Verdicts, judge
from app.simulation.life import LAG, LEAD, SKEW, build_lives
from app.simulation.manner import Facts
from app.simulation.scenarios import SCENARIOS, Promise, Scenario, Size
from app.simulation.score import Case, Failure, Score, Tally, find_drifts, measure, score_alarms, score_key
from app.simulation.telling import Telling
from app.simulation.truth import (
    FOREVER,
    Bounds,
    Intervals,
    Pieces,
    find_violations,
    left_pieces,
    right_pieces,
)
from app.simulation.versions import FIRST, Term, together, whole


@dataclass(slots=True)
class Partition:
    """What happened, what was told of it, and what was published: by each version of the rule and in all.
    `broken`: what must never be, as (key, words)."""

    facts: Facts
    telling: Telling
    terms: list[Term]
    broken: list[tuple[str, str]] = field(default_factory=list)
    verdicts: Verdicts = field(init=False)
    end: int = field(init=False)
    missing: dict[Side, set[tuple[str, int]]] = field(init=False)

    def __post_init__(self) -> None:
        self.missing = {side: set(lost) for side, lost in self.telling.lost.items()}
        self.verdicts = together(self.terms)
        self.end = self.verdicts.verified_through + 1


def scenario_of(seed: int) -> Scenario:
    """Worlds of consecutive seeds take the scenarios in turn."""
    return SCENARIOS[seed % len(SCENARIOS)]


def live_partition(seed: int, scenario: Scenario, size: Size, number: int) -> Partition:
    """One partition of a world: its lives, its streams, and a detector's verdicts on them."""
    r = random.Random(f"{seed}/{number}")
    share = size.keys // size.partitions
    lives = build_lives(r, scenario.habits, share, size.seconds, number * share)
    facts = Facts(lives, size.seconds)
    telling = Telling(r, facts, scenario.manner)
    from_empty = scenario.manner.streams_from_s is None
    if scenario.manner.rule_changes:
        changing = Changing(r, facts, scenario.manner, telling)
        return Partition(facts, telling, changing.run(), changing.broken)
    if scenario.manner.restarts:
        verdicts = Mortal(r, from_empty=from_empty).run(telling.told)
    elif scenario.manner.confirms:
        verdicts = Confirming(r, facts, scenario.manner).run(telling.told, from_empty=from_empty)
    else:
        verdicts = judge(telling.told, from_empty=from_empty)
    return Partition(facts, telling, whole(verdicts))


def run_world(seed: int, scenario: Scenario | None = None, size: Size | None = None) -> Score:
    """Everything of a world, scored."""
    chosen = scenario or scenario_of(seed)
    size = size or chosen.size
    score = Score(worlds=1, seeds=[seed])
    for number in range(size.partitions):
        partition = live_partition(seed, chosen, size, number)
        score_partition(score, seed, chosen, partition)
    return score


def score_partition(score: Score, seed: int, scenario: Scenario, partition: Partition) -> None:
    """Count every key of a partition, for the detector and for the usual ways."""
    verdicts, told = partition.verdicts, partition.telling.told
    rules = rules_in_force(partition)
    alarms = watch_streams(told, partition.facts.end, rules)
    score.inputs += len(told)
    score.restarts += verdicts.restarts
    for name, count in verdicts.counts.items():
        score.counts[name] = score.counts.get(name, 0) + count
    begins = partition.telling.begins
    lost, noticed = lost_stretches(partition), noticed_stretches(partition)
    declared = [0, 0, 0]
    wrong = [("", f"two payloads of id {each}") for each in verdicts.second_payloads] + partition.broken
    if scenario.promise is Promise.COMPLETE and verdicts.unknown:
        wrong.append((next(iter(verdicts.unknown)), "unverifiable, though nothing was lost"))
    for life in partition.facts.lives:
        left, right = left_pieces(life), right_pieces(life)
        cases = [build_case(life, (left, right), scenario, partition, term) for term in partition.terms]
        for case, term in zip(cases, partition.terms, strict=True):
            wrong += [(life.key, what) for what in score_key(score, case, term.verdicts)]
        case = join_cases(cases, verdicts)
        hourly = compare_hourly(left, right, (begins, partition.facts.end), rules)
        for name, mine in (*alarms.items(), (HOURLY, {life.key: hourly})):
            score_alarms(score.baselines.setdefault(name, Tally()), mine.get(life.key, ()), case)
        score.key_us += partition.facts.end - begins
        for number, each in enumerate((case.unknown, lost.get(life.key, []), noticed.get(life.key, []))):
            declared[number] += measure(each, (begins, partition.end))
    score.partitions.append((declared[0], declared[1], declared[2]))
    score.unverifiable_us += declared[0]
    score.omniscient_us += declared[1]
    score.noticed_us += declared[2]
    known = partition.facts.life_of
    wrong += [(key, "a key that never was") for key in verdicts.stretches if key not in known]
    score.failures += [Failure(seed, scenario.name, key, what) for key, what in wrong]


def rules_in_force(partition: Partition) -> Sequence[Switch]:
    """What the usual ways take for equal: they follow every change of the rule, at its time."""
    if len(partition.terms) == 1:
        return AT_ALL
    return [(max(term.begins, -FOREVER), term.version.agrees) for term in partition.terms]


def build_case(
    life: KeyLife, sides: tuple[Pieces, Pieces], scenario: Scenario, partition: Partition, term: Term
) -> Case:
    """A key's truth under one version of the rule, as far as that judges, beside what it published."""
    shift, end = scenario.manner.left_offset_us, partition.end
    window = term.version.rule.window
    bounds = Bounds(window.lag_us, window.lead_us, max(end - shift, START) + 600_000_000)
    if term.version is not FIRST:
        bounds = bounds._replace(tolerances=term.version.tolerances)
    found = _clip(find_violations(*sides, bounds), (term.begins - shift, term.until - shift))
    fields = {name: [(start + shift, until + shift) for start, until in mine] for name, mine in found.items()}
    _, every = find_drifts(life, found, shift)
    begins = partition.telling.begins + LAG + SKEW if scenario.manner.streams_from_s else START
    drifts, _ = find_drifts(life, _clip(found, (begins, end - SKEW - shift)), shift)
    told, unknown = term.verdicts.stretches.get(life.key, []), term.verdicts.unknown.get(life.key, [])
    return Case(life.key, fields, every, drifts, told, unknown)


def _clip(found: dict[int, Intervals], span: tuple[int, int]) -> dict[int, Intervals]:
    start, until = span
    clipped = {
        name: [(max(a, start), min(b, until)) for a, b in mine if max(a, start) < min(b, until)]
        for name, mine in found.items()
    }
    return {name: mine for name, mine in clipped.items() if mine}


def join_cases(cases: Sequence[Case], verdicts: Verdicts) -> Case:
    """A key's truth under all versions, each in its time, beside all that was published."""
    [first, *others] = cases
    if not others:
        return first
    fields: dict[int, Intervals] = {}
    for case in cases:
        for name, mine in case.fields.items():
            fields.setdefault(name, []).extend(mine)
    every = [interval for case in cases for interval in case.every]
    drifts = [drift for case in cases for drift in case.drifts]
    told, unknown = verdicts.stretches.get(first.key, []), verdicts.unknown.get(first.key, [])
    return Case(first.key, fields, every, drifts, told, unknown)


_REACH = {Side.LEFT: (0, 0), Side.RIGHT: (LEAD + SKEW, LAG + SKEW)}
"""How far before and after itself what is unknown of a side leaves nothing to say."""


def lost_stretches(partition: Partition) -> dict[str, Intervals]:
    """Where somebody who knew exactly what was lost would have nothing to say: from each lost change to the
    next one of its key that was told, or the next sweep, as far as its effect reaches."""
    found: dict[str, Intervals] = {}
    for side, lost in partition.telling.lost.items():
        for key, at in lost:
            found.setdefault(key, []).append(_until_heard_of(partition, side, key, (at, at + 1)))
    return found


def noticed_stretches(partition: Partition) -> dict[str, Intervals]:
    """The same for somebody who knew each stretch in which something was lost, and not of which key: of every
    key, from the beginning of the stretch on."""
    found: dict[str, Intervals] = {}
    for side, start, until in partition.telling.notices:
        for key in partition.facts.life_of:
            found.setdefault(key, []).append(_until_heard_of(partition, side, key, (start, until)))
    return found


def _until_heard_of(partition: Partition, side: Side, key: str, lost: tuple[int, int]) -> tuple[int, int]:
    telling, life = partition.telling, partition.facts.life_of[key]
    times = [c.at for c in life.commits] if side is Side.LEFT else telling.closes(life)
    ends = [t for t in times if t >= lost[1] and (key, t) not in partition.missing[side]]
    ends += [t for t in telling.sweeps if t >= lost[1]]
    before, after = _REACH[side]
    return lost[0] - before, min(ends, default=partition.facts.end) + after

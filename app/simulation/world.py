"""One seeded world from its birth to its score; the same seed is the same world."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from app.detector.model import Side
from app.simulation.baselines import HOURLY, Alarms, compare_hourly, watch_streams
from app.simulation.confirming import Confirming
from app.simulation.histories import START, KeyLife
from app.simulation.judging import Mortal, Stretch, Verdicts, judge
from app.simulation.life import LAG, LEAD, SKEW, build_lives
from app.simulation.manner import Facts
from app.simulation.scenarios import SCENARIOS, Promise, Scenario, Size
from app.simulation.score import Case, Failure, Score, Tally, find_drifts, measure, score_alarms, score_key
from app.simulation.telling import Telling
from app.simulation.truth import Bounds, Intervals, Pieces, find_violations, left_pieces, right_pieces


@dataclass(slots=True)
class Partition:
    """What happened, what was told of it, and what was published."""

    facts: Facts
    telling: Telling
    verdicts: Verdicts
    end: int = field(init=False)

    def __post_init__(self) -> None:
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
    if scenario.manner.restarts:
        verdicts = Mortal(r, from_empty=from_empty).run(telling.told)
    elif scenario.manner.confirms:
        verdicts = Confirming(r, facts, scenario.manner).run(telling.told, from_empty=from_empty)
    else:
        verdicts = judge(telling.told, from_empty=from_empty)
    return Partition(facts, telling, verdicts)


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
    alarms = watch_streams(told, partition.facts.end)
    score.inputs += len(told)
    score.restarts += verdicts.restarts
    for name, count in verdicts.counts.items():
        score.counts[name] = score.counts.get(name, 0) + count
    begins = partition.telling.begins
    lost = lost_stretches(partition)
    wrong: list[tuple[str, str]] = [("", f"two payloads of id {each}") for each in verdicts.second_payloads]
    if scenario.promise is Promise.COMPLETE and verdicts.unknown:
        wrong.append((next(iter(verdicts.unknown)), "unverifiable, though nothing was lost"))
    for life in partition.facts.lives:
        left, right = left_pieces(life), right_pieces(life)
        case = build_case(life, (left, right), scenario, partition)
        wrong += [(life.key, what) for what in score_key(score, case, verdicts)]
        _score_baselines(score, alarms, case, ((left, right), (begins, partition.facts.end)))
        score.key_us += partition.facts.end - begins
        score.unverifiable_us += measure(case.unknown, (begins, partition.end))
        score.omniscient_us += measure(lost.get(life.key, []), (begins, partition.end))
    known = partition.facts.life_of
    wrong += [(key, "a key that never was") for key in verdicts.stretches if key not in known]
    score.failures += [Failure(seed, scenario.name, key, what) for key, what in wrong]


def build_case(life: KeyLife, sides: tuple[Pieces, Pieces], scenario: Scenario, partition: Partition) -> Case:
    """A key's truth, as far as it is judged, beside what was published about it."""
    shift, end = scenario.manner.left_offset_us, partition.end
    found = find_violations(*sides, Bounds(LAG, LEAD, max(end - shift, START) + 600_000_000))
    fields = {name: [(start + shift, until + shift) for start, until in mine] for name, mine in found.items()}
    _, every = find_drifts(life, found, shift)
    begins = partition.telling.begins + LAG + SKEW if scenario.manner.streams_from_s else START
    judged = {name: _clip(mine, (begins, end - SKEW - shift)) for name, mine in found.items()}
    drifts, _ = find_drifts(life, {name: mine for name, mine in judged.items() if mine}, shift)
    told: list[Stretch] = partition.verdicts.stretches.get(life.key, [])
    return Case(life.key, fields, every, drifts, told, partition.verdicts.unknown.get(life.key, []))


def _clip(intervals: Intervals, span: tuple[int, int]) -> Intervals:
    return [(max(a, span[0]), min(b, span[1])) for a, b in intervals if max(a, span[0]) < min(b, span[1])]


def _score_baselines(
    score: Score,
    alarms: dict[str, Alarms],
    case: Case,
    world: tuple[tuple[Pieces, Pieces], tuple[int, int]],
) -> None:
    for name, mine in alarms.items():
        score_alarms(score.baselines.setdefault(name, Tally()), mine.get(case.key, ()), case)
    sides, span = world
    score_alarms(score.baselines.setdefault(HOURLY, Tally()), compare_hourly(*sides, span), case)


def lost_stretches(partition: Partition) -> dict[str, Intervals]:
    """Where somebody who knew exactly what was lost would have nothing to say: from each lost change to the
    next one of its key that was told, or the next sweep, as far as its effect reaches."""
    found: dict[str, Intervals] = {}
    lost, facts = partition.telling.lost, partition.facts
    sweeps = sorted(at for at in partition.telling.sweeps)
    for side, before, after in ((Side.LEFT, 0, 0), (Side.RIGHT, LEAD + SKEW, LAG + SKEW)):
        missing = set(lost[side])
        for key, at in lost[side]:
            life = facts.life_of[key]
            times = [c.at for c in life.commits] if side is Side.LEFT else partition.telling.closes(life)
            ends = [t for t in times if t > at and (key, t) not in missing]
            ends += [t for t in sweeps if t > at]
            until = min(ends, default=facts.end)
            found.setdefault(key, []).append((at - before, until + after))
    return found

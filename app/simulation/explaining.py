"""The story of one key of a seeded world: what was, what was told of it, what should be told and what was."""

from __future__ import annotations

from app.detector.model import SECOND, Side, Transition
from app.detector.values import format_time
from app.errors import Fatal
from app.explain.gathering import told_stretches
from app.explain.picture import Story
from app.simulation.judging import FIELDS, NUMBER_OF, RULE, Verdicts
from app.simulation.scenarios import Scenario
from app.simulation.score import Score, score_key
from app.simulation.truth import Pieces, left_pieces, right_pieces
from app.simulation.world import Partition, build_case, join_cases, live_partition

_NAME_OF = {number: name for name, number in NUMBER_OF.items()}


def tell_story(seed: int, scenario: Scenario, key: str) -> Story:
    """Live the world of a seed again for one key of it; raises Fatal where there is no such key."""
    for number in range(scenario.size.partitions):
        partition = live_partition(seed, scenario, scenario.size, number)
        if key in partition.facts.life_of:
            return _story(seed, scenario, partition, key)
    raise Fatal("explaining", key, "no such key in this world", "keys are named key-00000, key-00001 …")


def _story(seed: int, scenario: Scenario, partition: Partition, key: str) -> Story:
    life, verdicts = partition.facts.life_of[key], partition.verdicts
    sides = left_pieces(life), right_pieces(life)
    cases = [build_case(life, sides, scenario, partition, term) for term in partition.terms]
    wrong = [
        what
        for case, term in zip(cases, partition.terms, strict=True)
        for what in score_key(Score(), case, term.verdicts)
    ]
    wrong += [what for name, what in partition.broken if name == key]
    case = join_cases(cases, verdicts)
    manner, transitions = scenario.manner, _transitions(verdicts, key)
    unknown = [(start, min(until, partition.end)) for start, until in verdicts.pieces_of(key, Side.LEFT)]
    return Story(
        f"{scenario.name}, seed {seed}",
        key,
        FIELDS,
        RULE.window,
        _shift(sides[0], manner.left_offset_us),
        _shift(sides[1], manner.right_offset_us),
        verdicts.verified_through,
        {_NAME_OF[field]: case.fields[field] for field in sorted(case.fields)},
        told_stretches(transitions, verdicts.verified_through),
        unknown,
        verdicts.pieces_of(key, Side.RIGHT),
        transitions,
        [
            *wrong,
            *_versions(partition),
            *(f"planted: {each.cause} at {format_time(each.at)}" for each in life.planted),
        ],
    )


def _versions(partition: Partition) -> list[str]:
    """What each version of the rule says, where there are several; the right side is drawn by the first."""
    found = []
    for version, begins, _, _ in partition.terms[1:]:
        rule, window = version.rule, version.rule.window
        fields = [each.name + (f" within {each.absolute}" if each.absolute else "") for each in rule.fields]
        found.append(
            f"version {rule.version} judges from {format_time(begins)} on: lag {window.lag_us // SECOND} s, "
            f"lead {window.lead_us // SECOND} s; {', '.join(fields)}"
        )
    return found


def _shift(pieces: Pieces, by: int) -> Pieces:
    return [(begin + by, value) for begin, value in pieces]


def _transitions(verdicts: Verdicts, key: str) -> list[Transition]:
    """Once each, though a restart told them twice."""
    found: dict[str, Transition] = {}
    for _, told in verdicts.transitions:
        if told.value["key"] == key:
            found.setdefault(told.ce_id, told)
    return list(found.values())

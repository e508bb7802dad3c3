"""The versions of the simulated rule, for detector and truth, and the time in which each judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from app.detector.model import INFINITY, SECOND, Field, FieldType, Rule, Severity, Value, Window
from app.simulation.judging import FIELDS, RULE, Verdicts
from app.simulation.life import LAG, LEAD, MIN, SKEW

_LIMIT, _AVAILABLE, _STATUS = FIELDS


class Version(NamedTuple):
    """`rule` as the detector knows it; `columns`: which scalars of a simulated line its fields are."""

    rule: Rule
    columns: tuple[int, ...]

    @property
    def tolerances(self) -> Mapping[int, int]:
        """By column, the most by which the sides may differ."""
        return {column: each.absolute for column, each in zip(self.columns, self.rule.fields, strict=True)}

    def see(self, value: Value) -> Value:
        """A line as this version reads it."""
        return tuple(value[column] for column in self.columns) if isinstance(value, tuple) else value

    def agrees(self, left: object, right: object) -> bool:
        """Is there no difference between two lines?"""
        if not isinstance(left, tuple) or not isinstance(right, tuple):
            return left == right
        return all(
            left[column] == right[column] or (most and abs(left[column] - right[column]) <= most)
            for column, most in self.tolerances.items()
        )


class Term(NamedTuple):
    """A version judges the instants of [begins, until), by the left's clock; what it published about them."""

    version: Version
    begins: int
    until: int
    verdicts: Verdicts


FIRST: Final = Version(RULE, (0, 1, 2))
VERSIONS: Final = (
    FIRST,
    Version(
        Rule(
            RULE.id,
            2,
            (
                replace(_STATUS, severities=((-1, Severity.CRITICAL),)),
                replace(_LIMIT, absolute=5, severities=((-1, Severity.LOW), (100, Severity.HIGH))),
            ),
            Window(LAG + 15 * SECOND, LEAD + 5 * SECOND, SKEW, MIN // 2),
            existence_severity=Severity.HIGH,
        ),
        (2, 0),
    ),
    Version(
        Rule(
            RULE.id,
            3,
            (Field(_AVAILABLE.name, FieldType.AMOUNT, 7), replace(_LIMIT, absolute=6), _STATUS),
            Window(LAG, LEAD + 2 * SECOND, SKEW, MIN),
        ),
        (1, 0, 2),
    ),
)
"""Other fields, in another order, other tolerances, windows and severities. No window is narrower than the
first one's, so that every drift under any of them has been planted."""


def whole(verdicts: Verdicts) -> list[Term]:
    """The first version judges everything."""
    return [Term(FIRST, -INFINITY, INFINITY, verdicts)]


def together(terms: list[Term]) -> Verdicts:
    """What all versions published, one after the other; each one's unknown pieces as far as it judges."""
    if len(terms) == 1:
        return terms[0].verdicts
    found = Verdicts(verified_through=terms[-1].verdicts.verified_through)
    for _, begins, until, mine in terms:
        found.transitions += mine.transitions
        found.second_payloads += mine.second_payloads
        found.restarts += mine.restarts
        for key, stretches in mine.stretches.items():
            found.stretches.setdefault(key, []).extend(stretches)
        for (key, side, start), end in mine.pieces.items():
            if max(start, begins) < min(end, until):
                found.pieces[key, side, max(start, begins)] = min(end, until)
        for key, intervals in mine.unknown.items():
            found.unknown.setdefault(key, []).extend(
                (max(start, begins), min(end, until)) for start, end in intervals
            )
        for name, count in mine.counts.items():
            found.counts[name] = found.counts.get(name, 0) + count
    return found

"""The truth of a demo, by brute force from the definition of drift; shares no code with the detector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from app.demo.lines import History

FOREVER = 1 << 62

Compared = tuple[Any, ...] | Literal["out"]
"""What a rule compares of a row or an entry, field by field; out of its scope it agrees with anything."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rule's window in microseconds."""

    lag_us: int
    lead_us: int
    skew_us: int
    min_us: int

    @property
    def surely_found_us(self) -> int:
        """A violation longer than this must be found whatever the clocks do within `skew`."""
        return 4 * self.skew_us + self.min_us

    @property
    def decided_after_us(self) -> int:
        """From a violation's start until nothing more can change the verdict: both marks are past it."""
        return self.min_us + self.lead_us + self.skew_us


@dataclass(frozen=True, slots=True)
class Violation:
    """A maximal time in which a row was not what the chain held within the window: [from, until)."""

    from_us: int
    until_us: int


def find_violations(left: History[Compared], right: History[Compared], window: Window) -> list[Violation]:
    """All violations of a key, in order; the last one lasts `FOREVER` where nothing ended it."""
    found: list[Violation] = []
    for start, until in _moments(left, right, window):
        if in_sync(left, right, start, window):
            continue
        if found and found[-1].until_us == start:
            found[-1] = Violation(found[-1].from_us, until)
        else:
            found.append(Violation(start, until))
    return found


def in_sync(left: History[Compared], right: History[Compared], at_us: int, window: Window) -> bool:
    """InSync(t) for every field: the row equals something that the chain held in [t - lag, t + lead]."""
    row = left.at(at_us)
    if row == "out":
        return True
    held = right.between(at_us - window.lag_us, at_us + window.lead_us)
    if row is None:
        return None in held
    if all(other is None for other in held):
        return False
    return None in held or all(
        any(other is not None and value == other[index] for other in held) for index, value in enumerate(row)
    )


def _moments(left: History[Compared], right: History[Compared], window: Window) -> Iterator[tuple[int, int]]:
    """Consecutive times between which the answer cannot change."""
    cuts = set(left.times)
    for at in right.times:
        cuts.update((at - window.lead_us, at + window.lag_us))
    yield from pairwise([*sorted(cuts), FOREVER])

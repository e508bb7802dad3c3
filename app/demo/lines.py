"""What a credit line is to both sides of the demo, and the state that each side is in at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Generic, NamedTuple, TypeVar

STROOPS = 10_000_000
"""Base units of one whole unit: the contract counts in them, the table has seven decimal places."""

STATUSES = ("active", "suspended", "defaulted", "closed", "restricted")
"""By the contract's number."""

State = TypeVar("State")
Seen = TypeVar("Seen")


class Line(NamedTuple):
    """A credit line as the contract holds it; amounts in stroops."""

    credit_limit: int
    utilized: int
    rate_bps: int
    status: str = "active"


class Row(NamedTuple):
    """What the rule compares of a row in `public.credit_lines`; amounts in stroops."""

    credit_limit: int
    available: int
    rate_bps: int
    status: str

    @classmethod
    def of(cls, line: Line) -> Row:
        """The row that an application without a fault writes for a line."""
        return cls(line.credit_limit, line.credit_limit - line.utilized, line.rate_bps, line.status)


def decimal_of(stroops: int) -> Decimal:
    """The amount as the table stores it."""
    return Decimal(stroops).scaleb(-7)


@dataclass(slots=True)
class History(Generic[State]):
    """What one side of one key really was: `states[i]` from `times[i]` (microseconds) on; None is absent.

    Before the first time it was absent.
    """

    times: list[int] = field(default_factory=list)
    states: list[State | None] = field(default_factory=list)

    def add(self, at_us: int, state: State | None) -> None:
        """From `at_us` on it is `state`; times come in order."""
        self.times.append(at_us if not self.times else max(at_us, self.times[-1]))
        self.states.append(state)

    def at(self, at_us: int) -> State | None:
        """The state in force at a time."""
        index = bisect_right(self.times, at_us) - 1
        return None if index < 0 else self.states[index]

    def seen(self, view: Callable[[State | None], Seen | None]) -> History[Seen]:
        """The same history of what a rule sees of each state."""
        return History(self.times, [view(state) for state in self.states])

    def between(self, from_us: int, to_us: int) -> list[State | None]:
        """Every state in force at some time in [from, to], both ends included."""
        first = bisect_right(self.times, from_us) - 1
        last = bisect_right(self.times, to_us) - 1
        before: list[State | None] = [None] if first < 0 else []
        return before + self.states[max(first, 0) : last + 1]

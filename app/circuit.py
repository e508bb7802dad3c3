"""When something remote is worth calling: a circuit that opens after failures and is tried again later."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Circuit(StrEnum):
    """`closed`: it is called; `open`: it is left alone; `half_open`: one call tries whether it is back."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Endurance:
    """How many failures in a row open a circuit, and for how long: `rest_s` at first, twice as long each
    time that the trial fails too. A time that it names itself holds instead, up to `rest_max_s`."""

    failures: int = 3
    rest_s: float = 5.0
    rest_max_s: float = 300.0


class Breaker:
    """One circuit. Times are those of a monotonic clock, in seconds."""

    def __init__(self, endurance: Endurance = Endurance()) -> None:
        self._endurance = endurance
        self._failures = self._openings = 0
        self._until: float | None = None

    def circuit(self, now_s: float) -> Circuit:
        """How it stands at this moment."""
        if self._until is None:
            return Circuit.CLOSED
        return Circuit.OPEN if now_s < self._until else Circuit.HALF_OPEN

    def rests_s(self, now_s: float) -> float:
        """How long it is still left alone; 0 for one that may be called."""
        return 0.0 if self._until is None else max(0.0, self._until - now_s)

    def succeed(self) -> None:
        """It answered."""
        self._failures = self._openings = 0
        self._until = None

    def fail(self, now_s: float, named_s: float | None = None) -> None:
        """It did not; `named_s` is the time that it named itself."""
        limits = self._endurance
        self._failures += 1
        if named_s is not None:
            self._until = now_s + min(named_s, limits.rest_max_s)
        elif self._until is not None or self._failures >= limits.failures:
            rest = limits.rest_s * 2.0 ** min(self._openings, 20)
            self._openings += 1
            self._until = now_s + min(rest, limits.rest_max_s)

    def refuse(self, now_s: float) -> None:
        """It will hardly answer before a person has done something."""
        self._until = now_s + self._endurance.rest_max_s

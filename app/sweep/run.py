"""The record of a run on `drift.status`: who, since when, how far."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.detector.model import Side
from app.detector.values import derive_id, format_time
from app.rules import LoadedRule


@dataclass(slots=True)
class SeedRun:
    """A seed of one rule. A seed compares nothing: what it read is `in_flight` to the detector,
    `unverifiable` where a value is there and could not be read, `errors` where not even a key could."""

    loaded: LoadedRule
    started_at: int
    read: dict[Side, int] = field(default_factory=lambda: {Side.LEFT: 0, Side.RIGHT: 0})
    in_flight: int = 0
    unverifiable: int = 0
    errors: int = 0
    stood_still_s: float = 0.0
    """For workers that were behind."""

    @property
    def id(self) -> str:
        """Derived from the rule and the time of the start."""
        return derive_id("seed", self.loaded.rule.id, self.loaded.digest, self.started_at)

    def stand_still(self, seconds: float) -> None:
        """Count a pause for the workers' sake."""
        self.stood_still_s += seconds

    def record(
        self, state: str, finished_at: int | None = None, cause: str | None = None
    ) -> dict[str, object]:
        """The message; `in_sync` to `errors` add up to `checked`."""
        return {
            "rule": self.loaded.rule.id,
            "rule_version": self.loaded.rule.version,
            "digest": self.loaded.digest,
            "run": self.id,
            "kind": "seed",
            "state": state,
            "started_at": format_time(self.started_at),
            "finished_at": None if finished_at is None else format_time(finished_at),
            "checked": self.in_flight + self.unverifiable + self.errors,
            "in_sync": 0,
            "drifting": 0,
            "in_flight": self.in_flight,
            "exempt": 0,
            "unverifiable": self.unverifiable,
            "repaired": 0,
            "errors": self.errors,
            "progress": {side.value: count for side, count in self.read.items()},
            "cause": cause,
        }

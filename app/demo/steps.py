"""What a planted drift consists of: which side is written what, and when (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.demo.truth import Window

SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class ChainStep:
    """`after_us` from the planting on, hand this line to the contract; None as `event`: without telling."""

    after_us: int
    line: Any
    event: str | None


@dataclass(frozen=True, slots=True)
class RowStep:
    """`after_us` from the planting on, make the row this; None: delete it."""

    after_us: int
    row: Any


Step = ChainStep | RowStep


@dataclass(frozen=True, slots=True)
class Delays:
    """What a planter must wait for. `follow_us`: a ledger has closed and a good application has followed;
    `late_us`: it is drift for sure, and long enough to be found; `wrong_us`: the same, with no lag to wait
    for."""

    follow_us: int
    late_us: int
    wrong_us: int

    @classmethod
    def of(cls, window: Window, ledger_us: int) -> Delays:
        wrong_us = window.surely_found_us + window.lead_us + 2 * SECOND_US
        return cls(ledger_us + window.lag_us // 4, ledger_us + window.lag_us + wrong_us, wrong_us)

"""The demo's world: borrowers, how each one's row follows its credit line, what drifts when."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from app.demo.lines import STROOPS, History, Line, Row
from app.demo.truth import Compared, Violation, Window, find_violations

SECOND_US = 1_000_000


class Planted(StrEnum):
    """The kinds of drift that are planted."""

    MISSED_UPDATE = "missed_update"
    MANUAL_EDIT = "manual_edit"
    MISSING_ROW = "missing_row"
    ROW_WITHOUT_ENTRY = "row_without_entry"
    LATE_UPDATE = "late_update"
    WRONG_VALUE = "wrong_value"
    WRONG_STATUS = "wrong_status"
    BEFORE_START = "before_start"


@dataclass(frozen=True, slots=True)
class WorldShape:
    """How big and how busy. `planted_of_each`: drifts of each kind; `early_share`: borrowers there before."""

    seed: int
    borrowers: int
    seconds: float
    changes_per_s: int
    window: Window
    planted_of_each: int = 8
    hot_keys: int = 20
    early_share: float = 0.5


@dataclass(slots=True)
class Borrower:
    """One key: both sides as they really were, and what the world intends with it.

    `leads`: its application writes the row first and the contract follows; otherwise the row follows.
    `line` is the state that the application intends now, ahead of both histories.
    """

    index: int
    address: str
    leads: bool
    line: Line | None = None
    rows: History[Row] = field(default_factory=History)
    entries: History[Line] = field(default_factory=History)
    plan: Plant | None = None
    busy: bool = False

    @property
    def key(self) -> str:
        """What the rule calls it."""
        return self.address

    def violations(self, window: Window) -> list[Violation]:
        """When row and entry really disagreed."""
        left: History[Compared] = self.rows.seen(lambda row: row)
        return find_violations(left, self.entries.seen(lambda line: line and Row.of(line)), window)


@dataclass(slots=True)
class Plant:
    """A drift to plant, `at_s` seconds into the load; one that does not heal stays for good."""

    kind: Planted
    borrower: Borrower
    at_s: float
    heals: bool
    planted_us: int | None = None

    @property
    def subject(self) -> Borrower:
        """The key that drifts."""
        return self.borrower

    @property
    def is_from_before(self) -> bool:
        """Was it there before driftwatch was?"""
        return self.kind is Planted.BEFORE_START

    @property
    def is_drift(self) -> bool:
        """All kinds are."""
        return True


class World:
    """All that is random in a demo, drawn from its seed in one order; whoever runs it adds the clock."""

    noun: Final = "borrowers"

    def __init__(self, shape: WorldShape, addresses: list[str]) -> None:
        self.shape, self.random = shape, random.Random(shape.seed)
        self.borrowers = [
            Borrower(index, address, leads=index % 3 == 0) for index, address in enumerate(addresses)
        ]
        self.by_address = {borrower.address: borrower for borrower in self.borrowers}
        early = int(len(self.borrowers) * shape.early_share)
        self.early, self.late = self.borrowers[:early], self.borrowers[early:]
        for borrower in self.early:
            borrower.line = self.draw_line()
        self.plants = self._plan()
        planned = {id(plant.borrower) for plant in self.plants}
        self.hot = [each for each in self.early if id(each) not in planned][: shape.hot_keys]
        self.live = [each for each in self.early if id(each) not in planned]
        self.unborn = [each for each in self.late if id(each) not in planned]

    @property
    def subjects(self) -> list[Borrower]:
        """Every key."""
        return self.borrowers

    @property
    def kinds(self) -> list[str]:
        """What is planted."""
        return [kind.value for kind in Planted]

    def _plan(self) -> list[Plant]:
        """Plants of every kind, spread over the load with time left to be judged; half of them heal."""
        plants: list[Plant] = []
        from_early = iter(self.random.sample(self.early, len(Planted) * self.shape.planted_of_each))
        from_late = iter(self.random.sample(self.late, 2 * self.shape.planted_of_each))
        for kind in Planted:
            for number in range(self.shape.planted_of_each):
                unborn = kind in {Planted.MISSING_ROW, Planted.ROW_WITHOUT_ENTRY}
                borrower = next(from_late if unborn else from_early)
                borrower.leads = False
                share = (number + self.random.random()) / self.shape.planted_of_each
                at_s = 0.0 if kind is Planted.BEFORE_START else self.shape.seconds * (0.04 + 0.8 * share)
                borrower.plan = Plant(kind, borrower, at_s, heals=number % 2 == 0)
                plants.append(borrower.plan)
        return sorted(plants, key=lambda plant: plant.at_s)

    # ---- what the load asks for

    def birth_of(self, borrower: Borrower) -> tuple[Line, str]:
        """The line as it is opened."""
        return self.draw_line(), "opened"

    def draw_subject(self) -> Borrower:
        """Whose turn it is."""
        return self.draw_borrower()

    def change_of(self, line: Line) -> tuple[Line, str]:
        """What happens to a line."""
        return self.draw_change(line), "drawn"

    def row_of(self, line: Line) -> Row:
        """The row that a good application writes."""
        return Row.of(line)

    # ---- draws

    def draw_line(self) -> Line:
        """A line as a contract might hold it: some round amounts, some down to the last stroop."""
        limit = self.random.randrange(100, 50_000) * STROOPS
        if self.random.random() < 0.5:
            limit += self.random.randrange(STROOPS)
        return Line(limit, self.random.randrange(limit), self.random.randrange(0, 3000))

    def draw_change(self, line: Line) -> Line:
        """The line after its borrower or its lender did something."""
        roll = self.random.random()
        if roll < 0.55:
            return line._replace(utilized=self.random.randrange(line.credit_limit))
        if roll < 0.8:
            return line._replace(utilized=line.utilized // 2)
        if roll < 0.9:
            return line._replace(credit_limit=line.credit_limit + self.random.randrange(1, 100) * STROOPS)
        if roll < 0.96:
            return line._replace(rate_bps=self.random.randrange(0, 3000))
        return line._replace(status="active" if line.status == "suspended" else "suspended")

    def draw_borrower(self) -> Borrower:
        """Whose turn it is: one in five changes is on a hot key."""
        hot = self.random.random() < 0.2
        return self.random.choice(self.hot if hot else self.live)

    def draw_delay_us(self) -> int:
        """How long after the ledger's close the row follows: at most 0.6 of the lag."""
        return int(self.shape.window.lag_us * (0.02 + 0.58 * self.random.random() ** 2))

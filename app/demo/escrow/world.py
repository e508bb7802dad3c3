"""The escrow demo's world: invoices, how each one's rows follow its escrow, what drifts when."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from app.demo.escrow.books import Books, Escrow, see_books, see_escrow
from app.demo.escrow.contract import contract_address, person_address
from app.demo.lines import STROOPS, History
from app.demo.truth import Compared, Violation, Window, find_violations
from app.demo.world import WorldShape


class Planted(StrEnum):
    """What is planted; `left_scope` is no drift."""

    MISSED_UPDATE = "missed_update"
    LATE_UPDATE = "late_update"
    MANUAL_EDIT = "manual_edit"
    WRONG_VALUE = "wrong_value"
    WRONG_PARTY = "wrong_party"
    MISSING_SUMMARY = "missing_summary"
    DELETED_INVOICE = "deleted_invoice"
    MISSING_ESCROW = "missing_escrow"
    WRONG_CONTRACT = "wrong_contract"
    UNMAPPED = "unmapped"
    UNHELD_ID = "unheld_id"
    INSERTED_WRONG = "inserted_wrong"
    BEFORE_START = "before_start"
    LEFT_SCOPE = "left_scope"


DRIFTS: Final = tuple(kind for kind in Planted if kind is not Planted.LEFT_SCOPE)
WITHOUT_ROWS: Final = frozenset({Planted.MISSING_ESCROW, Planted.INSERTED_WRONG})
"""Invoices that nobody knows, nor their contracts, until they are planted."""
_OF_UNBORN: Final = WITHOUT_ROWS | {Planted.UNHELD_ID}
_NEVER_HEAL: Final = frozenset({Planted.WRONG_CONTRACT, Planted.UNMAPPED, Planted.UNHELD_ID})
"""A mapping takes effect with the ledger after the poller has met it: its end would be known only roughly."""


def escrow_of(key: str, funded: int, target: int) -> Escrow:
    """An invoice's escrow, open. The contract keeps the id as a symbol, which holds no hyphen."""
    sme, admin = person_address("SME", key), person_address("issuer", key)
    return Escrow(contract_address(key), key.replace("-", "_"), sme, admin, target, funded)


DECOY: Final = escrow_of("DECOY", 7 * STROOPS, 100 * STROOPS)
"""The escrow of somebody else, to which wrong mappings lead."""


@dataclass(slots=True)
class Invoice:
    """One key: both sides as they really were, and what the world intends with it. `line` is the escrow that
    the application intends now, ahead of both histories."""

    index: int
    key: str
    leads: bool
    line: Escrow | None = None
    rows: History[Books] = field(default_factory=History)
    entries: History[Escrow] = field(default_factory=History)
    plan: Plant | None = None
    busy: bool = False

    @property
    def escrow(self) -> Escrow:
        """The escrow that it has, or will have."""
        return self.line or escrow_of(self.key, 0, 1000 * STROOPS)

    @property
    def is_known(self) -> bool:
        """Whether it has rows from the start."""
        return self.plan is None or self.plan.planted not in WITHOUT_ROWS

    def violations(self, window: Window) -> list[Violation]:
        """When its rows and its escrow really disagreed; an id that no contract can hold has no escrow."""
        left: History[Compared] = self.rows.seen(lambda books: see_books(self.key, books))
        right: History[Compared] = self.entries.seen(see_escrow)
        if "-" in self.key:
            right = History()
        return find_violations(left, right, window)


@dataclass(slots=True)
class Plant:
    """Something to plant, `at_s` seconds into the load; a drift that does not heal stays for good."""

    planted: Planted
    subject: Invoice
    at_s: float
    heals: bool
    planted_us: int | None = None

    @property
    def kind(self) -> str:
        return self.planted.value

    @property
    def is_from_before(self) -> bool:
        """Was it there before driftwatch was?"""
        return self.planted is Planted.BEFORE_START

    @property
    def is_drift(self) -> bool:
        """Must it be told? (Else it must not.)"""
        return self.planted is not Planted.LEFT_SCOPE


class EscrowWorld:
    """All that is random in a demo, drawn from its seed in one order; whoever runs it adds the clock.

    Every invoice has its contract's address from the start; the later half are drafts, without a contract on
    the chain and out of the rule's scope, until they are born.
    """

    noun: Final = "invoices"

    def __init__(self, shape: WorldShape) -> None:
        self.shape, self.random = shape, random.Random(shape.seed)
        early = int(shape.borrowers * shape.early_share)
        planned = self._choose(early)
        self.subjects = [
            Invoice(index, self._key_of(index, planned.get(index)), leads=index % 3 == 0)
            for index in range(shape.borrowers)
        ]
        self.early, self.late = self.subjects[:early], self.subjects[early:]
        for invoice in self.early:
            invoice.line = self._draw_escrow(invoice.key, is_funded=invoice.index in planned)
        self.plants = self._plan(planned)
        free = [each for each in self.early if each.plan is None]
        self.hot, self.live = free[: shape.hot_keys], list(free)
        self.unborn = [each for each in self.late if each.plan is None]

    @property
    def kinds(self) -> list[str]:
        """The drifts that are planted."""
        return [kind.value for kind in DRIFTS]

    def _choose(self, early: int) -> dict[int, Planted]:
        """Which invoice, by its index, is to be planted with what."""
        count = self.shape.planted_of_each
        old = iter(self.random.sample(range(early), (len(Planted) - len(_OF_UNBORN)) * count))
        new = iter(self.random.sample(range(early, self.shape.borrowers), len(_OF_UNBORN) * count))
        return {next(new if kind in _OF_UNBORN else old): kind for kind in Planted for _ in range(count)}

    def _key_of(self, index: int, planted: Planted | None) -> str:
        mark = "-" if planted is Planted.UNHELD_ID else "_"
        return f"INV{mark}{self.shape.seed}{mark}{index:05d}"

    def _plan(self, planned: dict[int, Planted]) -> list[Plant]:
        """Spread over the load with time left to be judged; half of those that may, heal."""
        plants: list[Plant] = []
        numbers = dict.fromkeys(Planted, 0)
        for index, kind in planned.items():
            number, numbers[kind] = numbers[kind], numbers[kind] + 1
            invoice = self.subjects[index]
            invoice.leads = False
            share = (number + self.random.random()) / self.shape.planted_of_each
            at_s = 0.0 if kind is Planted.BEFORE_START else self.shape.seconds * (0.04 + 0.8 * share)
            invoice.plan = Plant(kind, invoice, at_s, number % 2 == 0 and kind not in _NEVER_HEAL)
            plants.append(invoice.plan)
        return sorted(plants, key=lambda plant: plant.at_s)

    # ---- what the load asks for

    def birth_of(self, invoice: Invoice) -> tuple[Escrow, str]:
        """Its contract is made, with nothing funded yet."""
        return self._draw_escrow(invoice.key, is_funded=False)._replace(funded=0), "escrow_initialized"

    def draw_subject(self) -> Invoice:
        """Whose turn it is: one in five changes is on a hot key."""
        hot = self.random.random() < 0.2
        return self.random.choice(self.hot if hot and self.hot else self.live)

    def change_of(self, line: Escrow) -> tuple[Escrow, str] | None:
        """What an investor or the SME did; None for one that is over, or stands still."""
        roll, room = self.random.random(), line.target - line.funded
        if line.status not in ("open", "funded"):
            return None
        if room <= 0:
            return (line._replace(status="settled"), "escrow_settled") if roll < 0.3 else None
        if line.funded and roll < 0.25:
            taken = line.funded if roll < 0.05 else self.random.randrange(1, line.funded + 1)
            return line._replace(funded=line.funded - taken), "escrow_unfunded"
        given = room if roll > 0.9 else self.random.randrange(1, room + 1)
        return grown(line, given), "escrow_funded"

    def row_of(self, line: Escrow) -> Books:
        """The rows that a good application writes."""
        return Books.of(line)

    def draw_delay_us(self) -> int:
        """How long after the ledger's close the rows follow: at most 0.6 of the lag."""
        return int(self.shape.window.lag_us * (0.02 + 0.58 * self.random.random() ** 2))

    def _draw_escrow(self, key: str, *, is_funded: bool) -> Escrow:
        """Some round amounts, some down to the last stroop; some without a summary."""
        target = self.random.randrange(100, 50_000) * STROOPS
        if self.random.random() < 0.5:
            target += self.random.randrange(STROOPS)
        funded = self.random.randrange(1, target) if is_funded or self.random.random() < 0.7 else 0
        return escrow_of(key, funded, target)


def grown(line: Escrow, by: int) -> Escrow:
    """The escrow after more was funded."""
    funded = line.funded + by
    target = max(line.target, funded)
    return line._replace(funded=funded, target=target, status="funded" if funded >= target else "open")

"""What each kind of planted drift of an invoice consists of (pure)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from app.demo.escrow.books import Books, Escrow
from app.demo.escrow.contract import person_address
from app.demo.escrow.world import DECOY, EscrowWorld, Plant, Planted, grown
from app.demo.steps import ChainStep, Delays, RowStep, Step


def plan_steps(world: EscrowWorld, plant: Plant, delays: Delays) -> list[Step]:
    """All that a plant does to both sides, its healing included."""
    steps = _PLANTERS[plant.planted](world, plant.subject.escrow, delays)
    always = (Planted.LATE_UPDATE, Planted.LEFT_SCOPE)
    return steps if plant.heals or plant.planted in always or len(steps) == 1 else steps[:-1]


def spoil(number: int, escrow: Escrow) -> tuple[Escrow | None, Books]:
    """Both sides of an invoice that had drifted before driftwatch started: four ways, in turn."""
    books = Books.of(escrow)
    return (
        (escrow, books._replace(sme=person_address("another SME", escrow.invoice))),
        (None, books),
        (escrow, books._replace(total=escrow.funded + 1)),
        (escrow, books._replace(total=None)),
    )[number % 4]


def _amount(world: EscrowWorld) -> int:
    return world.random.randrange(1, 1_000_000_000)


def _missed_update(world: EscrowWorld, escrow: Escrow, delays: Delays) -> list[Step]:
    more = grown(escrow, _amount(world))
    return [ChainStep(0, more, "escrow_funded"), RowStep(delays.late_us, Books.of(more))]


def _manual_edit(world: EscrowWorld, escrow: Escrow, delays: Delays) -> list[Step]:
    right = Books.of(escrow)
    wrong = right._replace(total=escrow.funded + _amount(world))
    return [RowStep(0, wrong), RowStep(delays.wrong_us, right)]


def _wrong_value(world: EscrowWorld, escrow: Escrow, delays: Delays) -> list[Step]:
    more = grown(escrow, _amount(world))
    right = Books.of(more)
    one_stroop_off = right._replace(total=more.funded + 1)
    return [
        ChainStep(0, more, "escrow_funded"),
        RowStep(delays.follow_us, one_stroop_off),
        RowStep(delays.late_us, right),
    ]


def _wrong_party(_: EscrowWorld, escrow: Escrow, delays: Delays) -> list[Step]:
    right = Books.of(escrow)
    wrong = right._replace(sme=person_address("another SME", escrow.invoice))
    return [RowStep(0, wrong), RowStep(delays.wrong_us, right)]


def _missing_summary(_: EscrowWorld, escrow: Escrow, delays: Delays) -> list[Step]:
    right = Books.of(escrow)
    return [RowStep(0, right._replace(total=None)), RowStep(delays.late_us, right)]


def _deleted_invoice(_: EscrowWorld, escrow: Escrow, delays: Delays) -> list[Step]:
    return [RowStep(0, None), RowStep(delays.late_us, Books.of(escrow))]


def _missing_escrow(_: EscrowWorld, escrow: Escrow, delays: Delays) -> list[Step]:
    return [RowStep(0, Books.of(escrow)), ChainStep(delays.wrong_us, escrow, "escrow_initialized")]


def _inserted_wrong(world: EscrowWorld, escrow: Escrow, delays: Delays) -> list[Step]:
    """The contract is there; the rows that make it known come in one transaction, and are wrong."""
    funded = grown(escrow, _amount(world))
    right = Books.of(funded)
    return [
        ChainStep(0, funded, "escrow_initialized"),
        RowStep(delays.follow_us, right._replace(total=funded.funded + 1)),
        RowStep(delays.late_us, right),
    ]


def _unheld_id(_: EscrowWorld, escrow: Escrow, delays: Delays) -> list[Step]:
    """The contract is there, under another id than the invoice's."""
    return [
        ChainStep(0, escrow, "escrow_initialized"),
        RowStep(delays.follow_us, Books.of(escrow)),
        RowStep(0, None),
    ]


def _wrong_contract(_: EscrowWorld, escrow: Escrow, delays: Delays) -> list[Step]:
    return [RowStep(0, Books.of(escrow)._replace(contract=DECOY.contract))]


def _unmapped(_: EscrowWorld, escrow: Escrow, delays: Delays) -> list[Step]:
    return [RowStep(0, Books.of(escrow)._replace(contract=None))]


def _before_start(_: EscrowWorld, escrow: Escrow, delays: Delays) -> list[Step]:
    """It was planted with the first rows: only its healing is left to do."""
    healed = RowStep(delays.wrong_us + delays.follow_us, Books.of(escrow))
    return [ChainStep(delays.wrong_us, escrow, "escrow_funded"), healed]


def _left_scope(world: EscrowWorld, escrow: Escrow, delays: Delays) -> list[Step]:
    """Settled or put aside, it is not compared; when it is back, it is right again."""
    right, more = Books.of(escrow), grown(escrow, _amount(world))
    aside = right._replace(status="settled") if escrow.funded % 2 else right._replace(is_deleted=True)
    back = delays.follow_us + delays.late_us
    return [
        RowStep(0, aside),
        ChainStep(delays.follow_us, more, "escrow_funded"),
        RowStep(back, Books.of(more)),
    ]


_PLANTERS: Final[dict[Planted, Callable[[EscrowWorld, Escrow, Delays], list[Step]]]] = {
    Planted.MISSED_UPDATE: _missed_update,
    Planted.LATE_UPDATE: _missed_update,
    Planted.MANUAL_EDIT: _manual_edit,
    Planted.WRONG_VALUE: _wrong_value,
    Planted.WRONG_PARTY: _wrong_party,
    Planted.MISSING_SUMMARY: _missing_summary,
    Planted.DELETED_INVOICE: _deleted_invoice,
    Planted.MISSING_ESCROW: _missing_escrow,
    Planted.WRONG_CONTRACT: _wrong_contract,
    Planted.UNMAPPED: _unmapped,
    Planted.UNHELD_ID: _unheld_id,
    Planted.INSERTED_WRONG: _inserted_wrong,
    Planted.BEFORE_START: _before_start,
    Planted.LEFT_SCOPE: _left_scope,
}

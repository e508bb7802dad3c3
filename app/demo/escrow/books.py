"""What an invoice is to both sides of the demo: its escrow, and its rows in three tables."""

from __future__ import annotations

from typing import Final, NamedTuple

from app.demo.truth import Compared

STATUSES: Final = ("open", "funded", "settled", "withdrawn", "cancelled")
"""Of an escrow, by the contract's number."""
SCOPE: Final = ("linked_escrow", "funded", "partially_funded")
"""The statuses of an invoice that the rule compares."""


class Escrow(NamedTuple):
    """An escrow as its own contract holds it; amounts in stroops. `invoice` is a symbol."""

    contract: str
    invoice: str
    sme: str
    admin: str
    target: int
    funded: int
    status: str = "open"


class Books(NamedTuple):
    """The rows of one invoice. `total` None: it has no summary; `contract` None: nobody knows which one."""

    status: str
    total: int | None
    contract: str | None
    sme: str
    issuer: str
    is_deleted: bool = False

    @classmethod
    def of(cls, escrow: Escrow) -> Books:
        """What an application without a fault writes: nothing was funded without a summary."""
        status = "partially_funded" if escrow.funded else "linked_escrow"
        if escrow.funded >= escrow.target:
            status = "funded"
        if escrow.status not in {"open", "funded"}:
            status = escrow.status
        return cls(status, escrow.funded or None, escrow.contract, escrow.sme, escrow.admin)


def see_books(key: str, books: Books | None) -> Compared | None:
    """What the rule sees of the rows: a join, within its scope."""
    if books is None:
        return None
    if books.is_deleted or books.status not in SCOPE:
        return "out"
    return key, books.total or 0, books.sme, books.issuer


def see_escrow(escrow: Escrow | None) -> Compared | None:
    """What the rule sees of an escrow."""
    return None if escrow is None else (escrow.invoice, escrow.funded, escrow.sme, escrow.admin)

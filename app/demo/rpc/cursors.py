"""Positions of events: ledger, transaction, operation and number in one 63-bit integer and another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from app.demo.rpc.faults import Undecodable

AFTER_ALL: Final = 0xFFFFF
"""The transaction number of what happens after all transactions of a ledger."""
AFTER_TRANSACTION: Final = 0xFFF
"""The operation number of what happens after the operations of a transaction."""
_END: Final = 0xFFFFFFFF
_SIGNED: Final = re.compile(r"[+-]?\d+", re.ASCII)
_UNSIGNED: Final = re.compile(r"\d+", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Ordered as the node orders events. `number` counts within the operation."""

    toid: int
    number: int

    @property
    def ledger(self) -> int:
        return self.toid >> 32

    def following(self) -> Position:
        """Where a page after this position begins: the number wraps at 2^32, as in the real server, so that
        the end of a ledger leads back to a place of that ledger that is never taken."""
        return Position(self.toid, (self.number + 1) & _END)

    def text(self) -> str:
        """The id of the event, or the cursor."""
        return f"{self.toid:019d}-{self.number:010d}"


def position_of(ledger: int, transaction: int = 0, operation: int = 0, number: int = 0) -> Position:
    """The position of an event; transactions count from 1, operations from 0."""
    return Position(ledger << 32 | transaction << 12 | operation, number)


def end_of(ledger: int) -> Position:
    """Behind every event of a ledger."""
    return Position(ledger << 32 | _END, _END)


def parse_cursor(text: str) -> Position:
    """The position that a cursor names; raises `Undecodable`. No padding is needed."""
    toid, dash, number = text.partition("-")
    told = f"invalid event id {text}"
    if not dash:
        raise Undecodable(told)
    return Position(
        _integer(toid, "ParseInt", _SIGNED, (1 << 63), told),
        _integer(number, "ParseUint", _UNSIGNED, 1 << 32, told),
    )


def _integer(text: str, function: str, form: re.Pattern[str], bound: int, told: str) -> int:
    if form.fullmatch(text) is None:
        raise Undecodable(f'{told}: strconv.{function}: parsing "{text}": invalid syntax')
    if int(text) >= bound:
        raise Undecodable(f'{told}: strconv.{function}: parsing "{text}": value out of range')
    return int(text)

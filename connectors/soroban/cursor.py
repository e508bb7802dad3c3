"""How far a network's events have been read: the node's cursor, and up to which ledger all is published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
import orjson

from app.errors import Fatal

_END_OF_LEDGER: Final = "-4294967295"


def ledger_of(position: str | None) -> int:
    """The ledger in an event id or cursor (its first 32 bits); -1 where there is none."""
    toid = "" if position is None else position.partition("-")[0]
    return int(toid) >> 32 if toid.isdecimal() and toid.isascii() else -1


def scanned_ledger(position: str) -> int:
    """The last ledger that a page with this cursor has read wholly: an event's id may have its ledger's
    other events behind it."""
    ledger = ledger_of(position)
    return ledger if position.endswith(_END_OF_LEDGER) else ledger - 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """`ledger`: every event up to it has been published. `position`: the node's cursor, None: from the
    beginning of `ledger + 1`."""

    position: str | None
    ledger: int

    @property
    def start(self) -> int | str:
        """What to ask a node for: its own cursor, or a ledger."""
        return self.ledger + 1 if self.position is None else self.position

    @property
    def asked_ledger(self) -> int:
        """The ledger that must lie in the node's range. A cursor at the end of ledger L needs L itself,
        though only L + 1 is wanted (stellar-rpc 28, measured)."""
        return self.ledger + 1 if self.position is None else ledger_of(self.position)

    @property
    def wanted_ledger(self) -> int:
        """The first ledger of which something may not have been published."""
        return self.ledger + 1

    def from_next_ledger(self) -> Cursor:
        """The same place as a ledger; only right for a cursor that is at its ledger's end."""
        return Cursor(None, self.ledger)


class _Stored(msgspec.Struct):
    cursor: str
    ledger: int


def to_json(cursor: Cursor) -> bytes:
    """The record of `chain.cursor`. No method of a node tells a ledger's hash cheaply, so it is null."""
    return orjson.dumps({"cursor": cursor.position, "ledger": cursor.ledger, "ledger_hash": None})


def from_json(raw: bytes) -> Cursor:
    """Read a record of `chain.cursor`; raises `Fatal` for one that no poller wrote."""
    try:
        found = msgspec.json.decode(raw, type=_Stored)
    except msgspec.DecodeError as error:
        hint = "remove that record to start at the node's latest ledger; sweep afterwards"
        raise Fatal("reading", "the record in chain.cursor", error, hint) from error
    return Cursor(found.cursor, found.ledger)

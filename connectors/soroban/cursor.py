"""How far a network's events have been read: the node's cursor, and up to which ledger all is published."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final

import msgspec
import orjson

from app.errors import Fatal
from connectors.soroban.times import micros_of, text_of

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
class Anchor:
    """A ledger and the moment at which it closed, µs: the same in one history, never in two."""

    ledger: int
    closed_at: int


@dataclass(frozen=True, slots=True)
class Witness:
    """An event that was published, and the transaction that it came from."""

    id: str
    tx: str
    contract: str

    @property
    def before(self) -> str:
        """The cursor behind which this event comes first among those of its contract."""
        toid, _, number = self.id.partition("-")
        if int(number) > 0:
            return f"{toid}-{int(number) - 1:010d}"
        return f"{int(toid) - 1:019d}-{0:010d}"


@dataclass(frozen=True, slots=True)
class Cursor:
    """`ledger`: every event up to it has been published. `position`: the node's cursor, None: from the
    beginning of `ledger + 1`. `epoch` counts how often the network began anew; `anchor` and `witness` prove
    that a node still serves the history that the place belongs to."""

    position: str | None
    ledger: int
    epoch: int = 0
    anchor: Anchor | None = field(default=None, compare=False)
    witness: Witness | None = field(default=None, compare=False)

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

    def is_published(self, event_id: str) -> bool:
        """The event lies at or before this place."""
        return ledger_of(event_id) <= self.ledger or (self.position is not None and event_id <= self.position)


def end_of(ledger: int) -> str:
    """The cursor behind every event of a ledger."""
    return f"{ledger << 32 | 0xFFFFFFFF:019d}{_END_OF_LEDGER}"


class _StoredAnchor(msgspec.Struct):
    ledger: int
    closed_at: datetime


class _Stored(msgspec.Struct):
    cursor: str
    ledger: int
    epoch: Annotated[int, msgspec.Meta(ge=0)] = 0
    anchor: _StoredAnchor | None = None
    witness: Witness | None = None


def to_json(cursor: Cursor) -> bytes:
    """The record of `chain.cursor`. No method of a node tells a ledger's hash cheaply, so it is null; the
    history is proven by `anchor` and `witness`."""
    anchor, witness = cursor.anchor, cursor.witness
    body: dict[str, object] = {
        "cursor": cursor.position or end_of(cursor.ledger),
        "ledger": cursor.ledger,
        "ledger_hash": None,
        "epoch": cursor.epoch,
    }
    if anchor is not None:
        body["anchor"] = {"ledger": anchor.ledger, "closed_at": text_of(anchor.closed_at)}
    if witness is not None:
        body["witness"] = {"id": witness.id, "tx": witness.tx, "contract": witness.contract}
    return orjson.dumps(body)


def from_json(raw: bytes) -> Cursor:
    """Read a record of `chain.cursor`; raises `Fatal` for one that no poller wrote."""
    try:
        found = msgspec.json.decode(raw, type=_Stored)
    except msgspec.DecodeError as error:
        hint = "remove that record to start at the node's latest ledger; sweep afterwards"
        raise Fatal("reading", "the record in chain.cursor", error, hint) from error
    anchor = None
    if found.anchor is not None:
        anchor = Anchor(found.anchor.ledger, micros_of(found.anchor.closed_at))
    return Cursor(found.cursor, found.ledger, found.epoch, anchor, found.witness)

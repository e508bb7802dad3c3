"""What an RPC node answers, typed; old servers' spellings (numbers as strings, absent fields) are read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from app.errors import DriftwatchError


class OutOfRange(DriftwatchError):
    """The asked ledger is outside what the node holds. One text serves for too old and for too new: the
    numbers in it tell which."""

    def __init__(self, subject: str, oldest: int, latest: int) -> None:
        super().__init__("reading events of", subject, f"the node holds ledgers {oldest} to {latest}")
        self.oldest, self.latest = oldest, latest

    def is_gone(self, ledger: int) -> bool:
        """The ledger was held once and is not any more (else: the node is behind)."""
        return ledger < self.oldest


class Health(msgspec.Struct, rename="camel", frozen=True):
    """getHealth. The close times came with v27.1."""

    latest_ledger: int
    oldest_ledger: int
    latest_ledger_close_time: int | None = None
    oldest_ledger_close_time: int | None = None


class Network(msgspec.Struct, rename="camel", frozen=True):
    """getNetwork."""

    passphrase: str


class XdrBox(msgspec.Struct, frozen=True):
    """How servers of 2023 wrapped a value."""

    xdr: str


class Event(msgspec.Struct, rename="camel", frozen=True):
    """One event as served. `topic` is absent on an event without topics, `contract_id` may be ""."""

    type: str
    ledger: int
    ledger_closed_at: datetime
    id: str
    tx_hash: str
    contract_id: str = ""
    topic: list[str] = []
    value: str | XdrBox = ""
    transaction_index: int | None = None
    operation_index: int | None = None

    @property
    def data(self) -> str:
        """The payload as base64 XDR."""
        return self.value if isinstance(self.value, str) else self.value.xdr


class Page(msgspec.Struct, rename="camel", frozen=True):
    """getEvents. `cursor` says how far the node has scanned, also when there are no events."""

    events: list[Event]
    cursor: str
    latest_ledger: int
    oldest_ledger: int | None = None
    latest_ledger_close_time: int | None = None
    oldest_ledger_close_time: int | None = None


class LedgerEntry(msgspec.Struct, rename="camel", frozen=True):
    """One entry of getLedgerEntries. `live_until_ledger_seq` 0 means unknown, never gone."""

    key: str
    xdr: str
    last_modified_ledger_seq: int
    live_until_ledger_seq: int | None = None


class LedgerEntries(msgspec.Struct, rename="camel", frozen=True):
    """getLedgerEntries: all from the one ledger `latest_ledger`. Absent keys are left out."""

    latest_ledger: int
    entries: list[LedgerEntry] | None = None


class Ledger(msgspec.Struct, rename="camel", frozen=True):
    """One ledger of getLedgers. `metadata_xdr`: what it did, as `LedgerCloseMeta`."""

    hash: str
    sequence: int
    ledger_close_time: int
    metadata_xdr: str = ""


class Ledgers(msgspec.Struct, rename="camel", frozen=True):
    """getLedgers."""

    ledgers: list[Ledger]


class Fault(msgspec.Struct, frozen=True):
    """The error of a JSON-RPC answer."""

    code: int
    message: str = ""
    data: Any = None


class Envelope(msgspec.Struct, frozen=True):
    """A JSON-RPC answer; `result` is decoded by the method's own type afterwards."""

    id: str | int | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    error: Fault | None = None

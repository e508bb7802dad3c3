"""The XDR of a ledger's header and of its close: without transactions, or with one that did everything."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final

from app.demo.rpc.ledgers import Entry, Ledger

_VERSION_2: Final = bytes.fromhex("0000000200000000")
_NO_TRANSACTIONS: Final = bytes(7) + b"\x01" + bytes(35) + b"\x01" + bytes(7) + b"\x01" + bytes(36)
"""The header's extension, a transaction set with one empty phase, and what follows it: nothing."""


def header_xdr(ledger: Ledger, protocol: int) -> bytes:
    """`LedgerHeader` with version, close time and sequence; all hashes and totals are zero."""
    return b"".join(
        (
            protocol.to_bytes(4, "big"),
            bytes(64),
            ledger.close_time_s.to_bytes(8, "big"),
            bytes(72),
            ledger.sequence.to_bytes(4, "big"),
            bytes(172),
        )
    )


_BEHIND: Final = 20
"""Bytes that follow the transactions: upgrades, messages of the nodes, the size of the state, evictions."""
_CREATED, _UPDATED, _REMOVED, _STATE = (number.to_bytes(4, "big") for number in range(4))
_META_4: Final = bytes.fromhex("00000004") + bytes(8) + bytes.fromhex("00000001") + bytes(4)
"""`TransactionMeta` version 4 up to the changes of its only operation."""


def close_meta_xdr(
    ledger: Ledger, protocol: int, changes: Sequence[tuple[Entry | None, Entry | None]] = ()
) -> bytes:
    """`LedgerCloseMeta`, version 2. What the ledger did to entries, each (before, after), stands in one
    operation of one transaction."""
    closing = _NO_TRANSACTIONS
    if changes:
        head, behind = closing[: -_BEHIND - 4], closing[-_BEHIND:]
        closing = head + bytes.fromhex("00000001") + _transaction(ledger, changes) + behind
    return _VERSION_2 + bytes.fromhex(ledger.hash) + header_xdr(ledger, protocol) + closing


def _transaction(ledger: Ledger, changes: Sequence[tuple[Entry | None, Entry | None]]) -> bytes:
    """`TransactionResultMetaV1`: a transaction without fee that succeeded."""
    written = [part for before, after in changes for part in _changes(before, after)]
    return b"".join(
        (
            bytes(4),
            bytes.fromhex(ledger.hash),
            bytes(8 + 4 + 4 + 4),
            bytes(4),
            _META_4,
            len(written).to_bytes(4, "big"),
            *written,
            bytes(4),
            bytes(4 + 4 + 4 + 4),
            bytes(4),
        )
    )


def _changes(before: Entry | None, after: Entry | None) -> list[bytes]:
    """`LedgerEntryChange`s as a core writes them: what was, then what became of it."""
    found = [] if before is None else [_STATE + _entry(before)]
    if after is not None:
        found.append((_CREATED if before is None else _UPDATED) + _entry(after))
    elif before is not None:
        found.append(_REMOVED + base64.b64decode(before.key))
    return found


def _entry(entry: Entry) -> bytes:
    return entry.modified_ledger.to_bytes(4, "big") + base64.b64decode(entry.data) + bytes(4)


def as_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()

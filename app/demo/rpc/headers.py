"""The XDR of a ledger's header and of its close, for a ledger without transactions."""

from __future__ import annotations

import base64
from typing import Final

from app.demo.rpc.ledgers import Ledger

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


def close_meta_xdr(ledger: Ledger, protocol: int) -> bytes:
    """`LedgerCloseMeta`, version 2."""
    return _VERSION_2 + bytes.fromhex(ledger.hash) + header_xdr(ledger, protocol) + _NO_TRANSACTIONS


def as_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()

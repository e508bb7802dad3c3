"""The demo's credit contract: its addresses, and its entries and events as the XDR that a ledger holds.

Layouts: Creditra/Creditra-Contracts, `contracts/credit` (storage.rs, types.rs, events.rs).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from stellar_sdk import StrKey

from app.demo.lines import STATUSES, Line
from app.demo.parts import Struct, address, i128, symbol, text, u32, u64, vec

RISK_SCORE: Final = 70


def borrower_address(seed: int, index: int) -> str:
    """The account of a borrower: the same seed and index give the same one."""
    return StrKey.encode_ed25519_public_key(hashlib.sha256(f"borrower {seed} {index}".encode()).digest())


def contract_address(network: str) -> str:
    """The contract's id on a network, by its passphrase."""
    return StrKey.encode_contract(hashlib.sha256(f"credit contract on {network}".encode()).digest())


_LINE: Final = Struct(
    "accrued_interest",
    "borrower",
    "credit_limit",
    "interest_rate_bps",
    "last_accrual_ts",
    "last_rate_update_ts",
    "risk_score",
    "status",
    "suspension_ts",
    "utilized_amount",
)


def line_value(borrower: str, line: Line, at_s: int, rate_since_s: int) -> bytes:
    """`CreditLineData`, ten fields; times in seconds since 1970."""
    suspended_at_s = at_s if line.status == "suspended" else 0
    return _LINE.pack(
        i128(0),
        address(borrower),
        i128(line.credit_limit),
        u32(line.rate_bps),
        u64(at_s),
        u64(rate_since_s),
        u32(RISK_SCORE),
        u32(STATUSES.index(line.status)),
        u64(suspended_at_s),
        i128(line.utilized),
    )


# ---- entries

CODE: Final = "the credit contract of the demo"


def counters(lines: int, active: int, utilized: int) -> tuple[tuple[bytes, bytes], ...]:
    """What the contract keeps in the storage of its instance."""
    return (
        (vec(symbol("ActiveLineCount")), u32(active)),
        (vec(symbol("CreditLineCount")), u32(lines)),
        (vec(symbol("TotalUtilized")), i128(utilized)),
    )


# ---- events

_OPENED: Final = Struct("borrower", "credit_limit", "interest_rate_bps", "risk_score", "status")
_DRAWN: Final = Struct("amount", "borrower", "new_utilized_amount", "timestamp")
_REPAY: Final = Struct("amount", "borrower", "new_utilized_amount")
_RISK: Final = Struct("borrower", "credit_limit", "interest_rate_bps", "risk_score")


def _opened(borrower: str, line: Line, amount: int, at_s: int) -> bytes:
    status = u32(STATUSES.index(line.status))
    return _OPENED.pack(
        address(borrower), i128(line.credit_limit), u32(line.rate_bps), u32(RISK_SCORE), status
    )


def _drawn(borrower: str, line: Line, amount: int, at_s: int) -> bytes:
    return _DRAWN.pack(i128(amount), address(borrower), i128(line.utilized), u64(at_s))


def _repay(borrower: str, line: Line, amount: int, at_s: int) -> bytes:
    return _REPAY.pack(i128(amount), address(borrower), i128(line.utilized))


def _risk_upd(borrower: str, line: Line, amount: int, at_s: int) -> bytes:
    """It says nothing of the status, though it may have changed."""
    return _RISK.pack(address(borrower), i128(line.credit_limit), u32(line.rate_bps), u32(RISK_SCORE))


PAYLOADS: Final[dict[str, Callable[[str, Line, int, int], bytes]]] = {
    "opened": _opened,
    "suspend": _opened,
    "closed": _opened,
    "defaulted": _opened,
    "reinstate": _opened,
    "drawn": _drawn,
    "repay": _repay,
    "risk_upd": _risk_upd,
}
"""By the event's second topic: its payload from borrower, new line, amount moved and close time."""

TOPICS: Final = {name: (text(symbol("credit")), text(symbol(name))) for name in PAYLOADS}

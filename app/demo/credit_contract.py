"""The demo's credit contract: its addresses, and its entries and events as the XDR that a ledger holds.

Written by concatenation of prepared parts: stellar_sdk's objects take milliseconds where this takes
microseconds. Layouts: Creditra/Creditra-Contracts, `contracts/credit` (storage.rs, types.rs, events.rs).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from stellar_sdk import StrKey

from app.demo.lines import STATUSES, Line

RISK_SCORE: Final = 70
_ADDRESS, _INSTANCE, _INSTANCE_KEY = (number.to_bytes(4, "big") for number in (18, 19, 20))
_ACCOUNT: Final = bytes(8)
_CONTRACT: Final = b"\x00\x00\x00\x01"
_PRESENT: Final = b"\x00\x00\x00\x01"
_PERSISTENT: Final = b"\x00\x00\x00\x01"
_CONTRACT_DATA: Final = b"\x00\x00\x00\x06"
_NO_EXTENSION: Final = bytes(4)


def borrower_address(seed: int, index: int) -> str:
    """The account of a borrower: the same seed and index give the same one."""
    return StrKey.encode_ed25519_public_key(hashlib.sha256(f"borrower {seed} {index}".encode()).digest())


def contract_address(network: str) -> str:
    """The contract's id on a network, by its passphrase."""
    return StrKey.encode_contract(hashlib.sha256(f"credit contract on {network}".encode()).digest())


def text(raw: bytes) -> str:
    """XDR as a node serves it."""
    return base64.b64encode(raw).decode()


# ---- ScVals


def u32(number: int) -> bytes:
    return b"\x00\x00\x00\x03" + number.to_bytes(4, "big")


def u64(number: int) -> bytes:
    return b"\x00\x00\x00\x05" + number.to_bytes(8, "big")


def i128(number: int) -> bytes:
    return b"\x00\x00\x00\x0a" + number.to_bytes(16, "big", signed=True)


def symbol(name: str) -> bytes:
    raw = name.encode()
    return b"\x00\x00\x00\x0f" + len(raw).to_bytes(4, "big") + raw + bytes(-len(raw) % 4)


def vec(*items: bytes) -> bytes:
    return b"\x00\x00\x00\x10" + _PRESENT + len(items).to_bytes(4, "big") + b"".join(items)


@lru_cache(maxsize=1 << 16)
def address(strkey: str) -> bytes:
    """The ScVal of an account or a contract; raises ValueError for anything else."""
    return _ADDRESS + sc_address(strkey)


def sc_address(strkey: str) -> bytes:
    """`ScAddress` of an account or a contract."""
    if strkey.startswith("C"):
        return _CONTRACT + StrKey.decode_contract(strkey)
    return _ACCOUNT + StrKey.decode_ed25519_public_key(strkey)


class Struct:
    """A contract's struct: a map of its fields, whose names stand in the order of the alphabet."""

    def __init__(self, *names: str) -> None:
        self._head = b"\x00\x00\x00\x11" + _PRESENT + len(names).to_bytes(4, "big")
        self._keys = tuple(symbol(name) for name in names)

    def pack(self, *values: bytes) -> bytes:
        """The map with these values, in the order of the names."""
        parts = [self._head]
        for pair in zip(self._keys, values, strict=True):
            parts += pair
        return b"".join(parts)


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


class Entries:
    """Keys and data of one contract's entries, base64."""

    def __init__(self, contract: str) -> None:
        self._contract = sc_address(contract)

    def persistent(self, key: bytes, value: bytes) -> tuple[str, str]:
        """(ledger key, ledger entry) of persistent data."""
        placed = self._contract + key + _PERSISTENT
        return text(_CONTRACT_DATA + placed), text(_CONTRACT_DATA + _NO_EXTENSION + placed + value)

    def instance(self, lines: int, active: int, utilized: int) -> tuple[str, str]:
        """The instance entry, with the counters that the contract keeps in its storage."""
        storage = (
            (vec(symbol("ActiveLineCount")), u32(active)),
            (vec(symbol("CreditLineCount")), u32(lines)),
            (vec(symbol("TotalUtilized")), i128(utilized)),
        )
        wasm = bytes(4) + hashlib.sha256(b"the credit contract of the demo").digest()
        stored = _PRESENT + len(storage).to_bytes(4, "big") + b"".join(key + value for key, value in storage)
        return self.persistent(_INSTANCE_KEY, _INSTANCE + wasm + stored)


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

"""The demo's escrow contracts: their addresses, and their entries and events as the XDR that a ledger holds.

Layouts: Liquifact/Liquifact-contracts, `escrow` (lib.rs). Every second contract is of an SDK from 28 on,
which leaves out empty options.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from stellar_sdk import StrKey

from app.demo.escrow.books import STATUSES, Escrow
from app.demo.parts import VOID, Entries, Struct, address, i64, i128, symbol, text, u32, u64, vec

CODE: Final = "the escrow contract of the demo"
_YIELD_BPS: Final = 800
_MATURITY_S: Final = 2_000_000_000


def contract_address(key: str) -> str:
    """The contract of an invoice."""
    return StrKey.encode_contract(hashlib.sha256(f"escrow of {key}".encode()).digest())


def person_address(role: str, key: str) -> str:
    """An account that has to do with an invoice."""
    return StrKey.encode_ed25519_public_key(hashlib.sha256(f"{role} of {key}".encode()).digest())


_FUNDING_TOKEN, _TREASURY = contract_address("the funding token"), contract_address("the treasury")
_ESCROW: Final = Struct(
    "admin",
    "amount",
    "funded_amount",
    "funding_target",
    "invoice_id",
    "maturity",
    "sme_address",
    "status",
    "yield_bps",
)


def escrow_value(escrow: Escrow) -> bytes:
    """`InvoiceEscrow`."""
    return _ESCROW.pack(
        address(escrow.admin),
        i128(escrow.target),
        i128(escrow.funded),
        i128(escrow.target),
        symbol(escrow.invoice),
        u64(_MATURITY_S),
        address(escrow.sme),
        u32(STATUSES.index(escrow.status)),
        i64(_YIELD_BPS),
    )


def instance(escrow: Escrow) -> tuple[str, str]:
    """(ledger key, ledger entry) of the contract's instance, which holds all of it."""
    storage = (
        (vec(symbol("Escrow")), escrow_value(escrow)),
        (vec(symbol("FundingToken")), address(_FUNDING_TOKEN)),
        (vec(symbol("Treasury")), address(_TREASURY)),
        (vec(symbol("Version")), u32(6)),
    )
    return Entries(escrow.contract, CODE).instance(storage)


# ---- events

_OLD: Final = Struct("escrow", "funding_token", "has_maturity_lock", "registry", "treasury")
_SPARSE: Final = Struct("escrow", "funding_token", "has_maturity_lock", "treasury")
_FUNDED: Final = Struct("amount", "funded_amount", "investor_effective_yield_bps", "status", "tier_lock_secs")
_UNFUNDED: Final = Struct("amount", "new_funded_amount", "remaining_contribution", "timestamp")
_SETTLED: Final = Struct(
    "funded_amount", "maturity", "settle_pool", "settled_at_ledger_timestamp", "yield_bps"
)
_TRUE: Final = bytes(4) + b"\x00\x00\x00\x01"


def is_sparse(contract: str) -> bool:
    """Whether a contract leaves out empty options."""
    return StrKey.decode_contract(contract)[0] % 2 == 0


def _initialized(escrow: Escrow, amount: int, at_s: int) -> bytes:
    held, token = escrow_value(escrow), address(_FUNDING_TOKEN)
    if is_sparse(escrow.contract):
        return _SPARSE.pack(held, token, _TRUE, address(_TREASURY))
    return _OLD.pack(held, token, _TRUE, VOID, address(_TREASURY))


def _funded(escrow: Escrow, amount: int, at_s: int) -> bytes:
    status = u32(STATUSES.index(escrow.status))
    return _FUNDED.pack(i128(amount), i128(escrow.funded), i64(_YIELD_BPS), status, u64(0))


def _unfunded(escrow: Escrow, amount: int, at_s: int) -> bytes:
    return _UNFUNDED.pack(i128(amount), i128(escrow.funded), i128(0), u64(at_s))


def _settled(escrow: Escrow, amount: int, at_s: int) -> bytes:
    return _SETTLED.pack(i128(escrow.funded), u64(_MATURITY_S), i128(0), u64(at_s), i64(_YIELD_BPS))


PAYLOADS: Final[dict[str, Callable[[Escrow, int, int], bytes]]] = {
    "escrow_initialized": _initialized,
    "escrow_funded": _funded,
    "escrow_unfunded": _unfunded,
    "escrow_settled": _settled,
}
"""By the event's first topic: its payload from the new escrow, the amount moved and the close time."""
_SECOND: Final = {
    "escrow_initialized": "escrow_ii",
    "escrow_funded": "funded",
    "escrow_unfunded": "unfunded",
    "escrow_settled": "escrow_sd",
}


def topics_of(event: str, escrow: Escrow) -> tuple[str, ...]:
    """The event's topics."""
    found = [symbol(event), symbol(_SECOND[event])]
    if event != "escrow_initialized":
        found.append(symbol(escrow.invoice))
    if event in ("escrow_funded", "escrow_unfunded"):
        found.append(address(person_address("investor", escrow.invoice)))
    return tuple(text(topic) for topic in found)

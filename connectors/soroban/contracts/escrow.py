"""The escrow contract, one per invoice: which events tell of a change, where the escrow stands, what it says.

Layouts: Liquifact/Liquifact-contracts, `escrow` (lib.rs).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from app.errors import Poison
from connectors.soroban import keys
from connectors.soroban.contracts.plain import RefusedKey, name_of, plain
from connectors.soroban.keys import ContractData
from connectors.soroban.scval import Decoded, field_of

STATUSES: Final = ("open", "funded", "settled", "withdrawn", "cancelled")
"""The status is a u32."""

_BY_TOPIC: Final = {
    "escrow_funded": 2,
    "escrow_unfunded": 2,
    "escrow_partial_settle": 2,
    "escrow_settled": 2,
    "sme_withdrew": 2,
    "investor_payout_claimed": 3,
    "investor_refunded_evt": 3,
    "funding_cancelled": 2,
    "funding_target_updated": 2,
    "funding_deadline_extended": 2,
    "maturity_updated_event": 2,
    "maturity_max_horizon_updated": 2,
    "maturity_max_horizon_raised": 2,
    "legal_hold_changed": 2,
    "paused_changed": 2,
    "beneficiary_rotated": 2,
    "admin_accepted_event": 2,
    "deprecated_transfer_admin_used": 2,
    "collateral_cleared_evt": 2,
    "contract_upgraded": 2,
}
"""Where the invoice stands among the topics; in two events behind the investor."""
_BY_DATA: Final = frozenset(
    {"escrow_initialized", "collateral_recorded_evt", "treasury_dust_swept", "registry_ref_rebound"}
)
_REQUIRED: Final = ("funded_amount", "funding_target", "amount", "status")
_OTHERS: Final = ("admin", "invoice_id", "maturity", "sme_address", "yield_bps")
_ESCROW: Final[Decoded] = {"vec": [{"symbol": "Escrow"}]}


_INVOICE: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_HELD: Final = re.compile(r"[A-Za-z0-9_]{1,32}")
"""The ids that a contract can hold: it keeps them as symbols."""
_NO_ID: Final = "it is no invoice id: 1 to 128 of A-Z a-z 0-9 _ -"


class Escrow:
    """The entry `escrow`: the map under `vec[sym:Escrow]` in the instance storage of the contract, whatever
    the rule's key: the contract holds one escrow, and a mapping says whose it is. Parts that
    an SDK from 28 on leaves out because they are empty are null, as those before it write them."""

    entry: Final = "escrow"
    topics: Final = frozenset({*_BY_TOPIC, *_BY_DATA})

    def named_by(self, topics: Sequence[Decoded], data: Decoded) -> tuple[str, ...]:
        """The invoice in the topics, or in the payload of the events that carry it there."""
        name = topics[0].get("symbol") if topics else None
        place = _BY_TOPIC.get(name) if isinstance(name, str) else None
        invoice: Decoded | None = None
        if place is not None and place < len(topics):
            invoice = topics[place]
        elif name in _BY_DATA:
            invoice = field_of(data, "invoice_id") or field_of(field_of(data, "escrow") or {}, "invoice_id")
        found = None if invoice is None else invoice.get("symbol")
        return (found,) if isinstance(found, str) else ()

    def ledger_key(self, contract: str, key: str) -> str:
        """The ledger key of the contract's instance; `RefusedKey` for an invoice that no contract can hold,
        `Poison` for a contract id that is none."""
        if not _HELD.fullmatch(key):
            is_id = _INVOICE.fullmatch(key) is not None
            cause = "no contract can hold it: a symbol has at most 32 of A-Z a-z 0-9 _"
            raise RefusedKey("reading the escrow of", repr(key[:160]), cause if is_id else _NO_ID)
        return keys.instance_key(contract)

    def value(self, found: ContractData) -> dict[str, Any]:
        """Every field of the escrow by name, amounts as decimal strings, `status` as its lower-case name."""
        storage = found.value.get("contract_instance", {}).get("storage") or []
        held = next((pair["val"] for pair in storage if pair["key"] == _ESCROW), None)
        pairs = None if held is None else held.get("map")
        if not isinstance(pairs, list):
            raise Poison("decoding", f"{self.entry} of {found.contract}", "its instance holds no escrow")
        value = {pair["key"]["symbol"]: plain(pair["val"]) for pair in pairs if "symbol" in pair["key"]}
        missing = [name for name in _REQUIRED if value.get(name) is None]
        if missing:
            raise Poison("decoding", f"{self.entry} of {found.contract}", f"without {', '.join(missing)}")
        value["status"] = name_of(value["status"], STATUSES)
        return dict.fromkeys(_OTHERS) | value

"""The credit contract: which events name which borrower, where a credit line stands, and what it says.

Layouts: Creditra/Creditra-Contracts, `contracts/credit` (storage.rs, types.rs, events.rs).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from app.errors import Poison
from connectors.soroban import keys
from connectors.soroban.contracts.plain import name_of, plain, symbol_of
from connectors.soroban.keys import ContractData
from connectors.soroban.scval import Decoded, field_of, integer_of

STATUSES: Final = ("active", "suspended", "defaulted", "closed", "restricted")
"""`CreditStatus` is an integer enum."""

_FAMILY: Final = frozenset({"credit", "credit_draw", "blk_chg", "br_freeze"})
_TUPLES: Final = frozenset({"liq_req", "draw"})
"""`(credit, liq_req)` and the older `(credit, draw)` carry a tuple whose first part is the borrower."""
_REQUIRED: Final = ("credit_limit", "utilized_amount", "interest_rate_bps", "status")


class CreditLine:
    """The entry `credit-line`: persistent data under the bare address of the borrower.

    Three generations of the struct are read, by name.
    """

    entry: Final = "credit-line"
    topics: Final = _FAMILY

    def named_by(self, topics: Sequence[Decoded], data: Decoded) -> tuple[str, ...]:
        """The borrower in the payload's map, in its tuple, or in the second topic of the older generation."""
        name = symbol_of(topics, 0)
        if name not in _FAMILY:
            return ()
        borrower = _key_of(field_of(data, "borrower"))
        if borrower is None and name == "credit" and symbol_of(topics, 1) in _TUPLES:
            borrower = _key_of((data.get("vec") or [None])[0])
        if borrower is None and len(topics) > 1:
            borrower = _key_of(topics[1])
        return () if borrower is None else (borrower,)

    def ledger_key(self, contract: str, key: str) -> str:
        """The ledger key of a borrower's line; `Poison` where the key is no account and no contract."""
        if key[:1] not in ("G", "C"):
            raise Poison("encoding", repr(key[:80]), "a borrower is an account (G…) or a contract (C…)")
        return keys.address_key(contract, key)

    def value(self, found: ContractData) -> dict[str, Any]:
        """Every field by name: 64 bits and more as decimal strings, `status` as its lower-case name."""
        pairs = found.value.get("map")
        if not isinstance(pairs, list):
            raise Poison("decoding", f"{self.entry} of {found.contract}", "it is no map")
        value = {pair["key"]["symbol"]: plain(pair["val"]) for pair in pairs if "symbol" in pair["key"]}
        missing = [name for name in _REQUIRED if value.get(name) is None]
        if missing:
            raise Poison("decoding", f"{self.entry} of {found.contract}", f"without {', '.join(missing)}")
        value["status"] = name_of(value["status"], STATUSES)
        value.setdefault("borrower", found.key.get("address"))
        return value

    def count(self, instance: ContractData) -> int:
        """How many lines were ever opened (`CreditLineCount` in the instance storage; none: 0)."""
        storage = instance.value.get("contract_instance", {}).get("storage") or []
        for pair in storage:
            if pair["key"] == {"vec": [{"symbol": "CreditLineCount"}]}:
                return integer_of(pair["val"]) or 0
        return 0

    def numbered_key(self, contract: str, number: int) -> str:
        """The ledger key of `CreditLineBorrowerById(number)`, numbers from 0."""
        return keys.variant_of_number_key(contract, "CreditLineBorrowerById", number)

    def key_in(self, found: ContractData) -> str:
        """The borrower that a `CreditLineBorrowerById` entry names."""
        borrower = found.value.get("address")
        if not isinstance(borrower, str):
            raise Poison("decoding", f"CreditLineBorrowerById of {found.contract}", "it is no address")
        return borrower


def _key_of(value: Decoded | None) -> str | None:
    address = None if value is None else value.get("address")
    return address if isinstance(address, str) and address[0] in "GC" else None

"""Balances of a token contract (SEP-41): which events name a holder, where a balance stands, what it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.soroban.decoding import (
    ContractData,
    Decoded,
    Poison,
    fields_of,
    named_in,
    plain,
    symbol_of,
    variant_of_address_key,
)


class TokenBalance:
    """The entry `token-balance`: persistent data under `vec[sym:Balance, Address]`.

    Its value is a bare i128 (the example token of soroban-examples, OpenZeppelin's), or a map of amount,
    authorized and clawback (Stellar assets).
    """

    entry = "token-balance"
    topics = frozenset({"transfer", "mint", "burn", "clawback", "set_authorized"})

    def named_by(self, topics: Sequence[Decoded], data: Decoded) -> tuple[str, ...]:
        """Every address among the topics. Older events have the administrator there too: reading the balance
        of one too many is harmless, and telling the generations apart is not needed."""
        if symbol_of(topics, 0) not in self.topics:
            return ()
        return named_in(topics, {"void": None}, "address")

    def ledger_key(self, contract: str, key: str) -> str:
        return variant_of_address_key(contract, "Balance", key)

    def value(self, found: ContractData) -> dict[str, Any]:
        """`amount` in base units, as a decimal text; `authorized` is true where the contract does not say."""
        if "i128" in found.value:
            return {"amount": plain(found.value), "authorized": True, "clawback": False}
        value = fields_of(found.value)
        if "amount" not in value:
            raise Poison(
                "decoding", f"a balance in {found.contract}", "neither an i128 nor a map with amount"
            )
        return {"authorized": True, "clawback": False, **value}


DECODER = TokenBalance()

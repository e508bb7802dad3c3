"""The canary's contract, which does not exist: its entries are absent, and no event names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from stellar_sdk import scval

from app.errors import Poison
from connectors.soroban.keys import ContractData, persistent_key
from connectors.soroban.scval import Decoded


class Canary:
    """The entry `canary`: persistent data under a string. Should anybody ever put a contract there, its
    entries say their key."""

    entry: Final = "canary"
    has_no_keys: Final = True
    topics: Final = frozenset[str]()

    def named_by(self, topics: Sequence[Decoded], data: Decoded) -> tuple[str, ...]:
        """Nobody."""
        return ()

    def ledger_key(self, contract: str, key: str) -> str:
        """Where the entry of a canary's row would stand."""
        return persistent_key(contract, scval.to_string(key))

    def value(self, found: ContractData) -> dict[str, Any]:
        """The key by its name."""
        name = found.key.get("string")
        if not isinstance(name, str):
            raise Poison("decoding", f"{self.entry} of {found.contract}", "its key is no string")
        return {"name": name}

    def numbered_key(self, contract: str, number: int) -> str:
        """There is none: all keys are listed without asking."""
        raise Poison("encoding", f"key {number} of {contract}", "the canary's contract has no keys")

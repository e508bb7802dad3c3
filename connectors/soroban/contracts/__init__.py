"""The decoders of known contracts, registered by the name that a rule's `right.entry` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from app.errors import Fatal
from app.rules import RightMapping
from connectors.soroban.contracts.canary import Canary
from connectors.soroban.contracts.credit import CreditLine
from connectors.soroban.contracts.custom import load_decoder
from connectors.soroban.contracts.escrow import Escrow
from connectors.soroban.keys import ContractData
from connectors.soroban.scval import Decoded


class ContractDecoder(Protocol):
    """What one kind of ledger entry of a contract is: who it is about, where it stands, what it says.

    `named_by`: the rule keys whose entry an event may have changed, none for an event that names nobody;
    never raises. `ledger_key`: where the entry of a key stands; `Poison` for a key that can have none,
    `RefusedKey` for one that must be told as an error of its own.
    `value`: the entry by field name, amounts as decimal strings; `Poison` for an entry of another shape.
    """

    @property
    def entry(self) -> str: ...
    def named_by(self, topics: Sequence[Decoded], data: Decoded) -> tuple[str, ...]: ...
    def ledger_key(self, contract: str, key: str) -> str: ...
    def value(self, found: ContractData) -> dict[str, Any]: ...


class Topical(ContractDecoder, Protocol):
    """A decoder that knows the first topic of every event that may name an entry. With it many contracts are
    followed by topic, whose number is not limited."""

    @property
    def topics(self) -> frozenset[str]: ...


class Enumerable(ContractDecoder, Protocol):
    """A decoder whose contract can list its own keys: a count in the instance, then one entry per number."""

    def count(self, instance: ContractData) -> int: ...
    def numbered_key(self, contract: str, number: int) -> str: ...
    def key_in(self, found: ContractData) -> str: ...


DECODERS: Final[Mapping[str, ContractDecoder]] = {
    "credit-line": CreditLine(),
    "escrow": Escrow(),
    "canary": Canary(),
}


def decoder_of(entry: str) -> ContractDecoder:
    """The decoder of a rule's entry name; raises `Fatal` with the names that there are."""
    found = DECODERS.get(entry)
    if found is None:
        known = ", ".join(sorted(DECODERS))
        hint = f"right.entry may be: {known}; or name a file of your own in right.decoder"
        raise Fatal("looking up the decoder of", entry, "there is none", hint)
    return found


def decoder_for(right: RightMapping) -> ContractDecoder:
    """The decoder of a rule's right side: the user's file where it names one, else one of ours."""
    return decoder_of(right.entry) if right.decoder is None else load_decoder(right.decoder, right.entry)

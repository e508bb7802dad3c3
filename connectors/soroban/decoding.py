"""What a decoder of your own may use; these names stay, and what they promise."""

from __future__ import annotations

from app.errors import Poison
from connectors.soroban.contracts.plain import fields_of, name_of, named_in, plain, symbol_of
from connectors.soroban.keys import (
    ContractData,
    address_key,
    address_value,
    instance_key,
    key_value,
    persistent_key,
    variant,
    variant_of_address_key,
)
from connectors.soroban.scval import Decoded, field_of, integer_of

__all__ = [
    "ContractData",
    "Decoded",
    "Poison",
    "address_key",
    "address_value",
    "field_of",
    "fields_of",
    "instance_key",
    "integer_of",
    "key_value",
    "name_of",
    "named_in",
    "persistent_key",
    "plain",
    "symbol_of",
    "variant",
    "variant_of_address_key",
]

"""Ledger keys and entries of contract data: where the entry of an address stands, and what it holds."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from stellar_sdk import Address, xdr
from stellar_sdk import scval as sdk

from app.errors import Poison
from connectors.soroban import quick, scval
from connectors.soroban.scval import Decoded


@dataclass(frozen=True, slots=True)
class ContractData:
    """One entry of a contract's storage: the key that it stands under, and both sides of it decoded."""

    ledger_key: str
    contract: str
    key: Decoded
    value: Decoded


def persistent_key(contract: str, key: xdr.SCVal) -> str:
    """The base64 ledger key of persistent contract data. Raises `Poison` for a contract id that is none."""
    return _ledger_key(_address(contract), key)


def address_key(contract: str, address: str) -> str:
    """The base64 ledger key of persistent data under a bare address. Raises `Poison` where one of them is no
    address."""
    found = quick.address_key(contract, address)
    return persistent_key(contract, address_value(address)) if found is None else found


def instance_key(contract: str) -> str:
    """The base64 ledger key of the contract's instance entry (instance storage stands inside it)."""
    return _ledger_key(_address(contract), xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE))


def variant_of_address_key(contract: str, name: str, address: str) -> str:
    """The base64 ledger key of persistent data under `vec[sym:name, address]`, a key enum's usual form.
    Raises `Poison` where one of them is no address."""
    found = quick.variant_of_address_key(contract, name, address)
    return persistent_key(contract, variant(name, address_value(address))) if found is None else found


def variant_of_number_key(contract: str, name: str, number: int) -> str:
    """The same under `vec[sym:name, u32]`."""
    found = quick.variant_of_number_key(contract, name, number)
    return persistent_key(contract, variant(name, u32(number))) if found is None else found


def is_contract_data_key(text: str) -> bool:
    """Whether a text is the canonical base64 of a contract data key: a node refuses a whole request for one
    that is not."""
    try:
        raw = scval.unpack_base64(text, "a ledger key")
        if base64.b64encode(raw).decode() != text:
            return False
        if quick.is_key(raw):
            return True
        key = xdr.LedgerKey.from_xdr_bytes(raw)
        return key.type == xdr.LedgerEntryType.CONTRACT_DATA and key.to_xdr_bytes() == raw
    except (Poison, *scval.MALFORMED, RecursionError):
        return False


def address_value(address: str) -> xdr.SCVal:
    """A strkey as an ScVal. Raises `Poison` for a text that is no address."""
    return xdr.SCVal(xdr.SCValType.SCV_ADDRESS, address=_address(address))


def variant(name: str, *fields: xdr.SCVal) -> xdr.SCVal:
    """A key of the enum form `vec[sym:Name, field, …]`."""
    symbol = xdr.SCVal(xdr.SCValType.SCV_SYMBOL, sym=xdr.SCSymbol(name.encode()))
    return xdr.SCVal(xdr.SCValType.SCV_VEC, vec=xdr.SCVec([symbol, *fields]))


def key_value(tag: str, text: str) -> xdr.SCVal:
    """A rule key as the ScVal of a type (`address`, `symbol`, `string`, `bytes`, or an integer's). Raises
    `Poison` for a text that cannot be one."""
    try:
        if tag == "address":
            return address_value(text)
        if tag == "bytes":
            return sdk.to_bytes(bytes.fromhex(text))
        return _WRITERS[tag](text)
    except (ValueError, TypeError, KeyError) as error:
        raise Poison("encoding", repr(text[:80]), f"no {tag}: {error}") from error


_WRITERS: Final[Mapping[str, Callable[[str], xdr.SCVal]]] = {
    "symbol": sdk.to_symbol,
    "string": sdk.to_string,
    "u32": lambda text: sdk.to_uint32(int(text)),
    "i32": lambda text: sdk.to_int32(int(text)),
    "u64": lambda text: sdk.to_uint64(int(text)),
    "i64": lambda text: sdk.to_int64(int(text)),
    "u128": lambda text: sdk.to_uint128(int(text)),
    "i128": lambda text: sdk.to_int128(int(text)),
    "u256": lambda text: sdk.to_uint256(int(text)),
    "i256": lambda text: sdk.to_int256(int(text)),
}


def u32(number: int) -> xdr.SCVal:
    """A u32 ScVal."""
    return xdr.SCVal(xdr.SCValType.SCV_U32, u32=xdr.Uint32(number))


def read_contract_data(entry_xdr: str) -> ContractData:
    """Decode `LedgerEntryData` of contract data. `Poison` for anything else, pre-release XDR included."""
    raw = scval.unpack_base64(entry_xdr, "a ledger entry")
    found = quick.read_entry(raw)
    if found is not None:
        return ContractData(*found)
    try:
        data = xdr.LedgerEntryData.from_xdr_bytes(raw).contract_data
        if data is None:
            raise Poison("decoding", "a ledger entry", "it is no contract data")
        ledger_key = _key(data.contract, data.key, data.durability)
        return ContractData(
            ledger_key, scval.address_of(data.contract), scval.of_value(data.key), scval.of_value(data.val)
        )
    except (*scval.MALFORMED, RecursionError) as error:
        cause = f"no XDR of this protocol: {str(error) or type(error).__name__}"
        raise Poison("decoding", "a ledger entry", cause) from error


def _address(text: str) -> xdr.SCAddress:
    try:
        return Address(text).to_xdr_sc_address()
    except (ValueError, TypeError) as error:
        raise Poison("encoding", repr(text[:80]), f"no address: {error}") from error


def _ledger_key(contract: xdr.SCAddress, key: xdr.SCVal) -> str:
    return _key(contract, key, xdr.ContractDataDurability.PERSISTENT)


def _key(contract: xdr.SCAddress, key: xdr.SCVal, durability: xdr.ContractDataDurability) -> str:
    data = xdr.LedgerKeyContractData(contract=contract, key=key, durability=durability)
    return xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data).to_xdr()

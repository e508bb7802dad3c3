"""The total decoder of ScVals: base64 XDR into typed, JSON-safe values (`{"symbol": "credit"}`)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from stellar_sdk import StrKey, xdr
from xdrlib3 import Error as XdrError

from app.errors import Poison

Decoded: TypeAlias = dict[str, Any]
"""One tag, one value; the tags are listed in connectors/soroban/README.md."""

MAX_DEPTH: Final = 64
"""The host itself stops at 100 levels; what nests deeper than this stays `{"xdr": base64}`, as JSON parsers
have limits too (orjson: 254 levels, and a level here is up to three there)."""

MALFORMED: Final = (ValueError, EOFError, XdrError, TypeError, OverflowError)
"""What stellar_sdk raises for bytes that are no XDR of the type asked for."""

_UNSIGNED_64: Final = 1 << 64
_STRKEY_OF_ACCOUNT: Final = StrKey.encode_ed25519_public_key
_STRKEY_OF_CONTRACT: Final = StrKey.encode_contract
_TOO_DEEP: Final = "Maximum decoding depth reached"


def decode(text: str) -> Decoded:
    """The value of a base64 ScVal. Raises `Poison` for what is no ScVal, and for nothing else."""
    raw = unpack_base64(text, "an ScVal")
    try:
        return of_value(xdr.SCVal.from_xdr_bytes(raw))
    except RecursionError:
        return {"xdr": text}
    except MALFORMED as error:
        if _TOO_DEEP in str(error):
            return {"xdr": text}
        cause = f"no XDR of this protocol: {str(error) or type(error).__name__}"
        raise Poison("decoding", "an ScVal", cause) from error


def unpack_base64(text: str, what: str) -> bytes:
    """Strict base64; raises `Poison`."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Poison("decoding", what, f"no base64: {error}") from error


def of_value(value: xdr.SCVal, depth: int = MAX_DEPTH) -> Decoded:
    """The typed form of an unpacked ScVal."""
    if depth <= 0:
        return {"xdr": value.to_xdr()}
    kind = value.type
    if kind == xdr.SCValType.SCV_VEC:
        items = None if value.vec is None else [of_value(item, depth - 1) for item in value.vec.sc_vec]
        return {"vec": items}
    if kind == xdr.SCValType.SCV_MAP:
        return {"map": _pairs(value.map, depth)}
    if kind == xdr.SCValType.SCV_CONTRACT_INSTANCE:
        return {"contract_instance": _instance(value.instance, depth)}
    return _LEAVES[kind](value)


def address_of(address: xdr.SCAddress) -> str:
    """The strkey of any address: G, C, M, B or L."""
    kind = address.type
    if kind == xdr.SCAddressType.SC_ADDRESS_TYPE_ACCOUNT:
        return _STRKEY_OF_ACCOUNT(_present(_present(address.account_id).account_id.ed25519).uint256)
    if kind == xdr.SCAddressType.SC_ADDRESS_TYPE_CONTRACT:
        return _STRKEY_OF_CONTRACT(_present(address.contract_id).contract_id.hash)
    if kind == xdr.SCAddressType.SC_ADDRESS_TYPE_MUXED_ACCOUNT:
        muxed = _present(address.muxed_account)
        return StrKey.encode_med25519_public_key(muxed.ed25519.to_xdr_bytes() + muxed.id.to_xdr_bytes())
    if kind == xdr.SCAddressType.SC_ADDRESS_TYPE_CLAIMABLE_BALANCE:
        return StrKey.encode_claimable_balance(_present(address.claimable_balance_id).to_xdr_bytes()[3:])
    return StrKey.encode_liquidity_pool(_present(address.liquidity_pool_id).to_xdr_bytes())


def _present(part: Any) -> Any:
    if part is None:
        raise ValueError("a union without its arm")
    return part


def _pairs(found: xdr.SCMap | None, depth: int) -> list[Decoded] | None:
    if found is None:
        return None
    return [
        {"key": of_value(pair.key, depth - 1), "val": of_value(pair.val, depth - 1)} for pair in found.sc_map
    ]


def _instance(instance: Any, depth: int) -> Decoded:
    executable = _present(instance).executable
    if executable.type == xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM:
        shown: Decoded = {"wasm": executable.wasm_hash.hash.hex()}
    elif executable.type == xdr.ContractExecutableType.CONTRACT_EXECUTABLE_STELLAR_ASSET:
        shown = {"stellar_asset": None}
    else:
        ref = executable.external_ref
        shown = {
            "external_ref": {
                "owner": address_of(ref.executable_owner),
                "tag": _text("string", ref.tag.sc_string),
            }
        }
    return {"executable": shown, "storage": _pairs(instance.storage, depth)}


def _text(tag: str, raw: bytes) -> Decoded:
    try:
        return {tag: raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {f"{tag}_hex": raw.hex()}


def _error(value: Any) -> Decoded:
    error = value.error
    kind = error.type.name.removeprefix("SCE_").lower()
    if error.type == xdr.SCErrorType.SCE_CONTRACT:
        return {"error": {"type": kind, "code": error.contract_code.uint32}}
    return {"error": {"type": kind, "code": error.code.name.removeprefix("SCEC_").lower()}}


def _wide(parts: Any, names: tuple[str, ...]) -> str:
    """A big integer from its 64-bit words, the highest first; only that one is signed (or not)."""
    total = 0
    for name in names:
        word = getattr(parts, name)
        total = total * _UNSIGNED_64 + (word.int64 if hasattr(word, "int64") else word.uint64)
    return str(total)


_TWO: Final = ("hi", "lo")
_FOUR: Final = ("hi_hi", "hi_lo", "lo_hi", "lo_lo")
_T: Final = xdr.SCValType
_LEAVES: Final[dict[xdr.SCValType, Callable[[Any], Decoded]]] = {
    _T.SCV_BOOL: lambda value: {"bool": value.b},
    _T.SCV_VOID: lambda value: {"void": None},
    _T.SCV_ERROR: _error,
    _T.SCV_U32: lambda value: {"u32": value.u32.uint32},
    _T.SCV_I32: lambda value: {"i32": value.i32.int32},
    _T.SCV_U64: lambda value: {"u64": str(value.u64.uint64)},
    _T.SCV_I64: lambda value: {"i64": str(value.i64.int64)},
    _T.SCV_TIMEPOINT: lambda value: {"timepoint": str(value.timepoint.time_point.uint64)},
    _T.SCV_DURATION: lambda value: {"duration": str(value.duration.duration.uint64)},
    _T.SCV_U128: lambda value: {"u128": _wide(value.u128, _TWO)},
    _T.SCV_I128: lambda value: {"i128": _wide(value.i128, _TWO)},
    _T.SCV_U256: lambda value: {"u256": _wide(value.u256, _FOUR)},
    _T.SCV_I256: lambda value: {"i256": _wide(value.i256, _FOUR)},
    _T.SCV_BYTES: lambda value: {"bytes": value.bytes.sc_bytes.hex()},
    _T.SCV_STRING: lambda value: _text("string", value.str.sc_string),
    _T.SCV_SYMBOL: lambda value: _text("symbol", value.sym.sc_symbol),
    _T.SCV_ADDRESS: lambda value: {"address": address_of(value.address)},
    _T.SCV_LEDGER_KEY_CONTRACT_INSTANCE: lambda value: {"ledger_key_contract_instance": None},
    _T.SCV_LEDGER_KEY_NONCE: lambda value: {"ledger_key_nonce": str(value.nonce_key.nonce.int64)},
    _T.SCV_EXECUTABLE_TAG: lambda value: _text("executable_tag", value.executable_tag.sc_string),
}


def field_of(value: Decoded, name: str) -> Decoded | None:
    """The value under the symbol or string `name` of a decoded map; None where there is none."""
    pairs = value.get("map")
    if not isinstance(pairs, list):
        return None
    for pair in pairs:
        if pair["key"].get("symbol", pair["key"].get("string")) == name:
            found: Decoded = pair["val"]
            return found
    return None


_INTEGERS: Final = frozenset(
    {"u32", "i32", "u64", "i64", "u128", "i128", "u256", "i256", "timepoint", "duration"}
)


def integer_of(value: Decoded) -> int | None:
    """The integer of any integer ScVal; None for any other."""
    ((tag, held),) = value.items()
    return int(held) if tag in _INTEGERS else None

"""Contracts' code as far as driftwatch reads it: a wasm module of nothing but its interface (SEP-48)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from stellar_sdk import scval, xdr
from stellar_sdk.sep.contract_spec import ContractSpec

from app.demo.rpc.ledgers import Change
from connectors.soroban import keys

T = xdr.SCSpecType
PLAIN = {
    "bool": T.SC_SPEC_TYPE_BOOL,
    "u32": T.SC_SPEC_TYPE_U32,
    "u64": T.SC_SPEC_TYPE_U64,
    "i128": T.SC_SPEC_TYPE_I128,
    "Symbol": T.SC_SPEC_TYPE_SYMBOL,
    "String": T.SC_SPEC_TYPE_STRING,
    "Bytes": T.SC_SPEC_TYPE_BYTES,
    "Address": T.SC_SPEC_TYPE_ADDRESS,
}


def kind(spelled: str) -> xdr.SCSpecTypeDef:
    """A type as a contract's source spells it; any other name is a type of its own."""
    if spelled.startswith("Option<"):
        return xdr.SCSpecTypeDef(T.SC_SPEC_TYPE_OPTION, option=xdr.SCSpecTypeOption(kind(spelled[7:-1])))
    if spelled.startswith("Vec<"):
        return xdr.SCSpecTypeDef(T.SC_SPEC_TYPE_VEC, vec=xdr.SCSpecTypeVec(kind(spelled[4:-1])))
    if spelled in PLAIN:
        return xdr.SCSpecTypeDef(PLAIN[spelled])
    return xdr.SCSpecTypeDef(T.SC_SPEC_TYPE_UDT, udt=xdr.SCSpecTypeUDT(spelled.encode()))


def struct(name: str, fields: Mapping[str, str]) -> xdr.SCSpecEntry:
    listed = [xdr.SCSpecUDTStructFieldV0(b"", each.encode(), kind(type_)) for each, type_ in fields.items()]
    found = xdr.SCSpecUDTStructV0(b"", b"", name.encode(), listed)
    return xdr.SCSpecEntry(xdr.SCSpecEntryKind.SC_SPEC_ENTRY_UDT_STRUCT_V0, udt_struct_v0=found)


def enum(name: str, cases: Sequence[str]) -> xdr.SCSpecEntry:
    listed = [xdr.SCSpecUDTEnumCaseV0(b"", each.encode(), xdr.Uint32(n)) for n, each in enumerate(cases)]
    found = xdr.SCSpecUDTEnumV0(b"", b"", name.encode(), listed)
    return xdr.SCSpecEntry(xdr.SCSpecEntryKind.SC_SPEC_ENTRY_UDT_ENUM_V0, udt_enum_v0=found)


def union(name: str, cases: Mapping[str, Sequence[str]]) -> xdr.SCSpecEntry:
    listed = [_case(each, types) for each, types in cases.items()]
    found = xdr.SCSpecUDTUnionV0(b"", b"", name.encode(), listed)
    return xdr.SCSpecEntry(xdr.SCSpecEntryKind.SC_SPEC_ENTRY_UDT_UNION_V0, udt_union_v0=found)


def _case(name: str, types: Sequence[str]) -> xdr.SCSpecUDTUnionCaseV0:
    kinds = xdr.SCSpecUDTUnionCaseV0Kind
    if not types:
        void = xdr.SCSpecUDTUnionCaseVoidV0(b"", name.encode())
        return xdr.SCSpecUDTUnionCaseV0(kinds.SC_SPEC_UDT_UNION_CASE_VOID_V0, void_case=void)
    found = xdr.SCSpecUDTUnionCaseTupleV0(b"", name.encode(), [kind(each) for each in types])
    return xdr.SCSpecUDTUnionCaseV0(kinds.SC_SPEC_UDT_UNION_CASE_TUPLE_V0, tuple_case=found)


def function(name: str, inputs: Mapping[str, str], output: str) -> xdr.SCSpecEntry:
    listed = [xdr.SCSpecFunctionInputV0(b"", each.encode(), kind(type_)) for each, type_ in inputs.items()]
    found = xdr.SCSpecFunctionV0(b"", xdr.SCSymbol(name.encode()), listed, [kind(output)])
    return xdr.SCSpecEntry(xdr.SCSpecEntryKind.SC_SPEC_ENTRY_FUNCTION_V0, function_v0=found)


def event(name: str, params: Mapping[str, str]) -> xdr.SCSpecEntry:
    """All parameters are topics."""
    place = xdr.SCSpecEventParamLocationV0.SC_SPEC_EVENT_PARAM_LOCATION_TOPIC_LIST
    listed = [
        xdr.SCSpecEventParamV0(b"", each.encode(), kind(type_), place) for each, type_ in params.items()
    ]
    word = xdr.SCSymbol(name.encode())
    form = xdr.SCSpecEventDataFormat.SC_SPEC_EVENT_DATA_FORMAT_MAP
    found = xdr.SCSpecEventV0(b"", b"", word, [word], listed, form)
    return xdr.SCSpecEntry(xdr.SCSpecEntryKind.SC_SPEC_ENTRY_EVENT_V0, event_v0=found)


def module(*entries: xdr.SCSpecEntry) -> bytes:
    """A wasm module with one custom section, `contractspecv0`."""
    name = b"contractspecv0"
    content = bytes([len(name)]) + name + ContractSpec(tuple(entries)).to_xdr_bytes()
    return b"\x00asm\x01\x00\x00\x00" + b"\x00" + _leb128(len(content)) + content


def _leb128(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def deployed(contract: str, wasm: bytes) -> list[Change]:
    """The entries of a contract that runs this code: its instance, and the code."""
    digest = xdr.Hash(hashlib.sha256(wasm).digest())
    code = xdr.ContractCodeEntry(xdr.ContractCodeEntryExt(0), digest, wasm)
    kinds = xdr.LedgerEntryType
    place = xdr.LedgerKey(kinds.CONTRACT_CODE, contract_code=xdr.LedgerKeyContractCode(digest))
    executable = xdr.ContractExecutable(xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM, wasm_hash=digest)
    held = xdr.SCVal(
        xdr.SCValType.SCV_CONTRACT_INSTANCE, instance=xdr.SCContractInstance(executable, xdr.SCMap([]))
    )
    return [
        Change(place.to_xdr(), xdr.LedgerEntryData(kinds.CONTRACT_CODE, contract_code=code).to_xdr()),
        stored(contract, xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE), held),
    ]


def stored(contract: str, key: xdr.SCVal, value: xdr.SCVal | None, live_until: int = 1 << 30) -> Change:
    """Persistent data of a contract; None: it is gone."""
    place = keys.persistent_key(contract, key)
    if value is None:
        return Change(place, None)
    entry = xdr.ContractDataEntry(
        ext=xdr.ExtensionPoint(0),
        contract=keys.address_value(contract).address,
        key=key,
        durability=xdr.ContractDataDurability.PERSISTENT,
        val=value,
    )
    data = xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=entry).to_xdr()
    return Change(place, data, live_until)


LOANS = module(
    enum("LoanState", ["Requested", "Active", "Repaid"]),
    struct(
        "Loan",
        {
            "borrower": "Address",
            "history": "Vec<u64>",
            "opened_at": "u64",
            "principal": "i128",
            "rate_bps": "u32",
            "repaid_amount": "i128",
            "state": "LoanState",
        },
    ),
    struct("Config", {"admin": "Address", "fee_bps": "u32"}),
    union("DataKey", {"Config": (), "Loan": ["Address"], "Points": ["Address"]}),
    function("get_loan", {"borrower": "Address"}, "Option<Loan>"),
    function("points", {"holder": "Address"}, "i128"),
    function("repay", {"borrower": "Address", "amount": "i128"}, "i128"),
    event("loan_opened", {"borrower": "Address"}),
    event("loan_repaid", {"borrower": "Address"}),
)
"""A lending contract that nobody ships a decoder for."""


def loan(borrower: str, principal: int, repaid: int = 0, state: int = 1) -> xdr.SCVal:
    """The value of a `Loan`."""
    return scval.to_struct(
        {
            "borrower": scval.to_address(borrower),
            "history": scval.to_vec([scval.to_uint64(1)]),
            "opened_at": scval.to_uint64(1_795_000_000),
            "principal": scval.to_int128(principal),
            "rate_bps": scval.to_uint32(500),
            "repaid_amount": scval.to_int128(repaid),
            "state": scval.to_uint32(state),
        }
    )

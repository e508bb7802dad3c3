"""A contract's own interface (SEP-48): read from the code that it runs, in the words of a rule's author."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from stellar_sdk import StrKey, xdr
from stellar_sdk.sep.contract_spec import ContractSpec
from stellar_sdk.sep.exceptions import InvalidWasmError

from app.errors import Fatal
from app.rules.scaffold import (
    ContractInterface,
    EventShape,
    Function,
    KeyCase,
    Kind,
    Part,
    Struct,
    Type,
)
from connectors.soroban import keys, scval
from connectors.soroban.rpc import NodeApi

_T: Final = xdr.SCSpecType
_PLAIN: Final[Mapping[xdr.SCSpecType, Type]] = {
    _T.SC_SPEC_TYPE_BOOL: Type("bool", Kind.BOOLEAN, "bool"),
    _T.SC_SPEC_TYPE_U32: Type("u32", Kind.SMALL, "u32"),
    _T.SC_SPEC_TYPE_I32: Type("i32", Kind.SMALL, "i32"),
    _T.SC_SPEC_TYPE_U64: Type("u64", Kind.LONG, "u64"),
    _T.SC_SPEC_TYPE_I64: Type("i64", Kind.LONG, "i64"),
    _T.SC_SPEC_TYPE_TIMEPOINT: Type("Timepoint", Kind.MOMENT, "timepoint"),
    _T.SC_SPEC_TYPE_DURATION: Type("Duration", Kind.LONG, "duration"),
    _T.SC_SPEC_TYPE_U128: Type("u128", Kind.WIDE, "u128"),
    _T.SC_SPEC_TYPE_I128: Type("i128", Kind.WIDE, "i128"),
    _T.SC_SPEC_TYPE_U256: Type("u256", Kind.WIDE, "u256"),
    _T.SC_SPEC_TYPE_I256: Type("i256", Kind.WIDE, "i256"),
    _T.SC_SPEC_TYPE_BYTES: Type("Bytes", Kind.BYTES, "bytes"),
    _T.SC_SPEC_TYPE_STRING: Type("String", Kind.STRING, "string"),
    _T.SC_SPEC_TYPE_SYMBOL: Type("Symbol", Kind.SYMBOL, "symbol"),
    _T.SC_SPEC_TYPE_ADDRESS: Type("Address", Kind.ADDRESS, "address"),
    _T.SC_SPEC_TYPE_MUXED_ADDRESS: Type("MuxedAddress", Kind.ADDRESS, "address"),
}


async def read_interface(rpc: NodeApi, contract: str) -> ContractInterface:
    """The interface of a contract on the network: its instance names the code, the code holds the interface.
    Raises what the node's calls raise, and `Fatal` for a contract without one."""
    if not StrKey.is_valid_contract(contract):
        raise Fatal(
            "reading the interface of", contract[:80], "it is no contract id", "such as C…, 56 letters"
        )
    place = keys.instance_key(contract)
    _, found = await rpc.get_ledger_entries([place])
    if place not in found:
        hint = "check SOROBAN_RPC_URL and STELLAR_NETWORK_PASSPHRASE"
        raise Fatal("reading the interface of", contract, "there is no such contract on this network", hint)
    instance = keys.read_contract_data(found[place].xdr).value.get("contract_instance", {})
    digest = instance.get("executable", {}).get("wasm")
    if digest is None:
        hint = "app/rules/examples/token-balance is a rule for tokens"
        cause = "it runs no code of its own (a Stellar asset), and has no interface"
        raise Fatal("reading the interface of", contract, cause, hint)
    code = xdr.LedgerKey(
        xdr.LedgerEntryType.CONTRACT_CODE,
        contract_code=xdr.LedgerKeyContractCode(xdr.Hash(bytes.fromhex(digest))),
    ).to_xdr()
    _, found = await rpc.get_ledger_entries([code])
    if code not in found:
        raise Fatal(
            "reading the interface of", contract, f"its code {digest} is not there", "is it archived?"
        )
    return interface_of(contract, _wasm_in(found[code].xdr, contract, digest))


def interface_of(contract: str, wasm: bytes) -> ContractInterface:
    """The interface in a contract's code. Raises `Fatal` for code that has none."""
    try:
        spec = ContractSpec.from_wasm(wasm)
        if not len(spec):
            raise InvalidWasmError("the code has no section contractspecv0")
        return _Reader(spec).read(contract)
    except (InvalidWasmError, *scval.MALFORMED) as error:
        cause = str(error) or type(error).__name__
        raise Fatal("reading the interface of", contract, cause, "write the rule by hand") from error


def _wasm_in(entry: str, contract: str, digest: str) -> bytes:
    try:
        code = xdr.LedgerEntryData.from_xdr(entry).contract_code
    except (*scval.MALFORMED, RecursionError) as error:
        raise Fatal("reading the interface of", contract, f"no XDR of this protocol: {error}") from error
    if code is None or hashlib.sha256(code.code).hexdigest() != digest:
        raise Fatal("reading the interface of", contract, "the node's code is not what the instance runs")
    return code.code


class _Reader:
    """Types that a specification defines, by name."""

    def __init__(self, spec: ContractSpec) -> None:
        self._spec = spec
        self._structs = {_text(each.name) for each in spec.structs}
        self._enums = {
            _text(each.name): tuple((case.value.uint32, _text(case.name)) for case in each.cases)
            for each in spec.enums
        }

    def read(self, contract: str) -> ContractInterface:
        spec = self._spec
        return ContractInterface(
            contract,
            tuple(
                Struct(_text(each.name), tuple(self._part(one) for one in each.fields))
                for each in spec.structs
                if not _is_tuple(each)
            ),
            tuple(self._cases()),
            tuple(self._function(each) for each in spec.functions),
            tuple(
                EventShape(
                    _text(each.name.sc_symbol),
                    tuple(_text(topic.sc_symbol) for topic in each.prefix_topics),
                    tuple(self._part(one) for one in each.params),
                )
                for each in spec.events
            ),
        )

    def _cases(self) -> list[KeyCase]:
        found: list[KeyCase] = []
        for union in self._spec.unions:
            for case in union.cases:
                if case.tuple_case is not None:
                    types = tuple(self._type(each) for each in case.tuple_case.type)
                    found.append(KeyCase(_text(union.name), _text(case.tuple_case.name), types))
        return found

    def _function(self, function: xdr.SCSpecFunctionV0) -> Function:
        inputs = tuple(Part(_text(each.name), self._type(each.type)) for each in function.inputs)
        output = self._type(function.outputs[0]) if function.outputs else None
        return Function(_text(function.name.sc_symbol), inputs, output)

    def _part(self, part: xdr.SCSpecUDTStructFieldV0 | xdr.SCSpecEventParamV0) -> Part:
        return Part(_text(part.name), self._type(part.type))

    def _type(self, stated: xdr.SCSpecTypeDef) -> Type:
        """An Option or a Result is what it holds: an absent part reads as null."""
        plain = _PLAIN.get(stated.type)
        if plain is not None:
            return plain
        if stated.option is not None:
            return self._type(stated.option.value_type)
        if stated.result is not None:
            return self._type(stated.result.ok_type)
        if stated.bytes_n is not None:
            return Type(f"BytesN<{stated.bytes_n.n.uint32}>", Kind.BYTES, "bytes")
        if stated.udt is not None:
            return self._named(_text(stated.udt.name))
        return Type(stated.type.name.removeprefix("SC_SPEC_TYPE_").title(), Kind.OTHER)

    def _named(self, name: str) -> Type:
        if name in self._enums:
            return Type(name, Kind.ENUM, "u32", name, self._enums[name])
        return Type(name, Kind.STRUCT, "map", name) if name in self._structs else Type(name, Kind.OTHER)


def _is_tuple(struct: xdr.SCSpecUDTStructV0) -> bool:
    """A tuple struct is a vector, and its fields are named by their places."""
    return bool(struct.fields) and all(_text(field.name).isdecimal() for field in struct.fields)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")

"""The quick decoder says what the total one says, or nothing."""

from __future__ import annotations

import base64
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stellar_sdk import StrKey, scval, xdr

from app.errors import Poison
from connectors.soroban import keys, quick

ACCOUNT = StrKey.encode_ed25519_public_key(bytes(range(32)))
CONTRACT = StrKey.encode_contract(bytes(range(32, 64)))

leaves = st.one_of(
    st.booleans().map(scval.to_bool),
    st.just(scval.to_void()),
    st.integers(0, 2**32 - 1).map(scval.to_uint32),
    st.integers(-(2**31), 2**31 - 1).map(scval.to_int32),
    st.integers(0, 2**64 - 1).map(scval.to_uint64),
    st.integers(-(2**63), 2**63 - 1).map(scval.to_int64),
    st.integers(0, 2**64 - 1).map(scval.to_timepoint),
    st.integers(0, 2**64 - 1).map(scval.to_duration),
    st.integers(0, 2**128 - 1).map(scval.to_uint128),
    st.integers(-(2**127), 2**127 - 1).map(scval.to_int128),
    st.integers(-(2**255), 2**255 - 1).map(scval.to_int256),
    st.binary(max_size=9).map(scval.to_bytes),
    st.binary(max_size=9).map(scval.to_string),
    st.text("abc_Z9", max_size=32).map(scval.to_symbol),
    st.sampled_from([ACCOUNT, CONTRACT]).map(scval.to_address),
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4).map(scval.to_vec)
        | st.lists(st.tuples(inner, inner), max_size=4).map(
            lambda pairs: xdr.SCVal(
                xdr.SCValType.SCV_MAP, map=xdr.SCMap([xdr.SCMapEntry(key, held) for key, held in pairs])
            )
        )
    ),
    max_leaves=12,
)


def entry(key: xdr.SCVal, value: xdr.SCVal, *, is_temporary: bool = False) -> bytes:
    durability = (
        xdr.ContractDataDurability.TEMPORARY if is_temporary else xdr.ContractDataDurability.PERSISTENT
    )
    contract = scval.to_address(CONTRACT).address
    assert contract is not None
    data = xdr.ContractDataEntry(xdr.ExtensionPoint(0), contract, key, durability, value)
    return xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data).to_xdr_bytes()


def by_the_total_decoder(raw: bytes) -> Any:
    with patch.object(quick, "read_entry", lambda raw: None):
        try:
            return keys.read_contract_data(base64.b64encode(raw).decode())
        except Poison:
            return Poison


@given(values, values, st.booleans())
def test_both_decoders_agree_on_every_entry(key: xdr.SCVal, value: xdr.SCVal, is_temporary: bool) -> None:
    raw = entry(key, value, is_temporary=is_temporary)
    found = quick.read_entry(raw)
    assert found is None or keys.ContractData(*found) == by_the_total_decoder(raw)


@given(values, st.data())
def test_bytes_that_were_damaged_are_never_read_otherwise(value: xdr.SCVal, data: st.DataObject) -> None:
    raw = bytearray(entry(scval.to_address(ACCOUNT), value))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(raw[: data.draw(st.integers(0, len(raw)))]) if data.draw(st.booleans()) else bytes(raw)
    found = quick.read_entry(damaged)
    assert found is None or keys.ContractData(*found) == by_the_total_decoder(damaged)


def test_a_credit_line_is_one_of_the_usual_shapes() -> None:
    value = scval.to_map(
        {scval.to_symbol("limit"): scval.to_int128(-5), scval.to_symbol("on"): scval.to_bool(True)}
    )
    found = quick.read_entry(entry(scval.to_address(ACCOUNT), value))
    assert found is not None
    assert found[1:3] == (CONTRACT, {"address": ACCOUNT})


@given(st.sampled_from([ACCOUNT, CONTRACT]) | st.text(max_size=60))
@example(ACCOUNT[:-1] + "A")
@example(ACCOUNT.lower())
@example("M" + ACCOUNT[1:])
def test_the_key_of_an_address_is_the_same_either_way(address: str) -> None:
    found = quick.address_key(CONTRACT, address)
    try:
        expected = keys.persistent_key(CONTRACT, keys.address_value(address))
    except Poison:
        expected = None
        with pytest.raises(Poison):
            keys.address_key(CONTRACT, address)
    assert found in (None, expected)
    if address in (ACCOUNT, CONTRACT):
        assert found == expected

"""The decoder of ScVals: every kind has its form, anything else is poison."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from stellar_sdk import Keypair, StrKey, scval, xdr

from app.errors import Poison
from connectors.soroban.scval import MAX_DEPTH, decode, field_of, integer_of

T = xdr.SCValType
ACCOUNT = Keypair.from_raw_ed25519_seed(bytes(31) + b"\x01").public_key
CONTRACT = StrKey.encode_contract(bytes(31) + b"\x07")
MUXED = StrKey.encode_med25519_public_key(StrKey.decode_ed25519_public_key(ACCOUNT) + (5).to_bytes(8, "big"))
BALANCE = StrKey.encode_claimable_balance(bytes(33))
POOL = StrKey.encode_liquidity_pool(bytes(32))


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (scval.to_bool(True), {"bool": True}),
        (scval.to_void(), {"void": None}),
        (scval.to_uint32(2**32 - 1), {"u32": 2**32 - 1}),
        (scval.to_int32(-(2**31)), {"i32": -(2**31)}),
        (scval.to_uint64(2**64 - 1), {"u64": str(2**64 - 1)}),
        (scval.to_int64(-(2**63)), {"i64": str(-(2**63))}),
        (scval.to_timepoint(1_785_578_405), {"timepoint": "1785578405"}),
        (scval.to_duration(30), {"duration": "30"}),
        (scval.to_uint128(2**128 - 1), {"u128": str(2**128 - 1)}),
        (scval.to_int128(-(2**127)), {"i128": str(-(2**127))}),
        (scval.to_int128(2**127 - 1), {"i128": str(2**127 - 1)}),
        (scval.to_int128(-1), {"i128": "-1"}),
        (scval.to_uint256(2**256 - 1), {"u256": str(2**256 - 1)}),
        (scval.to_int256(-(2**255)), {"i256": str(-(2**255))}),
        (scval.to_int256(-(2**64)), {"i256": str(-(2**64))}),
        (scval.to_bytes(b"\x00\xff"), {"bytes": "00ff"}),
        (scval.to_bytes(b""), {"bytes": ""}),
        (scval.to_string("ﷺ"), {"string": "ﷺ"}),
        (scval.to_string(b"\xff\xfe"), {"string_hex": "fffe"}),
        (scval.to_symbol("credit"), {"symbol": "credit"}),
        (scval.to_address(ACCOUNT), {"address": ACCOUNT}),
        (scval.to_address(CONTRACT), {"address": CONTRACT}),
        (scval.to_address(MUXED), {"address": MUXED}),
        (scval.to_address(BALANCE), {"address": BALANCE}),
        (scval.to_address(POOL), {"address": POOL}),
        (scval.to_vec([]), {"vec": []}),
        (xdr.SCVal(T.SCV_VEC), {"vec": None}),
        (xdr.SCVal(T.SCV_MAP), {"map": None}),
        (scval.to_vec([scval.to_uint32(1), scval.to_void()]), {"vec": [{"u32": 1}, {"void": None}]}),
        (
            scval.to_map({scval.to_uint32(1): scval.to_bool(False)}),
            {"map": [{"key": {"u32": 1}, "val": {"bool": False}}]},
        ),
        (xdr.SCVal(T.SCV_LEDGER_KEY_CONTRACT_INSTANCE), {"ledger_key_contract_instance": None}),
        (
            xdr.SCVal(T.SCV_LEDGER_KEY_NONCE, nonce_key=xdr.SCNonceKey(xdr.Int64(-5))),
            {"ledger_key_nonce": "-5"},
        ),
        (
            xdr.SCVal(
                T.SCV_ERROR,
                error=xdr.SCError(xdr.SCErrorType.SCE_CONTRACT, contract_code=xdr.Uint32(7)),
            ),
            {"error": {"type": "contract", "code": 7}},
        ),
        (
            xdr.SCVal(
                T.SCV_ERROR,
                error=xdr.SCError(xdr.SCErrorType.SCE_BUDGET, code=xdr.SCErrorCode.SCEC_EXCEEDED_LIMIT),
            ),
            {"error": {"type": "budget", "code": "exceeded_limit"}},
        ),
    ],
)
def test_each_kind_has_its_form(value: xdr.SCVal, form: dict[str, Any]) -> None:
    assert decode(value.to_xdr()) == form


def test_an_instance_shows_its_code_and_its_storage() -> None:
    wasm = xdr.ContractExecutable(
        xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM, wasm_hash=xdr.Hash(b"\xab" * 32)
    )
    asset = xdr.ContractExecutable(xdr.ContractExecutableType.CONTRACT_EXECUTABLE_STELLAR_ASSET)
    storage = scval.to_map({scval.to_symbol("admin"): scval.to_uint32(1)}).map

    found = [
        decode(xdr.SCVal(T.SCV_CONTRACT_INSTANCE, instance=xdr.SCContractInstance(code, held)).to_xdr())
        for code, held in ((wasm, storage), (asset, None))
    ]

    assert found == [
        {
            "contract_instance": {
                "executable": {"wasm": "ab" * 32},
                "storage": [{"key": {"symbol": "admin"}, "val": {"u32": 1}}],
            }
        },
        {"contract_instance": {"executable": {"stellar_asset": None}, "storage": None}},
    ]


@pytest.mark.parametrize(
    "text",
    [
        "", "A", "AAAA", "====", "no base64", "*", "AAAAAw==", "AAAA//8=", "AAAAEAAAAAE=", "é", "AAAAAw\n==",
        base64.b64encode(b"\xff" * 64).decode(),
        base64.b64encode(b"\x00\x00\x00\x0d\xff\xff\xff\xff").decode(),
        base64.b64encode(b"\x00\x00\x00\x10\x00\x00\x00\x01\x7f\xff\xff\xff").decode(),
    ],
)  # fmt: skip
def test_what_is_no_scval_is_poison(text: str) -> None:
    with pytest.raises(Poison):
        decode(text)


@pytest.mark.parametrize("levels", [MAX_DEPTH - 1, MAX_DEPTH + 1, 300, 5_000])
def test_what_nests_too_deeply_is_kept_as_it_came(levels: int) -> None:
    raw = b"\x00\x00\x00\x10\x00\x00\x00\x01\x00\x00\x00\x01" * levels + b"\x00\x00\x00\x01"

    found = decode(base64.b64encode(raw).decode())

    depth = 0
    while isinstance(found.get("vec"), list):
        (found,) = found["vec"]
        depth += 1
    assert found == {"void": None} if levels < MAX_DEPTH else "xdr" in found
    assert depth <= MAX_DEPTH


def test_a_field_is_found_by_its_symbol_or_string() -> None:
    struct = decode(
        scval.to_map(
            {scval.to_symbol("a"): scval.to_int128(5), scval.to_string("b"): scval.to_void()}
        ).to_xdr()
    )

    assert field_of(struct, "a") == {"i128": "5"}
    assert field_of(struct, "b") == {"void": None}
    assert field_of(struct, "c") is None
    assert field_of({"vec": []}, "a") is None
    assert field_of({"map": None}, "a") is None


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ({"u32": 5}, 5),
        ({"i128": "-5"}, -5),
        ({"timepoint": "9"}, 9),
        ({"symbol": "5"}, None),
        ({"bool": True}, None),
    ],
)
def test_the_integer_of_any_integer(value: dict[str, Any], number: int | None) -> None:
    assert integer_of(value) == number

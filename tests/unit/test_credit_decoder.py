"""The credit contract: whom an event names, where a line stands, what it says, in all its generations."""

from __future__ import annotations

from typing import Any

import pytest
from stellar_sdk import scval, xdr

from app.errors import Fatal, Poison
from connectors.soroban import keys
from connectors.soroban.contracts import decoder_of
from connectors.soroban.contracts.credit import STATUSES, CreditLine
from connectors.soroban.keys import ContractData, read_contract_data
from connectors.soroban.scval import decode
from tests.support.soroban_node import CONTRACT, borrower, entry_xdr

CREDIT = CreditLine()
WHO = borrower(1)
SIX: dict[str, xdr.SCVal] = {
    "borrower": scval.to_address(WHO),
    "credit_limit": scval.to_int128(2**127 - 1),
    "interest_rate_bps": scval.to_uint32(500),
    "risk_score": scval.to_uint32(70),
    "status": scval.to_uint32(0),
    "utilized_amount": scval.to_int128(-5),
}
SEVEN = SIX | {"last_rate_update_ts": scval.to_uint64(1_785_578_405)}
TEN = SEVEN | {
    "accrued_interest": scval.to_int128(3),
    "last_accrual_ts": scval.to_uint64(7),
    "suspension_ts": scval.to_uint64(0),
}


def found(fields: dict[str, xdr.SCVal]) -> ContractData:
    return read_contract_data(entry_xdr(keys.address_value(WHO), scval.to_struct(fields)))


@pytest.mark.parametrize("fields", [SIX, SEVEN, TEN], ids=["six", "seven", "ten"])
def test_a_line_of_each_generation(fields: dict[str, xdr.SCVal]) -> None:
    value = CREDIT.value(found(fields))

    assert value.keys() == fields.keys()
    assert value["borrower"] == WHO
    assert (value["credit_limit"], value["utilized_amount"]) == (str(2**127 - 1), "-5")
    assert (value["interest_rate_bps"], value["status"]) == (500, "active")
    assert value.get("accrued_interest") == ("3" if len(fields) == 10 else None)


@pytest.mark.parametrize(
    ("number", "name"), [*enumerate(STATUSES), (5, "unknown:5"), (2**32 - 1, "unknown:4294967295")]
)
def test_a_status_is_its_name(number: int, name: str) -> None:
    assert CREDIT.value(found(SIX | {"status": scval.to_uint32(number)}))["status"] == name


def test_a_status_of_another_type_is_no_known_one() -> None:
    assert CREDIT.value(found(SIX | {"status": scval.to_symbol("Active")}))["status"] == "unknown:Active"


def test_a_line_without_its_borrower_is_that_of_its_key() -> None:
    fields = {name: value for name, value in SIX.items() if name != "borrower"}

    assert CREDIT.value(found(fields))["borrower"] == WHO


@pytest.mark.parametrize("name", ["credit_limit", "utilized_amount", "interest_rate_bps", "status"])
def test_a_line_without_what_rules_need_is_refused(name: str) -> None:
    fields = {field: value for field, value in SIX.items() if field != name}

    with pytest.raises(Poison, match=f"without {name}"):
        CREDIT.value(found(fields))


def test_what_is_no_map_is_refused() -> None:
    with pytest.raises(Poison, match="it is no map"):
        CREDIT.value(read_contract_data(entry_xdr(keys.address_value(WHO), scval.to_uint32(1))))


def symbols(*names: str) -> list[dict[str, Any]]:
    return [{"symbol": name} for name in names]


DRAWN = decode(scval.to_struct({"amount": scval.to_int128(5), "borrower": scval.to_address(WHO)}).to_xdr())
PAIR = decode(scval.to_vec([scval.to_address(WHO), scval.to_int128(5)]).to_xdr())
VOID = {"void": None}


@pytest.mark.parametrize(
    ("topics", "data", "named"),
    [
        (symbols("credit", "drawn"), DRAWN, (WHO,)),
        (symbols("credit", "anything_new"), DRAWN, (WHO,)),
        (symbols("credit", "liq_req"), PAIR, (WHO,)),
        (symbols("credit", "draw"), PAIR, (WHO,)),
        (symbols("credit", "drawn"), PAIR, ()),
        ([*symbols("credit_draw"), {"address": WHO}], VOID, (WHO,)),
        ([*symbols("blk_chg"), {"address": WHO}], VOID, (WHO,)),
        ([*symbols("transfer"), {"address": WHO}], DRAWN, ()),
        (symbols("credit", "paused"), VOID, ()),
        (symbols("credit"), VOID, ()),
        ([], DRAWN, ()),
        ([{"string": "credit"}, *symbols("drawn")], DRAWN, ()),
        ([{"xdr": "AAAA"}], {"xdr": "AAAA"}, ()),
        (symbols("credit", "liq_req"), {"vec": []}, ()),
        (symbols("credit", "liq_req"), {"vec": None}, ()),
        (symbols("credit", "drawn"), {"map": [{"key": {"symbol": "borrower"}, "val": {"u32": 5}}]}, ()),
        (
            symbols("credit", "drawn"),
            {"map": [{"key": {"symbol": "borrower"}, "val": {"address": "L" + "A" * 55}}]},
            (),
        ),
    ],
    ids=range(17),
)
def test_whom_an_event_names(
    topics: list[dict[str, Any]], data: dict[str, Any], named: tuple[str, ...]
) -> None:
    assert CREDIT.named_by(topics, data) == named


def test_a_line_stands_under_the_bare_address() -> None:
    place = CREDIT.ledger_key(CONTRACT, WHO)

    assert place == read_contract_data(entry_xdr(keys.address_value(WHO), scval.to_void())).ledger_key
    assert CREDIT.ledger_key(CONTRACT, CONTRACT) != place


@pytest.mark.parametrize(
    "key", ["", "x", "GABC", "L" + "A" * 55, "S" + "A" * 55, "G" * 56, "ﷺ", "G" * 100_000]
)
def test_a_key_that_can_have_no_line_is_refused(key: str) -> None:
    with pytest.raises(Poison) as raised:
        CREDIT.ledger_key(CONTRACT, key)

    assert len(str(raised.value)) < 400


def test_the_instance_counts_the_lines_and_each_number_names_its_borrower() -> None:
    counted = {"vec": [{"symbol": "CreditLineCount"}]}
    storage = [{"key": {"symbol": "admin"}, "val": {"u32": 1}}, {"key": counted, "val": {"u32": 41}}]
    instance = ContractData("", CONTRACT, {}, {"contract_instance": {"storage": storage}})

    assert CREDIT.count(instance) == 41
    for nothing in (
        {},
        {"contract_instance": {"storage": None}},
        {"contract_instance": {"storage": storage[:1]}},
    ):
        assert CREDIT.count(ContractData("", CONTRACT, {}, nothing)) == 0
    assert CREDIT.key_in(ContractData("", CONTRACT, {}, {"address": WHO})) == WHO
    assert CREDIT.numbered_key(CONTRACT, 0) != CREDIT.numbered_key(CONTRACT, 1)
    with pytest.raises(Poison, match="it is no address"):
        CREDIT.key_in(ContractData("", CONTRACT, {}, VOID))


@pytest.mark.parametrize("text", ["", "AAAA", "no base64", entry_xdr(scval.to_void(), scval.to_void())[:-8]])
def test_what_is_no_ledger_entry_is_poison(text: str) -> None:
    with pytest.raises(Poison):
        read_contract_data(text)


def test_a_decoder_that_there_is_not_is_told_with_those_that_there_are() -> None:
    with pytest.raises(Fatal, match="credit-line"):
        decoder_of("debit-line")

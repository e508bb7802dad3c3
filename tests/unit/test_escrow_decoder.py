"""The escrow contract: who an event is about, where the escrow stands, what it says."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import Poison
from connectors.soroban import keys
from connectors.soroban.contracts.escrow import Escrow
from connectors.soroban.contracts.plain import RefusedKey
from tests.support.escrow_world import escrow_xdr, invoice_contract

ESCROW = Escrow()
CONTRACT = invoice_contract(1)
INVOICE: dict[str, Any] = {"symbol": "INV_1"}
INVESTOR: dict[str, Any] = {"address": "GAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QZ6Q"}


def topics(name: str, *more: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"symbol": name}, {"symbol": "short"}, *more]


def payload(**fields: dict[str, Any]) -> dict[str, Any]:
    return {"map": [{"key": {"symbol": name}, "val": value} for name, value in fields.items()]}


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (topics("escrow_funded", INVOICE, INVESTOR), payload()),
        (topics("investor_payout_claimed", INVESTOR, INVOICE), payload()),
        (topics("investor_refunded_evt", INVESTOR, INVOICE), payload()),
        (topics("collateral_cleared_evt", INVOICE), payload()),
        (topics("collateral_recorded_evt"), payload(invoice_id=INVOICE)),
        (topics("escrow_initialized"), payload(escrow=payload(invoice_id=INVOICE))),
    ],
)
def test_an_event_names_its_invoice(event: list[dict[str, Any]], data: dict[str, Any]) -> None:
    assert ESCROW.named_by(event, data) == ("INV_1",)


@pytest.mark.parametrize(
    ("event", "data"),
    [
        ([], payload()),
        ([{"u32": 1}], payload()),
        (topics("escrow_funded"), payload()),
        (topics("escrow_funded", {"u32": 3}), payload()),
        (topics("something_else", INVOICE), payload()),
        (topics("treasury_dust_swept"), {"void": None}),
    ],
)
def test_an_event_that_names_nobody_is_no_error(event: list[dict[str, Any]], data: dict[str, Any]) -> None:
    assert ESCROW.named_by(event, data) == ()


@pytest.mark.parametrize("key", ["INV_1", "a", "_", "A" * 32])
def test_the_escrow_stands_in_the_instance_whatever_the_key(key: str) -> None:
    assert ESCROW.ledger_key(CONTRACT, key) == keys.instance_key(CONTRACT)


@pytest.mark.parametrize(
    ("key", "cause"),
    [
        ("INV-1", "no contract can hold it"),
        ("A" * 33, "no contract can hold it"),
        ("-" * 128, "no contract can hold it"),
        ("A" * 129, "it is no invoice id"),
        ("", "it is no invoice id"),
        ("INV 1", "it is no invoice id"),
        ("INV_1\n", "it is no invoice id"),
        ("1'; DROP TABLE invoices; --", "it is no invoice id"),
        ("İNV", "it is no invoice id"),
    ],
)
def test_an_invoice_that_no_contract_can_hold_is_refused_before_any_call(key: str, cause: str) -> None:
    with pytest.raises(RefusedKey, match=cause):
        ESCROW.ledger_key(CONTRACT, key)


def test_what_an_sdk_leaves_out_is_null() -> None:
    value = ESCROW.value(keys.read_contract_data(escrow_xdr(CONTRACT, 250)))
    assert value["sme_address"] is None
    assert value["maturity"] == "0"


def test_the_escrow_is_read_by_name_with_amounts_as_text() -> None:
    value = ESCROW.value(keys.read_contract_data(escrow_xdr(CONTRACT, 250, status=1)))
    assert (value["funded_amount"], value["amount"], value["yield_bps"]) == ("250", "1000", "800")
    assert (value["status"], value["invoice_id"]) == ("funded", "INV_00001")


def test_a_status_that_nobody_knows_is_said_as_such() -> None:
    assert ESCROW.value(keys.read_contract_data(escrow_xdr(CONTRACT, 1, status=9)))["status"] == "unknown:9"


def test_an_instance_without_an_escrow_is_refused() -> None:
    found = keys.ContractData("key", CONTRACT, {"ledger_key_contract_instance": None}, {"void": None})
    with pytest.raises(Poison, match="holds no escrow"):
        ESCROW.value(found)

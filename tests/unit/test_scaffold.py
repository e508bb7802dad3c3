"""A first rule out of a contract's interface and a table's columns: it loads, and says what it guessed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from stellar_sdk import scval

from app.errors import Fatal
from app.rules import load_rules
from app.rules.document import parse_yaml
from app.rules.scaffold import Column, Scaffold, candidates_of, write_scaffold
from app.rules.scaffold.names import camel, kebab, likeness, snake
from connectors.soroban import keys
from connectors.soroban.contracts import decoder_for
from connectors.soroban.interface import interface_of
from tests.support import wasm
from tests.support.token_world import TOKEN, holder

COLUMNS = (
    Column("id", "bigint", 1),
    Column("wallet_address", "text"),
    Column("principal", "numeric(27,7)"),
    Column("repaid", "numeric"),
    Column("rateBps", "integer"),
    Column("loan_state", "text"),
    Column("opened_at", "timestamp without time zone"),
    Column("note", "text"),
    Column("history", "jsonb[]"),
    Column("borrower", "hstore", None, False),
    Column("deleted_at", "timestamp with time zone"),
)


def made(code: bytes = wasm.LOANS, columns: tuple[Column, ...] = COLUMNS, entry: int = 0) -> Scaffold:
    interface = interface_of(TOKEN, code)
    found = candidates_of(interface, columns)
    return write_scaffold(interface, "public.loans", columns, found[entry:] + found[:entry])


def stated(scaffold: Scaffold) -> dict[str, dict[str, object]]:
    text = scaffold.files[f"{scaffold.rule}.yaml"]
    found = parse_yaml(text)
    assert isinstance(found, dict)
    return found


def test_names_are_alike_whatever_case_they_are_written_in() -> None:
    assert likeness("creditLimit", "CREDIT_LIMIT") == 1.0
    assert likeness("wallet_address", "WalletAddress") == 1.0
    assert 0.6 <= likeness("repaid", "repaid_amount") < 1.0
    assert likeness("note", "principal") < 0.6
    assert likeness("", "x") == 0.0
    assert (camel("RATE_BPS"), snake("rateBPS"), kebab("LoanData")) == ("rateBps", "rate_bps", "loan-data")


def test_each_field_is_compared_as_both_types_allow() -> None:
    fields = stated(made())["fields"]
    assert {
        name: {k: v for k, v in each.items() if k != "severity"}
        for name, each in fields.items()
        if name != "existence"
    } == {
        "walletAddress": {"left": "wallet_address", "right": "borrower", "type": "address"},
        "openedAt": {"left": "opened_at", "right": "opened_at", "type": "time", "zone": "UTC"},
        "principal": {"left": "principal", "right": "principal", "type": "amount", "right_scale": 7},
        "repaid": {"left": "repaid", "right": "repaid_amount", "type": "amount", "right_scale": 7},
        "rateBps": {"left": "rateBps", "right": "rate_bps", "type": "integer"},
        "loanState": {
            "left": "loan_state",
            "right": {"map": {"0": "requested", "1": "active", "2": "repaid"}, "of": "state"},
            "type": "text",
        },
    }


def test_the_rule_says_what_it_guessed_and_what_it_could_not_match() -> None:
    rule = made()
    text = rule.files["loan.yaml"]
    assert stated(rule)["left"] == {
        "table": "public.loans",
        "key": "wallet_address",
        "scope": {"deleted_at": None},
        "out_of_scope": "absent",
    }
    assert "nothing was found for: id (bigint), note (text), history (jsonb[]), borrower (hstore)" in text
    assert "Parts of the entry that nothing was found for: history (Vec)" in text
    assert "(--entry points): points: DataKey::Points(Address) -> i128" in text
    guessed = [line for line in text.splitlines() if "{left:" in line or line.startswith("  key:")]
    assert guessed
    assert all("# GUESS" in line for line in guessed)


@pytest.mark.parametrize("entry", [0, 1])
def test_it_loads_at_once_and_its_decoder_reads_what_the_contract_stores(tmp_path: Path, entry: int) -> None:
    rule = made(entry=entry)
    for name, text in rule.files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    [loaded] = load_rules([tmp_path / f"{rule.rule}.yaml"], {})
    decoder = decoder_for(loaded.right)
    value = wasm.loan(holder(1), 5_0000000) if entry == 0 else scval.to_int128(5)
    change = wasm.stored(TOKEN, keys.variant(("Loan", "Points")[entry], keys.address_value(holder(1))), value)
    assert decoder.ledger_key(TOKEN, holder(1)) == change.key
    found = decoder.value(keys.read_contract_data(str(change.data)))
    assert found["principal" if entry == 0 else "points"] == ("50000000" if entry == 0 else "5")
    assert decoder.named_by([{"symbol": "loan_opened"}, {"address": holder(2)}], {"map": []}) == (holder(2),)
    assert decoder.topics == {"loan_opened", "loan_repaid"}  # type: ignore[attr-defined]
    if entry == 0:
        row = {"wallet_address": holder(1), "principal": "5", "repaid": "0", "rateBps": 500}
        row |= {"loan_state": "active", "opened_at": "2026-11-18T11:06:40Z", "deleted_at": None}
        assert loaded.left.read(row) == loaded.right.read(found)


def test_the_decoder_that_ships_is_used_where_there_is_one() -> None:
    fields = {"borrower": "Address", "credit_limit": "i128", "status": "u32"}
    code = wasm.module(
        wasm.struct("CreditLineData", fields),
        wasm.function("get_credit_line", {"borrower": "Address"}, "Option<CreditLineData>"),
    )
    rule = made(code, (Column("wallet_address", "text", 1), Column("credit_limit", "numeric(27,7)")))
    assert list(rule.files) == ["credit-line.yaml"]
    assert stated(rule)["right"] == {"contract": TOKEN, "entry": "credit-line"}
    assert stated(rule)["left"]["primary_key"] == ["wallet_address"]


@pytest.mark.parametrize("kind", ["u64", "Symbol", "Bytes", "String"])
def test_a_key_may_be_of_any_plain_type_with_or_without_an_enum(tmp_path: Path, kind: str) -> None:
    parts = [
        wasm.struct("Invoice", {"amount": "i128", "paid": "bool", "memo": "Bytes"}),
        wasm.function("get_invoice", {"invoice_id": kind}, "Invoice"),
    ]
    columns = (
        Column("invoice_id", "bigint" if kind == "u64" else "text", 1),
        Column("amount", "numeric(38,0)"),
        Column("paid", "boolean"),
        Column("memo", "bytea"),
    )
    for more, form in (([], 1), ([wasm.union("Key", {"Invoice": [kind]})], 2)):
        rule = made(wasm.module(*parts, *more), columns)
        for name, text in rule.files.items():
            (tmp_path / f"{form}{name}").write_text(
                text.replace("invoice_decoder.py", f"{form}invoice_decoder.py")
            )
        [loaded] = load_rules([tmp_path / f"{form}invoice.yaml"], {})
        assert loaded.left.key == "invoice_id"
        key = {"u64": "7", "Symbol": "INV_7", "Bytes": "00ff", "String": "INV 7"}[kind]
        value = keys.key_value(kind.lower(), key)
        place = value if form == 1 else keys.variant("Invoice", value)
        assert decoder_for(loaded.right).ledger_key(TOKEN, key) == keys.persistent_key(TOKEN, place)


def test_a_struct_that_only_a_key_names_is_a_candidate_too() -> None:
    code = wasm.module(
        wasm.struct("PositionData", {"size": "i128"}),
        wasm.union("Key", {"Position": ["Address"], "Admin": []}),
    )
    rule = made(code, (Column("holder", "text", 1), Column("size", "bigint")))
    assert rule.rule == "position"
    assert re.search(
        r"entry: position    # GUESS: position: Key::Position\(Address\) -> PositionData", str(rule.files)
    )


def test_a_contract_that_tells_nothing_has_no_candidates() -> None:
    code = wasm.module(wasm.function("ping", {}, "u32"))
    assert candidates_of(interface_of(TOKEN, code), COLUMNS) == []


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (b"\x00asm\x01\x00\x00\x00", "no section contractspecv0"),
        (b"not wasm", "magic"),
        (wasm.LOANS[:-5], "EOF"),
        (wasm.module()[:-1] + b"\x01", "no section contractspecv0"),
    ],
)
def test_code_without_an_interface_is_refused(code: bytes, told: str) -> None:
    with pytest.raises(Fatal, match=told):
        interface_of(TOKEN, code)

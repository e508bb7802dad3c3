"""Rules whose keys have a contract each, by a captured table."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import Fatal
from app.rules import ContractTable, load_rules
from app.settings import RULES_FOLDER
from connectors.debezium.capture import captured_tables
from connectors.soroban.service import mapped_of, network_name, watches_of

ESCROW = RULES_FOLDER / "escrow.yaml"
NETWORK = network_name("a network of the tests ; 2026")


def test_the_shipped_rule_names_the_table_of_its_contracts() -> None:
    (rule,) = load_rules([ESCROW], {})
    assert rule.right.contracts == ContractTable("public.escrow_contracts", "invoice_id", "contract_id")
    assert rule.right.contract is None
    assert (watches_of([rule], NETWORK), [each.table.table for each in mapped_of([rule], NETWORK)]) == (
        (),
        ["public.escrow_contracts"],
    )


def test_the_table_is_captured_and_keyed_by_the_rule_s_key() -> None:
    tables = {table.name: table for table in captured_tables(load_rules([ESCROW], {}), "db")}
    table = tables["public.escrow_contracts"]
    assert (table.key, table.columns) == ("invoice_id", ("invoice_id", "contract_id"))
    assert table.rules == ("escrow-funded",)


def test_a_table_has_one_key() -> None:
    mapping = "right.mapping={table: public.escrow_summaries, key: total_funded, contract: contract_id}"
    with pytest.raises(Fatal, match="is keyed by invoice_id and by total_funded"):
        captured_tables(load_rules([ESCROW], {}, [mapping]), "db")


def test_a_contract_and_a_table_of_contracts_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"right\.mapping: stands beside right\.contract"):
        load_rules([ESCROW], {}, ["right.contract=CABC"])
    neither = tmp_path / "neither.yaml"
    lines = ESCROW.read_text(encoding="utf-8").splitlines()
    neither.write_text("\n".join(line for line in lines if "mapping:" not in line), encoding="utf-8")
    with pytest.raises(Fatal, match=r"right\.contract: is missing; allowed: .* or right\.mapping"):
        load_rules([neither], {})

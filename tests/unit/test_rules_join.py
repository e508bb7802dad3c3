"""`left.join`: two tables that make one left side; what is taken and refused, what is captured of both."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.detector.join import JOINED, OWN
from app.detector.model import OUT, Severity
from app.errors import Fatal
from app.rules import LoadedRule, inspect_rules, load_rules
from app.settings import RULES_FOLDER
from connectors.debezium.capture import captured_tables

ESCROW = RULES_FOLDER / "escrow.yaml"
JOIN = """
rule: joined
version: 1
kind: state
left:
  table: public.invoices
  key: id
  join: {table: public.sums, on: {id: invoice}, missing: {total: 0, fee: "0.5", note: null}}
right: {contract: CTHING, entry: thing}
fields:
  name: {left: name, right: name, type: text}
  sum: {left: {plus: [total, fee]}, right: sum, type: amount, right_scale: 7}
  note: {left: note, right: note, type: text, sensitive: hash}
"""


def loaded(folder: Path, text: str = JOIN, *overrides: str) -> LoadedRule:
    file = folder / "rule.yaml"
    file.write_text(text, encoding="utf-8")
    return load_rules([file], {}, overrides)[0]


def problems(folder: Path, *overrides: str, text: str = JOIN) -> dict[str, str]:
    file = folder / "rule.yaml"
    file.write_text(text, encoding="utf-8")
    _, found = inspect_rules([file], {}, overrides)
    return {problem.path: problem.what for problem in found}


def test_the_shipped_escrow_rule_joins_the_summaries() -> None:
    (rule,) = load_rules([ESCROW], {})
    assert [(left.table, left.key) for left in rule.left.tables] == [
        ("public.invoices", "id"),
        ("public.escrow_summaries", "invoice_id"),
    ]
    assert rule.rule.joined == (1,)
    assert all(field.severities == ((-1, Severity.CRITICAL),) for field in rule.rule.fields)
    invoice = {"id": "INV_1", "status": "funded", "deleted_at": None}
    assert rule.left.read(invoice) == ("INV_1", 0)
    assert rule.left.read(invoice | {"status": "settled"}) == OUT
    assert rule.left.read(invoice | {"deleted_at": "2026-01-01T00:00:00Z"}) == OUT


def test_each_table_fills_in_its_own_fields(tmp_path: Path) -> None:
    rule = loaded(tmp_path)
    join = rule.left.join
    assert join is not None
    assert rule.rule.joined == (1, 2)
    assert rule.left.read({"id": 7, "name": "a"}) == ("a", 5_000_000, None)
    assert rule.left.field_columns == ({"name"}, set(), set())
    assert join.field_columns == (set(), {"total", "fee"}, {"note"})
    name, total, note = join.read({"invoice": 7, "total": "1.5", "fee": "0", "note": "secret"})  # type: ignore[misc]
    assert (name, total) == (None, 15_000_000)
    assert str(note).startswith("sha256:")
    assert (rule.left.key_of({"id": 7}), join.key_of({"invoice": 7})) == ("7", "7")


def test_the_rows_of_both_tables_are_told_apart(tmp_path: Path) -> None:
    rule = loaded(tmp_path)
    join = rule.left.join
    assert join is not None
    assert rule.left.row_id({"id": 7}) == 7
    assert rule.left.row_id({"id": "join:7"}) == f"{OWN}join:7"
    assert join.row_id({"id": 7, "invoice": 1}) == f"{JOINED}7"
    other = loaded(tmp_path, JOIN.replace("on: {id: invoice}", "on: {id: invoice}, primary_key: [a, b]"))
    assert other.left.join is not None
    assert other.left.join.row_id({"a": 1, "b": "x", "id": 3}) == f'{JOINED}[1,"x"]'
    assert other.left.join.columns == ("invoice", "a", "b", "total", "fee", "note")


def test_both_tables_are_captured_each_by_its_key(tmp_path: Path) -> None:
    full = JOIN.replace("on: {id: invoice}", "on: {id: invoice}, replica_identity: full")
    tables = {table.name: table for table in captured_tables([loaded(tmp_path, full)], "db")}
    assert (tables["public.invoices"].key, tables["public.invoices"].columns) == ("id", ("id", "name"))
    sums = tables["public.sums"]
    assert (sums.key, sums.columns) == ("invoice", ("invoice", "total", "fee", "note"))
    assert (tables["public.invoices"].images_are_full, sums.images_are_full) == (False, True)


def test_two_rules_key_a_joined_table_by_one_column(tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(
        JOIN.replace("rule: joined", "rule: other").replace("{id: invoice}", "{id: order}"), encoding="utf-8"
    )
    file = tmp_path / "rule.yaml"
    file.write_text(JOIN, encoding="utf-8")
    _, found = inspect_rules([file, other], {})
    assert [(problem.path, problem.allowed) for problem in found] == [("left.join.on", "invoice")]


@pytest.mark.parametrize(
    ("override", "path", "what"),
    [
        ("left.join.table=public.invoices", "left.join.table", "is the left table itself"),
        ("left.join.on={name: invoice}", "left.join.on", "does not say which column holds the rule's key"),
        ("left.join.on={id: a, name: b}", "left.join.on", "does not say which column holds the rule's key"),
        ("left.join.missing={}", "left.join.missing", "is missing"),
        ("left.join.missing.id=0", "left.join.missing.id", "is the key or in the scope"),
        ("left.scope={note: x}", "left.join.missing.note", "is the key or in the scope"),
        ("left.join.missing.unread=0", "left.join.missing.unread", "no field reads it"),
        ("fields.sum.left={minus: [total, name]}", "fields.sum.left", "reads columns of both tables"),
        ("left.join.more=1", "left.join.more", "is not known here"),
    ],
)
def test_what_cannot_be_joined_is_refused(tmp_path: Path, override: str, path: str, what: str) -> None:
    assert problems(tmp_path, override)[path] == what


def test_a_table_with_two_keys_is_not_captured(tmp_path: Path) -> None:
    rule = loaded(tmp_path)
    second = loaded(tmp_path, JOIN.replace("rule: joined", "rule: b").replace("{id: invoice}", "{id: other}"))
    with pytest.raises(Fatal, match=r"they key public\.sums by invoice and by other"):
        captured_tables([rule, second], "db")

"""What the compiled readers make of rows and entries."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.detector.model import ABSENT, OUT
from app.errors import Poison
from app.rules import LoadedRule, load_rules
from app.settings import RULES_FOLDER

ROW: dict[str, object] = {
    "id": 7,
    "wallet_address": "GABC",
    "credit_limit": "1000.0000000",
    "available_credit": "999.5000000",
    "interest_rate_bps": 500,
    "status": "active",
    "deleted_at": None,
    "updated_at": "2026-05-06T05:08:09.000000Z",
}
ENTRY: dict[str, object] = {
    "borrower": "GABC",
    "credit_limit": "10000000000",
    "utilized_amount": "5000000",
    "interest_rate_bps": 500,
    "status": "active",
}


@pytest.fixture(name="credit")
def _credit() -> LoadedRule:
    return load_rules([RULES_FOLDER / "credit.yaml"], {"CREDIT_CONTRACT_ID": "C"})[0]


def reading(folder: Path, field: str, left: str = "") -> LoadedRule:
    file = folder / "rule.yaml"
    file.write_text(
        f"""
rule: one
version: 1
kind: state
left: {{table: public.t, key: k{left}}}
right: {{contract: C, entry: e}}
fields:
  it: {field}
""",
        encoding="utf-8",
    )
    return load_rules([file], {})[0]


def test_a_row_and_the_entry_it_mirrors_give_one_value(credit: LoadedRule) -> None:
    assert credit.left.read(ROW) == ("GABC", 10_000_000_000, "active", 9_995_000_000, 500)
    assert credit.right.read(ENTRY) == credit.left.read(ROW)


def test_a_soft_deleted_row_is_absent_where_the_rule_says_so(credit: LoadedRule) -> None:
    assert credit.left.read(ROW | {"deleted_at": "2026-05-06T05:08:09.000000Z"}) == ABSENT


def test_a_row_without_a_needed_column_is_poison_that_names_it(credit: LoadedRule) -> None:
    row = {column: value for column, value in ROW.items() if column != "credit_limit"}

    with pytest.raises(Poison, match=r"public\.credit_lines: column 'credit_limit' .* rule credit-line"):
        credit.left.read(row)
    with pytest.raises(Poison, match="'wallet_address'"):
        credit.left.key_of({})
    with pytest.raises(Poison, match="'borrower'"):
        credit.right.read({})


def test_the_key_is_text_and_the_row_is_its_primary_key(credit: LoadedRule, tmp_path: Path) -> None:
    field = "{left: a, right: b, type: text}"

    assert (credit.left.key_of(ROW), credit.left.row_id(ROW)) == ("GABC", 7)
    assert credit.left.row_id({"wallet_address": "GABC"}) == "GABC"
    assert reading(tmp_path, field, ", primary_key: p").left.row_id({"id": 1, "p": "x"}) == "x"
    both = reading(tmp_path, field, ", primary_key: [p, q]").left.row_id({"p": "x", "q": 2})
    assert both == '["x",2]'
    assert reading(tmp_path, field).left.key_of({"k": 101}) == "101"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("12.3400000", 123_400_000),
        ("-12.3400000", -123_400_000),
        ("-0.0000000", 0),
        ("0.0000001", 1),
        ("12.34", 123_400_000),
        ("12", 120_000_000),
        ("12.340000000000", 123_400_000),
        ("12.34000001", "12.34000001"),
        ("NAN", "NAN"),
        ("Infinity", "Infinity"),
        ("1e5", "1e5"),
        ("1_000.0000000", "1_000.0000000"),
        ("1.000.0000000", "1.000.0000000"),
        (" 1.0000000", " 1.0000000"),
        ("+1.0000000", "+1.0000000"),
        ("٣.0000000", "٣.0000000"),
        ("", ""),
        (".5000000", 5_000_000),
        (".5", 5_000_000),
        (".", "."),
        ("-", "-"),
        ("5.", "5."),
        (None, None),
        (12, 120_000_000),
        (1.5, "1.5"),
        (True, "true"),
        ([], "[]"),
    ],
)
def test_an_amount_is_exact_or_a_text(tmp_path: Path, text: object, canonical: object) -> None:
    rule = reading(tmp_path, "{left: x, right: y, type: amount, right_scale: 7}")

    read = rule.left.read({"x": text})

    assert read == (canonical,)
    assert type(read[0]) is type(canonical)


def test_base_units_are_scaled_to_the_wider_side(tmp_path: Path) -> None:
    rule = reading(tmp_path, "{left: x, right: y, type: amount, left_scale: 2, right_scale: 7}")

    assert rule.left.read({"x": "1234"}) == rule.right.read({"y": "123400000"}) == (123_400_000,)
    assert rule.left.read({"x": -5}) == rule.right.read({"y": "-500000"})
    assert rule.right.read({"y": "1.5"}) == ("1.5",)
    assert rule.right.read({"y": 10**38}) == (10**38,)


def test_an_amount_of_absurd_size_stays_a_text(tmp_path: Path) -> None:
    rule = reading(tmp_path, "{left: x, right: y, type: amount, right_scale: 7}")
    huge = "9" * 1_000_000

    assert rule.left.read({"x": f"{huge}.0000000"}) == (f"{huge}.0000000",)
    assert rule.right.read({"y": huge}) == (huge,)
    assert isinstance(rule.right.read({"y": 10**5000})[0], str)


@pytest.mark.parametrize(
    ("kind", "value", "canonical"),
    [
        ("integer", 5, 5),
        ("integer", "5", 5),
        ("integer", "-5.000", -5),
        ("integer", "5.5", "5.5"),
        ("integer", True, "true"),
        ("integer", 5.0, "5.0"),
        ("text", "a", "a"),
        ("text", 5, "5"),
        ("text", {"b": 1, "a": [None]}, '{"a":[null],"b":1}'),
        ("address", " gABC", " gABC"),
        ("boolean", True, True),
        ("boolean", 1, "1"),
        ("boolean", "t", "t"),
        ("bytes", "3q2+7w==", "deadbeef"),
        ("bytes", "\\xDEADbeef", "deadbeef"),
        ("bytes", "%", "%"),
        ("time", "2026-01-02T03:04:05.678901Z", 1_767_323_045_678_901),
        ("time", "2026-01-02T04:04:05.6+01:00", 1_767_323_045_600_000),
        ("time", "2026-01-02Z", 1_767_312_000_000_000),
        ("time", "2026-01-02", 1_767_312_000_000_000),
        ("time", "1767312000", 1_767_312_000_000_000),
        ("time", 1767312000, 1_767_312_000_000_000),
        ("time", "infinity", "infinity"),
        ("time", "-290308-12-21T19:59:27.6Z", "-290308-12-21T19:59:27.6Z"),
        ("time", "2026-01-02T03:04:05.1234567Z", "2026-01-02T03:04:05.1234567Z"),
        ("time", "2026-13-02", "2026-13-02"),
    ],
)
def test_each_type_has_one_canonical_form(
    tmp_path: Path, kind: str, value: object, canonical: object
) -> None:
    read = reading(tmp_path, f"{{left: x, right: y, type: {kind}}}").left.read({"x": value})

    assert read == (canonical,)
    assert type(read[0]) is type(canonical)


def test_the_z_of_a_column_without_a_zone_means_nothing(tmp_path: Path) -> None:
    rule = reading(tmp_path, "{left: x, right: y, type: time, zone: Europe/Paris}")

    assert rule.left.read({"x": "2026-07-01T02:00:00Z"}) == rule.right.read({"y": "2026-07-01T00:00:00Z"})


@pytest.mark.parametrize(
    ("expression", "row", "canonical"),
    [
        ("{minus: [a, b]}", {"a": "5", "b": "7"}, -2),
        ("{minus: [a, b, {const: 1}]}", {"a": "5", "b": "7"}, -3),
        ("{plus: [a, {negate: b}, {const: 10}]}", {"a": "5", "b": "7"}, 8),
        ("{minus: [a, b]}", {"a": None, "b": "7"}, None),
        ("{minus: [a, b]}", {"a": "NAN", "b": "7"}, "NAN - 7"),
        ("{negate: a}", {"a": "0"}, 0),
        ("{const: 12}", {}, 12),
        ("{map: {0: 10, unknown: 20, null: 30}, of: a}", {"a": 0}, 10),
        ("{map: {0: 10, unknown: 20, null: 30}, of: a}", {"a": "unknown"}, 20),
        ("{map: {0: 10, unknown: 20, null: 30}, of: a}", {"a": None}, 30),
        ("{map: {0: 10}, of: a}", {"a": "9"}, 9),
    ],
)
def test_expressions(tmp_path: Path, expression: str, row: dict[str, object], canonical: object) -> None:
    rule = reading(tmp_path, f"{{left: x, right: {expression}, type: integer}}")

    assert rule.right.read(row) == (canonical,)


@pytest.mark.parametrize(
    ("scope", "row", "is_in"),
    [
        ("{s: open}", {"s": "open"}, True),
        ("{s: open}", {"s": None}, False),
        ("{s: [open, null]}", {"s": None}, True),
        ("{s: [1, 2]}", {"s": "2.000"}, True),
        ("{s: 1}", {"s": 2}, False),
        ("{s: true}", {"s": True}, True),
        ("{s: null, t: [a, b]}", {"s": None, "t": "b"}, True),
        ("{s: null, t: [a, b]}", {"s": None, "t": "c"}, False),
    ],
)
def test_scope(tmp_path: Path, scope: str, row: dict[str, object], is_in: bool) -> None:
    rule = reading(tmp_path, "{left: x, right: y, type: text}", f", scope: {scope}")

    assert rule.left.read(row | {"x": "v"}) == (("v",) if is_in else OUT)


def test_words_of_a_rule_never_become_code(tmp_path: Path) -> None:
    name = "x']; raise SystemExit #"

    rule = reading(tmp_path, f'{{left: "{name}", right: y, type: text}}')

    assert rule.left.read({name: "v"}) == ("v",)

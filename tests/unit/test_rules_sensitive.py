"""Sensitive fields are hashed as they are read: nothing that we keep or send ever holds them in clear."""

from __future__ import annotations

import hashlib
from pathlib import Path

from app.rules import LoadedRule, load_rules

RULE = """\
rule: people
version: 1
kind: state
left: {table: public.people, key: id}
right: {contract: C, entry: credit-line}
fields:
  name: {left: name, right: name, type: text, sensitive: hash}
  salary: {left: salary, right: salary, type: amount, right_scale: 2, sensitive: omit}
  bonus: {left: bonus, right: bonus, type: amount, right_scale: 2, sensitive: hash,
          tolerance: {absolute: "1"}}
"""


def load(folder: Path) -> LoadedRule:
    path = folder / "people.yaml"
    path.write_text(RULE, encoding="utf-8")
    [rule] = load_rules([path], {}, ())
    return rule


def digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:16]


def test_both_sides_read_the_same_hash_of_the_same_value(tmp_path: Path) -> None:
    rule = load(tmp_path)
    left = rule.left.read({"id": 1, "name": "Ada", "salary": "12.30", "bonus": "1.00"})
    right = rule.right.read({"name": "Ada", "salary": "1230", "bonus": "100"})
    assert left == right
    assert left[:2] == (digest("Ada"), digest("12.3"))


def test_null_stays_null(tmp_path: Path) -> None:
    row = {"id": 1, "name": None, "salary": None, "bonus": None}
    assert load(tmp_path).left.read(row) == (None, None, None)


def test_what_is_compared_by_distance_is_kept_as_a_number(tmp_path: Path) -> None:
    row = {"id": 1, "name": "Ada", "salary": "1.00", "bonus": "2.50"}
    assert load(tmp_path).left.read(row)[2] == 250

"""What must be captured for a set of rules: tables, the column that keys each, the columns that are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import Fatal
from app.rules import LeftMapping, LoadedRule


@dataclass(frozen=True, slots=True)
class CapturedTable:
    """`name` is `schema.table`; `key` the column whose text is the message key; `columns` all that rules
    read, the key included; `rules` names the rules, for messages."""

    name: str
    key: str
    columns: tuple[str, ...]
    rules: tuple[str, ...]
    images_are_full: bool = False

    @property
    def schema(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def table(self) -> str:
        return self.name.rpartition(".")[2]


def captured_tables(rules: Sequence[LoadedRule], source: str) -> tuple[CapturedTable, ...]:
    """The tables of the rules on this source, by name. Raises `Fatal` where two rules key one differently."""
    found: dict[str, CapturedTable] = {}
    for loaded in rules:
        if loaded.left.source not in (None, source):
            continue
        for left in loaded.left.tables:
            _add_table(found, loaded, left)
        _add_contracts(found, loaded)
    if not found:
        raise Fatal("reading the rules", source, "none of them concerns this source", "check left.source")
    return tuple(found[name] for name in sorted(found))


def _add_table(found: dict[str, CapturedTable], loaded: LoadedRule, left: LeftMapping) -> None:
    """A rule's table, or the one that it joins."""
    held = found.get(left.table)
    if held is not None and held.key != left.key:
        raise Fatal(
            "reading the rules",
            f"{held.rules[0]} and {loaded.rule.id}",
            f"they key {left.table} by {held.key} and by {left.key}",
            "rules over one table must have one key",
        )
    columns = (*(held.columns if held else ()), *left.columns)
    found[left.table] = CapturedTable(
        left.table,
        left.key,
        tuple(dict.fromkeys(columns)),
        (*(held.rules if held else ()), loaded.rule.id),
        left.images_are_full or (held is not None and held.images_are_full),
    )


def _add_contracts(found: dict[str, CapturedTable], loaded: LoadedRule) -> None:
    """The table that gives keys their contracts is captured as well, keyed by the same text."""
    mapping = loaded.right.contracts
    if mapping is None:
        return
    held = found.get(mapping.table)
    if held is not None and held.key != mapping.key:
        cause = f"{mapping.table} is keyed by {held.key} and by {mapping.key}"
        hint = "a table has one key in every rule"
        raise Fatal("reading the rules", f"{held.rules[0]} and {loaded.rule.id}", cause, hint)
    columns = (*(held.columns if held else ()), mapping.key, mapping.contract)
    rules = (*(held.rules if held else ()), loaded.rule.id)
    is_full = held is not None and held.images_are_full
    found[mapping.table] = CapturedTable(
        mapping.table, mapping.key, tuple(dict.fromkeys(columns)), tuple(dict.fromkeys(rules)), is_full
    )

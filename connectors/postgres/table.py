"""A table as a rule reads it: its primary key, and its columns as the change stream spells them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from math import isfinite, isnan
from typing import Any, Final

import orjson

from app.errors import Fatal
from app.readings import Place
from app.rules import LeftMapping
from app.rules.canonical import text_of

_SQL: Final = files("connectors.postgres") / "sql"


def sql(name: str) -> str:
    """A statement of this package."""
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is read. `form`: the expression for it."""

    name: str
    form: str
    convert: Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Key:
    """A column of the primary key, quoted, and its type."""

    quoted: str
    type: str


@dataclass(frozen=True, slots=True)
class Table:
    """What one rule reads of one table."""

    relation: str
    columns: tuple[Column, ...]
    keys: tuple[Key, ...]
    rule_key: Key
    key_column: str

    def page(
        self, size: int, *, is_first: bool, is_bounded: bool = False, lacking: Table | None = None
    ) -> str:
        """The statement for the first page, or for the one behind a place ($1, $2 … its texts), up to another
        one (the parameters that follow) where it is bounded. `lacking`: only rows whose rule key that table
        has not."""
        parts = self._parts()
        keys, count = parts["keys"], len(self.keys)
        bounds = [] if is_first else [f"({keys}) > ({self._place_from(1)})"]
        if is_bounded:
            bounds.append(f"({keys}) <= ({self._place_from(1 if is_first else count + 1)})")
        behind = " AND ".join(bounds) or "true"
        parts |= {"behind": behind, "size": str(size)}
        if lacking is None:
            return sql("page").format_map(parts)
        mine, other = f"joined.{self.rule_key.quoted}", f"own.{lacking.rule_key.quoted}"
        is_alike = self.rule_key.type == lacking.rule_key.type
        match = f"{other} = {mine}" if is_alike else f"format('%s', {other}) = format('%s', {mine})"
        return sql("beside").format_map(parts | {"own": lacking.relation, "match": match})

    def _place_from(self, first: int) -> str:
        return ", ".join(f"${n}::text::{key.type}" for n, key in enumerate(self.keys, first))

    def keyed(self) -> str:
        """The statement for the rows under some rule keys ($1, texts). An index on a key column that is text
        can serve it; keys of other types are compared as PostgreSQL prints them."""
        column = self.rule_key
        is_text = column.type == "text" or column.type.startswith("character varying")
        return sql("keyed").format_map(
            self._parts() | {"key": column.quoted if is_text else f"format('%s', {column.quoted})"}
        )

    def _parts(self) -> dict[str, str]:
        return {
            "forms": ", ".join(column.form for column in self.columns),
            "printed": ", ".join(f"format('%s', {key.quoted})" for key in self.keys),
            "relation": self.relation,
            "keys": ", ".join(key.quoted for key in self.keys),
        }

    def row(self, record: Sequence[Any]) -> dict[str, object]:
        """A record of a page by column name, in the values that the change stream's JSON would have."""
        return {
            column.name: column.convert(value) for column, value in zip(self.columns, record, strict=False)
        }

    def key(self, record: Sequence[Any]) -> str | None:
        """The rule key of a record as text; None where it has none."""
        value = self.row(record)[self.key_column]
        return None if value is None else text_of(value)

    def place(self, record: Sequence[Any]) -> Place:
        """Where a record stands."""
        return tuple(record[len(self.columns)])


def describe(rule: str, left: LeftMapping, found: Sequence[Mapping[str, Any]]) -> Table:
    """A table of a rule out of the catalogue's answer; raises `Fatal` where it cannot be read as the change
    stream tells it."""
    by_name = {row["name"]: row for row in found}
    if not by_name:
        _refuse(left, "there is no such table", "correct the rule, or create the table first")
    keys = sorted((row for row in found if row["key_place"] is not None), key=lambda row: row["key_place"])
    if not keys:
        _refuse(left, "it has no primary key", "a seed reads in the order of the primary key")
    needed = list(left.columns)
    if left.primary_key is None and "id" in by_name:
        needed.append("id")  # what identifies a row where the rule names no primary key
    missing = [name for name in needed if name not in by_name]
    if missing:
        _refuse(left, f"rule {rule} needs the column(s) {', '.join(missing)}", "correct the rule")
    columns = [_column(left, by_name[name]) for name in dict.fromkeys(needed)]
    rule_key = by_name[left.key]
    return Table(
        found[0]["relation"],
        tuple(columns),
        tuple(Key(row["quoted"], row["type"]) for row in keys),
        Key(rule_key["quoted"], rule_key["type"]),
        left.key,
    )


def _column(left: LeftMapping, row: Mapping[str, Any]) -> Column:
    name = row["name"]
    if row["is_generated"]:
        _refuse(left, f"column {name} is generated: the change stream leaves it out", "store it")
    if row["form"] is None:
        _refuse(
            left,
            f"column {name} has the type {row['type']}, which cannot be read as the change stream spells it",
            "compare a column of another type",
        )
    return Column(name, row["form"], _list if row["is_list"] else _finite)


def _list(value: str | None) -> object:
    return None if value is None else orjson.loads(value)


def _finite(value: Any) -> object:
    """JSON has no NaN and no infinity: Debezium writes words."""
    if type(value) is float and not isfinite(value):
        return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _refuse(left: LeftMapping, cause: str, hint: str) -> None:
    raise Fatal("reading the table", left.table, cause, hint)

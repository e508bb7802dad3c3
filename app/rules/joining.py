"""`left.join`: what a rule with two tables may say, and the joined table as a mapping of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.detector.join import joined_row, own_row
from app.detector.model import ABSENT, RowId
from app.rules.document import Document
from app.rules.expressions import Reader, Row, columns_of
from app.rules.mapping import LeftMapping, compile_key, compile_read, compile_row_id

Stated = Mapping[str, Any]
RowIdentity = Callable[[Row], RowId]


def check_join(stated: Stated, document: Document) -> None:
    """Report what cannot be joined. A column that `missing` names is the joined table's; every other one is
    the left table's, and no field may need both."""
    left = stated["left"]
    join = left.get("join")
    if join is None:
        return
    if join["table"] == left.get("table"):
        document.report("left.join.table", "is the left table itself", "another table")
    if list(join["on"]) != [left.get("key")]:
        document.report(
            "left.join.on", "does not say which column holds the rule's key", f"{left.get('key')}: its column"
        )
    missing = set(join.get("missing", ()))
    if not missing:
        document.report(
            "left.join.missing", "is missing", "each column that is read, and what it is without a row"
        )
    own = missing.intersection((left.get("key"), *left.get("scope", ())))
    for name in sorted(own):
        document.report(f"left.join.missing.{name}", "is the key or in the scope", "columns that fields read")
    _check_fields(stated, missing - own, document)


def _check_fields(stated: Stated, missing: set[str], document: Document) -> None:
    fields = stated.get("fields")
    read: set[str] = set()
    for name, field in fields.items() if isinstance(fields, dict) else ():
        path = f"fields.{name}"
        if name == "existence" or not document.is_sound(path):
            continue
        columns = set(columns_of(field["left"]))
        read |= columns
        if columns & missing and columns - missing:
            document.report(f"{path}.left", "reads columns of both tables", "columns of one table a field")
    for name in sorted(missing - read):
        if document.is_sound("fields"):
            document.report(f"left.join.missing.{name}", "no field reads it", "columns that fields read")


def joined_fields(stated: Stated, names: Sequence[str]) -> tuple[int, ...]:
    """The places of the fields that the joined table gives."""
    missing = stated["left"].get("join", {}).get("missing", {})
    return tuple(
        place
        for place, name in enumerate(names)
        if missing.keys() & set(columns_of(stated["fields"][name]["left"]))
    )


def own_readers(stated: Stated, readers: Sequence[Reader], joined: Sequence[int]) -> list[Reader]:
    """The readers of the left table's rows: what the joined table gives is what it is without a row."""
    missing = stated["left"].get("join", {}).get("missing", {})
    return [_constant(read(missing)) if place in joined else read for place, read in enumerate(readers)]


def join_mapping(stated: Stated, readers: Sequence[Reader], joined: Sequence[int]) -> LeftMapping | None:
    """The joined table; in the fields of the left table its values say nothing."""
    left, rule = stated["left"], stated["rule"]
    join = left.get("join")
    if join is None:
        return None
    table, key = join["table"], join["on"][left["key"]]
    given = join.get("primary_key")
    primary_key = None if given is None else (given,) if isinstance(given, str) else tuple(given)
    needed = [key, *(primary_key or ()), *join["missing"]]
    mine = [read if place in joined else _constant(None) for place, read in enumerate(readers)]
    names = [name for name in stated["fields"] if name != "existence"]
    by_field = [columns_of(stated["fields"][name]["left"]) for name in names]
    return LeftMapping(
        source=left.get("source"),
        table=table,
        key=key,
        primary_key=primary_key,
        columns=tuple(dict.fromkeys(needed)),
        read=compile_read(mine, None, ABSENT, (rule, table)),
        key_of=compile_key(rule, table, key),
        row_id=told_apart(joined_row, compile_row_id(rule, table, primary_key, key)),
        images_are_full=join.get("replica_identity") == "full",
        field_columns=tuple(
            frozenset(columns if place in joined else ()) for place, columns in enumerate(by_field)
        ),
    )


def told_apart(name: Callable[[RowId], RowId], row_id: RowIdentity) -> RowIdentity:
    """The identity of a row among the rows of both tables."""
    return lambda row: name(row_id(row))


def own_identity(row_id: RowIdentity, *, is_joined: bool) -> RowIdentity:
    """The identity of a row of the left table."""
    return told_apart(own_row, row_id) if is_joined else row_id


def _constant(value: Any) -> Reader:
    return lambda row: value

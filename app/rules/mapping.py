"""What a rule reads from a row and from an entry: compiled once, called for every record."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from app.detector.model import ABSENT, OUT, RowId, Rule, Value
from app.errors import Poison
from app.rules.canonical import integer, text_of
from app.rules.expressions import Reader, Row

ReadValue: TypeAlias = Callable[[Row], Value]
InScope: TypeAlias = Callable[[Row], bool]


@dataclass(frozen=True, slots=True)
class LeftMapping:
    """Where the left side of a rule comes from.

    `key_of`, `row_id` and `read` raise `Poison` for a row without a column that they need. `read` gives the canonical
    tuple in the order of `Rule.fields`, or OUT or ABSENT for a row out of scope (`left.out_of_scope`).
    `images_are_full`: the rule says that the table has REPLICA IDENTITY FULL, so the before-image of a delete is true.
    """

    source: str | None
    table: str
    key: str
    primary_key: tuple[str, ...] | None
    columns: tuple[str, ...]
    read: ReadValue = field(repr=False, compare=False)
    key_of: Callable[[Row], str] = field(repr=False, compare=False)
    row_id: Callable[[Row], RowId] = field(repr=False, compare=False)
    images_are_full: bool = False


@dataclass(frozen=True, slots=True)
class RightMapping:
    """Where the right side of a rule comes from; contract None: any contract."""

    network: str | None
    contract: str | None
    entry: str
    columns: tuple[str, ...]
    read: ReadValue = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """What a rule says to the parts around the detector. Times in µs; `confirm_us` None: never confirm."""

    confirm_us: int | None = 10_000_000
    flaps: int = 5
    flapping_within_us: int = 3_600_000_000
    sweep_every_us: int | None = None
    sweep_daily: str | None = None
    sweep_zone: str = "UTC"
    fail_run_on: str | None = None
    remedies: tuple[Mapping[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedRule:
    """A rule that was read, checked and compiled. `digest`: sha256 of the effective rule, in hex."""

    rule: Rule
    left: LeftMapping
    right: RightMapping
    path: str
    digest: str
    settings: RuleSettings = RuleSettings()


def compile_read(
    readers: list[Reader], scope: InScope | None, outside: Value, what: tuple[str, str]
) -> ReadValue:
    """One closure for the whole value. `what`: (rule, table or entry), for the message about a missing column."""
    rule, place = what

    def read(row: Row) -> Value:
        try:
            return tuple([reader(row) for reader in readers])
        except KeyError as error:
            raise missing(rule, place, error.args[0]) from None

    if scope is None:
        return read
    is_in_scope = scope

    def read_in_scope(row: Row) -> Value:
        try:
            return tuple([reader(row) for reader in readers]) if is_in_scope(row) else outside
        except KeyError as error:
            raise missing(rule, place, error.args[0]) from None

    return read_in_scope


def compile_scope(scope: Mapping[str, object]) -> InScope | None:
    """Whether a row is in scope: every column is the value, null, or in the list. Raises KeyError."""
    if not scope:
        return None
    if len(scope) == 1 and next(iter(scope.values())) is None:
        return _is_null(next(iter(scope)))
    tests = [_is_one_of(column, wanted) for column, wanted in scope.items()]
    return lambda row: all([test(row) for test in tests])


def _is_null(column: str) -> InScope:
    def is_null(row: Row) -> bool:
        return row[column] is None

    return is_null


def _is_one_of(column: str, wanted: object) -> InScope:
    """A whole number in the rule equals any spelling of it; everything else is compared as text."""
    listed = wanted if isinstance(wanted, list) else [wanted]
    takes_null = None in listed
    numbers = {item for item in listed if type(item) is int}
    texts = {text_of(item) for item in listed if item is not None and type(item) is not int}

    def is_one_of(row: Row) -> bool:
        value = row[column]
        if value is None:
            return takes_null
        return text_of(value) in texts or (bool(numbers) and integer(value) in numbers)

    return is_one_of


def compile_key(rule: str, table: str, column: str) -> Callable[[Row], str]:
    """The key of a row as text."""

    def key_of(row: Row) -> str:
        try:
            value = row[column]
        except KeyError:
            raise missing(rule, table, column) from None
        return value if type(value) is str else text_of(value)

    return key_of


def compile_row_id(
    rule: str, table: str, primary_key: tuple[str, ...] | None, key: str
) -> Callable[[Row], RowId]:
    """The identity of a row within its table; without a primary key in the rule: column `id`, else the key."""
    if primary_key is not None and len(primary_key) > 1:
        columns = primary_key

        def several(row: Row) -> RowId:
            try:
                return json.dumps(
                    [row[column] for column in columns],
                    ensure_ascii=False,
                    separators=(",", ":"),
                    default=str,
                )
            except KeyError as error:
                raise missing(rule, table, error.args[0]) from None

        return several
    first = primary_key[0] if primary_key else "id"
    second = first if primary_key else key

    def single(row: Row) -> RowId:
        try:
            value = row[first] if first in row else row[second]
        except KeyError as error:
            raise missing(rule, table, error.args[0]) from None
        return value if type(value) is str or type(value) is int else text_of(value)

    return single


def missing(rule: str, place: str, column: str) -> Poison:
    """The row or entry lacks a column that the rule needs."""
    return Poison(
        "reading",
        place,
        f"column {column!r} is missing, rule {rule} needs it",
        "add the column to the publication and the connector, or correct the rule",
    )


__all__ = [
    "ABSENT",
    "OUT",
    "LeftMapping",
    "LoadedRule",
    "RightMapping",
    "RuleSettings",
    "compile_key",
    "compile_read",
    "compile_row_id",
    "compile_scope",
    "missing",
]

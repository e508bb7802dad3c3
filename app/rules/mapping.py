"""What a rule reads from a row and from an entry: compiled once, called for every record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, cast

from app.detector.model import RowId, Rule, Value
from app.errors import Poison
from app.rules.canonical import integer, text_of
from app.rules.expressions import ColumnReader, Reader, Row

ReadValue: TypeAlias = Callable[[Row], Value]
InScope: TypeAlias = Callable[[Row], bool]


@dataclass(frozen=True, slots=True)
class LeftMapping:
    """Where the left side of a rule comes from.

    `key_of`, `row_id` and `read` raise `Poison` for a row without a column that they need. `read` gives the
    canonical tuple in the order of `Rule.fields`, or OUT or ABSENT for a row out of scope
    (`left.out_of_scope`). `images_are_full`: the rule says that the table has REPLICA IDENTITY FULL, so the
    before-image of a delete is true.

    `join`: the joined table, read in the same way. Each of the two fills in its own fields; a row of the left
    table holds in the others what they are where there is no joined row.
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
    join: LeftMapping | None = None
    field_columns: tuple[frozenset[str], ...] = ()
    """The columns that each field reads, in the order of `Rule.fields`."""

    @property
    def tables(self) -> tuple[LeftMapping, ...]:
        """The table and, where there is one, the joined one."""
        return (self,) if self.join is None else (self, self.join)


@dataclass(frozen=True, slots=True)
class ContractTable:
    """A captured table that gives each key its contract: its name, and the columns of both."""

    table: str
    key: str
    contract: str


@dataclass(frozen=True, slots=True)
class RightMapping:
    """Where the right side of a rule comes from; contract None: any contract that the poller follows, those
    of `contracts` where it is given. `decoder`: the user's own, a Python file."""

    network: str | None
    contract: str | None
    entry: str
    columns: tuple[str, ...]
    read: ReadValue = field(repr=False, compare=False)
    contracts: ContractTable | None = None
    decoder: Path | None = None


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """What a rule says to the parts around the detector. Times in µs."""

    flaps: int = 5
    flapping_within_us: int = 3_600_000_000
    sweep_every_us: int | None = None
    sweep_daily: str | None = None
    sweep_zone: str = "UTC"
    fail_run_on: str | None = None
    remedies: tuple[Mapping[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedRule:
    """A rule that was read, checked and compiled. `digest`: sha256 of the effective rule, in hex. `document`:
    the whole rule with the environment filled in, as JSON (`load_document` reads it again)."""

    rule: Rule
    left: LeftMapping
    right: RightMapping
    path: str
    digest: str
    settings: RuleSettings = RuleSettings()
    document: str = field(default="", repr=False, compare=False)


def compile_read(
    readers: Sequence[Reader], scope: InScope | None, outside: Value, what: tuple[str, str]
) -> ReadValue:
    """One function for the whole value. `what`: (rule, table or entry), for a missing column's message.

    It is compiled from a template because a loop over the readers costs 0.5 to 1 µs a row. Only numbered
    names stand in the template, never a word of the rule file.
    """
    names: dict[str, object] = {"scope": scope, "outside": outside, "missing": missing, "what": what}
    parts = []
    for index, reader in enumerate(readers):
        if isinstance(reader, ColumnReader):
            names[f"column{index}"], names[f"canonical{index}"] = reader.column, reader.canonical
            parts.append(f"canonical{index}(row[column{index}]),")
        else:
            names[f"reader{index}"] = reader
            parts.append(f"reader{index}(row),")
    test = "" if scope is None else "        if not scope(row): return outside\n"
    if isinstance(scope, IsNull):
        names["nullable"] = scope.column
        test = "        if row[nullable] is not None: return outside\n"
    template = (
        f"def read(row):\n    try:\n{test}        return ({' '.join(parts)})\n"
        "    except KeyError as error:\n        raise missing(*what, error.args[0]) from None\n"
    )
    exec(template, names)  # noqa: S102 - see above
    return cast("ReadValue", names["read"])


def compile_scope(scope: Mapping[str, object]) -> InScope | None:
    """Whether a row is in scope: every column is the value, null, or in the list. Raises KeyError."""
    if not scope:
        return None
    if len(scope) == 1 and next(iter(scope.values())) is None:
        return IsNull(next(iter(scope)))
    tests = [_is_one_of(column, wanted) for column, wanted in scope.items()]
    return lambda row: all([test(row) for test in tests])


@dataclass(frozen=True, slots=True)
class IsNull:
    """In scope while the column is NULL: the usual soft delete."""

    column: str

    def __call__(self, row: Row) -> bool:
        return row[self.column] is None


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
    """The identity of a row within its table; where the rule names none: column `id`, else the key."""
    if primary_key is not None and len(primary_key) > 1:
        columns = primary_key

        def several(row: Row) -> RowId:
            try:
                return text_of([row[column] for column in columns])
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


class MissingColumn(Poison):
    """A row or entry lacks a column that the rule needs: so do all of its table or contract."""


def missing(rule: str, place: str, column: str) -> MissingColumn:
    """The row or entry lacks a column that the rule needs."""
    return MissingColumn(
        "reading",
        place,
        f"column {column!r} is missing, rule {rule} needs it",
        "add the column to the publication and the connector, or correct the rule",
    )

"""The closed set of expressions that give a field's value: a column, a constant, plus, minus, negate, map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from app.detector.model import Scalar
from app.rules.canonical import Canonical, text_of

Row: TypeAlias = Mapping[str, object]
Reader: TypeAlias = Callable[[Row], Scalar]
Expression: TypeAlias = str | Mapping[str, Any]


def columns_of(expression: Expression) -> Iterator[str]:
    """Every column that the expression reads."""
    if isinstance(expression, str):
        yield expression
    elif "map" in expression:
        yield expression["of"]
    elif "negate" in expression:
        yield from columns_of(expression["negate"])
    else:
        for part in (*expression.get("plus", ()), *expression.get("minus", ())):
            yield from columns_of(part)


def is_arithmetic(expression: Expression) -> bool:
    """Whether numbers are needed."""
    return not isinstance(expression, str) and bool({"plus", "minus", "negate"} & expression.keys())


def compile_reader(expression: Expression, canonical: Canonical, constant: Canonical) -> Reader:
    """One closure that reads the canonical value out of a row; raises KeyError for a missing column.

    `constant` gives the form of what is written in the rule file. Arithmetic with a NULL is NULL; with
    what is no number, a text that says so and equals no number.
    """
    if isinstance(expression, str):
        return ColumnReader(expression, canonical)
    if "const" in expression:
        fixed = constant(expression["const"])
        return lambda row: fixed
    if "map" in expression:
        return _mapped(expression, canonical, constant)
    if "negate" in expression:
        return _sum([], [compile_reader(expression["negate"], canonical, constant)])
    parts = [
        compile_reader(part, canonical, constant) for part in expression.get("plus") or expression["minus"]
    ]
    return _sum(parts, []) if "plus" in expression else _sum(parts[:1], parts[1:])


@dataclass(frozen=True, slots=True)
class ColumnReader:
    """A column as it is; `compile_read` looks inside to save a call."""

    column: str
    canonical: Canonical

    def __call__(self, row: Row) -> Scalar:
        return self.canonical(row[self.column])


def _mapped(expression: Mapping[str, Any], canonical: Canonical, constant: Canonical) -> Reader:
    name = expression["of"]
    table = {
        "null" if source is None else text_of(source): constant(target)
        for source, target in expression["map"].items()
    }

    def mapped(row: Row) -> Scalar:
        value = row[name]
        word = text_of(value)
        return table[word] if word in table else canonical(value)

    return mapped


def _sum(added: list[Reader], taken: list[Reader]) -> Reader:
    if len(added) == 1 and len(taken) == 1:
        return _difference(added[0], taken[0])

    def total(row: Row) -> Scalar:
        values = [read(row) for read in added]
        subtracted = [read(row) for read in taken]
        return _add(values, subtracted)

    return total


def _difference(first: Reader, second: Reader) -> Reader:
    def difference(row: Row) -> Scalar:
        a, b = first(row), second(row)
        return a - b if type(a) is int and type(b) is int else _add([a], [b])

    return difference


def _add(values: list[Scalar], subtracted: list[Scalar]) -> Scalar:
    if any(value is None for value in (*values, *subtracted)):
        return None
    result = 0
    for sign, group in ((1, values), (-1, subtracted)):
        for value in group:
            if type(value) is not int:
                words = [f"+ {text_of(one)}" for one in values] + [f"- {text_of(one)}" for one in subtracted]
                return " ".join(words).removeprefix("+ ")
            result += sign * value
    return result

"""Which column may hold which field of an entry, and how the two would be compared."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.rules.scaffold.interface import NUMBERS, Column, Kind, Part
from app.rules.scaffold.names import likeness

ENOUGH: Final = 0.6
_USUAL_SCALE: Final = 7
_NUMERIC: Final = re.compile(r"numeric(?:\((\d+)(?:,(-?\d+))?\))?")
_TEXTS: Final = ("text", "character", "citext", "uuid")
_INTEGERS: Final = ("smallint", "integer", "bigint")


@dataclass(frozen=True, slots=True)
class Guess:
    """A column and a part that may be the same, and what a rule would say of them."""

    column: Column
    part: Part
    alike: float
    stated: dict[str, Any] = field(default_factory=dict)
    why: str = ""


def is_text(column: Column) -> bool:
    """Text, or a type that is told as text: an enum of the database."""
    return column.type.startswith(_TEXTS) or _shape(column) is None


def match_fields(columns: Sequence[Column], parts: Sequence[Part]) -> list[Guess]:
    """Each column and each part at most once, the most alike first; in the order of the parts."""
    every = [guess for column in columns for part in parts if (guess := _guess(column, part)) is not None]
    every.sort(key=lambda guess: -guess.alike)
    taken: set[str] = set()
    found: list[Guess] = []
    for guess in every:
        names = {f"column {guess.column.name}", f"part {guess.part.name}"}
        if taken.isdisjoint(names):
            taken |= names
            found.append(guess)
    places = {part.name: place for place, part in enumerate(parts)}
    return sorted(found, key=lambda guess: places[guess.part.name])


def comparison(column: Column, part: Part) -> tuple[dict[str, Any], str] | None:
    """What a rule says to compare them, and the reason; None where they cannot be compared."""
    for stated, why in _ways(column, part):
        return stated, why
    return None


def _guess(column: Column, part: Part) -> Guess | None:
    alike = likeness(column.name, part.name)
    found = comparison(column, part) if alike >= ENOUGH and column.is_readable else None
    return None if found is None else Guess(column, part, alike, *found)


def _ways(column: Column, part: Part) -> Iterator[tuple[dict[str, Any], str]]:
    kind, shape = part.type.kind, _shape(column)
    plain: dict[str, Any] = {"left": column.name, "right": part.name}
    told = f"{part.type.spelled} against {column.type}"
    if kind in NUMBERS and shape == "decimal":
        scale = _scale(column)
        why = f"{told}: base units with as many decimals"
        if scale is None:
            scale, why = _USUAL_SCALE, f"{told}: {_USUAL_SCALE} decimals are usual"
        yield {**plain, "type": "amount", "right_scale": scale}, why
    elif kind in NUMBERS and shape == "integer":
        yield {**plain, "type": "integer"}, told
    elif kind in (Kind.LONG, Kind.MOMENT) and shape == "time":
        zone = {} if "with time zone" in column.type else {"zone": "UTC"}
        yield {**plain, "type": "time", **zone}, f"{told}: seconds since 1970"
    elif kind is Kind.BOOLEAN and shape == "boolean":
        yield {**plain, "type": "boolean"}, told
    elif kind is Kind.BYTES and shape == "bytes":
        yield {**plain, "type": "bytes"}, told
    elif kind is Kind.ENUM and shape in ("integer", "decimal"):
        yield {**plain, "type": "integer"}, told
    elif is_text(column):
        yield from _as_text(part, plain, told)


def _as_text(part: Part, plain: dict[str, Any], told: str) -> Iterator[tuple[dict[str, Any], str]]:
    kind = part.type.kind
    if kind is Kind.ENUM:
        names = {str(number): name.lower() for number, name in part.type.cases}
        right = {"map": names, "of": part.name}
        yield {**plain, "right": right, "type": "text"}, f"{told}: its cases in lower case"
    elif kind is Kind.ADDRESS:
        yield {**plain, "type": "address"}, told
    elif kind in (Kind.SYMBOL, Kind.STRING):
        yield {**plain, "type": "text"}, told
    elif kind is Kind.BYTES:
        yield {**plain, "type": "text"}, f"{told}: hex, in lower case"
    elif kind in NUMBERS:
        yield {**plain, "type": "integer"}, f"{told}: base units, written in full"


def _shape(column: Column) -> str | None:
    name = column.type
    if name.startswith(_INTEGERS):
        return "integer"
    if name.startswith("numeric"):
        return "integer" if _scale(column) == 0 else "decimal"
    if name.startswith(("timestamp", "date")):
        return "time"
    shapes = {"boolean": "boolean", "bytea": "bytes", "money": "decimal"}
    if name in shapes:
        return shapes[name]
    is_other = name.startswith(("time", "interval", "json", "real", "double", "xml")) or name.endswith("[]")
    return "other" if is_other else None


def _scale(column: Column) -> int | None:
    """Decimals of a numeric column; None where it holds any number of them."""
    found = _NUMERIC.fullmatch(column.type)
    if found is None or found[1] is None:
        return None
    return max(0, int(found[2] or 0))

"""Reads parameters as Go's JSON decoder does: names without regard to case, null changes nothing, plain
integers only, the first fault in the text wins."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from app.demo.rpc.faults import Undecodable
from app.demo.rpc.json_text import Json, Number, Object

T = TypeVar("T")
_INTEGER: Final = re.compile(r"-?\d+")
UINT32: Final = ("uint32", 1 << 32)
UINT: Final = ("uint", 1 << 64)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: the innermost struct, and the path of fields from the outermost one."""

    struct: str
    path: tuple[str, ...] = ()

    def field(self, name: str) -> Place:
        """The place of a field of the struct."""
        return Place(self.struct, (*self.path, name))

    def inside(self, struct: str) -> Place:
        """The same place, seen from inside a struct that stands there."""
        return Place(struct, self.path)

    def refuse(self, value: Json, wanted: str, *, spelt: bool = False) -> Undecodable:
        """The error for a value of another kind than `wanted`, a Go type; `spelt`: with a number's text."""
        kind = _kind_of(value)
        if spelt and isinstance(value, Number):
            kind = f"number {value}"
        if not self.path:
            return Undecodable(f"json: cannot unmarshal {kind} into Go value of type protocol.{self.struct}")
        into = f"{self.struct}.{'.'.join(self.path)}"
        return Undecodable(f"json: cannot unmarshal {kind} into Go struct field {into} of type {wanted}")

    def require_object(self, value: Json, wanted: str) -> None:
        """Raises `Undecodable` for what is no object and not null."""
        if value is not None and not isinstance(value, Object):
            raise self.refuse(value, wanted)


Setter = Callable[[Json, Place], None]


def read_fields(value: Json, place: Place, fields: Mapping[str, Setter]) -> None:
    """Hand each known member of an object to its setter; raises `Undecodable` where it is no object."""
    place.require_object(value, f"protocol.{place.struct}")
    if not isinstance(value, Object):
        return
    folded = {name.lower(): name for name in fields}
    for name, held in value.members:
        known = name if name in fields else folded.get(name.lower())
        if known is not None:
            fields[known](held, place.field(known))


def read_list(value: Json, place: Place, wanted: str, read: Callable[[Json], T]) -> list[T]:
    """The elements, each read; null is an empty list."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise place.refuse(value, wanted)
    return [read(each) for each in value]


def read_string(value: Json, place: Place) -> str | None:
    """The text; None for null, which leaves a field as it is."""
    if value is None:
        return None
    if isinstance(value, Number) or not isinstance(value, str):
        raise place.refuse(value, "string")
    return value


def read_unsigned(value: Json, place: Place, kind: tuple[str, int]) -> int | None:
    """The integer below the kind's bound, spelt without fraction and exponent; None for null."""
    if value is None:
        return None
    name, bound = kind
    if not isinstance(value, Number):
        raise place.refuse(value, name)
    if _INTEGER.fullmatch(value) is None or value.startswith("-") or int(value) >= bound:
        raise place.refuse(value, name, spelt=True)
    return int(value)


def _kind_of(value: Json) -> str:
    if isinstance(value, Object):
        return "object"
    if isinstance(value, list):
        return "array"
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, Number) else "string"

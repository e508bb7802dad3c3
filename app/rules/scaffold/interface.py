"""What a contract and a table say of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a contract's type can be compared as. `SMALL` is up to 32 bits."""

    SMALL = "small"
    LONG = "long"
    WIDE = "wide"
    MOMENT = "moment"
    BOOLEAN = "boolean"
    ADDRESS = "address"
    SYMBOL = "symbol"
    STRING = "string"
    BYTES = "bytes"
    ENUM = "enum"
    STRUCT = "struct"
    OTHER = "other"


NUMBERS = frozenset({Kind.SMALL, Kind.LONG, Kind.WIDE})
KEYS = NUMBERS | {Kind.ADDRESS, Kind.SYMBOL, Kind.STRING, Kind.BYTES}
"""What an entry may stand under, one per rule key."""


@dataclass(frozen=True, slots=True)
class Type:
    """`spelled` as in the contract's source; `tag` is the ScVal's (`i128`), empty where there is no single
    one. `cases` are an integer enum's numbers and names, `name` is a struct's."""

    spelled: str
    kind: Kind
    tag: str = ""
    name: str = ""
    cases: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A field, an argument or an event's parameter."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class Struct:
    name: str
    fields: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class KeyCase:
    """A case of an enum that storage keys may be of: `DataKey::Balance(Address)`."""

    union: str
    name: str
    types: tuple[Type, ...]

    @property
    def spelled(self) -> str:
        return f"{self.union}::{self.name}({', '.join(each.spelled for each in self.types)})"


@dataclass(frozen=True, slots=True)
class Function:
    """`output` None: it gives nothing. An Option or a Result is what it holds."""

    name: str
    inputs: tuple[Part, ...]
    output: Type | None


@dataclass(frozen=True, slots=True)
class EventShape:
    """`topics` are the fixed ones, which come first."""

    name: str
    topics: tuple[str, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class ContractInterface:
    """A contract's interface (SEP-48), what a rule can use of it."""

    contract: str
    structs: tuple[Struct, ...] = ()
    cases: tuple[KeyCase, ...] = ()
    functions: tuple[Function, ...] = ()
    events: tuple[EventShape, ...] = ()

    def struct(self, name: str) -> Struct | None:
        return next((each for each in self.structs if each.name == name), None)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `type` as PostgreSQL prints it; `key_place` its place in the primary key;
    `is_readable`: a rule can read it."""

    name: str
    type: str
    key_place: int | None = None
    is_readable: bool = True

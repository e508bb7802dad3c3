"""Which entries a contract seems to have, one per rule key: how each is keyed, and what stands in it.

An interface names types, functions and events, and not what storage holds: a getter with one argument, and a
case of a key enum with one value, tell it by their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from app.rules.scaffold.fields import ENOUGH, Guess, match_fields
from app.rules.scaffold.interface import (
    KEYS,
    NUMBERS,
    Column,
    ContractInterface,
    Function,
    KeyCase,
    Kind,
    Part,
    Type,
)
from app.rules.scaffold.names import kebab, likeness, words_of

_GETTERS: Final = frozenset({"get", "read", "query", "view", "fetch", "load"})
_SHIPPED: Final = {"CreditLineData": "credit-line", "InvoiceEscrow": "escrow"}
"""Structs that a shipped decoder reads."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry as it may be. `case` None: it stands under the bare key. `key` names what the key is.
    `guesses`: the columns that would be compared."""

    name: str
    key: Part
    case: KeyCase | None
    value: Type
    parts: tuple[Part, ...]
    getter: str | None
    guesses: tuple[Guess, ...]

    @property
    def shipped(self) -> str | None:
        """The decoder that ships for it."""
        return _SHIPPED.get(self.value.name)

    @property
    def spelled(self) -> str:
        place = self.case.spelled if self.case is not None else f"the bare {self.key.type.spelled}"
        return f"{self.name}: {place} -> {self.value.spelled}"


def candidates_of(interface: ContractInterface, columns: Sequence[Column]) -> list[Candidate]:
    """What the table's columns say most of first."""
    found: dict[tuple[str, str], Candidate] = {}
    for candidate in (*_of_getters(interface, columns), *_of_structs(interface, columns)):
        place = candidate.value.name or candidate.name, "" if candidate.case is None else candidate.case.name
        found.setdefault(place, candidate)
    known = _without_worse(list(found.values()))
    return sorted(known, key=lambda each: (-(each.shipped is not None), -len(each.guesses)))


def _without_worse(found: list[Candidate]) -> list[Candidate]:
    """A struct that a getter gives is not guessed again by its name alone."""
    got = {each.value.name for each in found if each.getter is not None}
    return [each for each in found if each.getter is not None or each.value.name not in got]


def _of_getters(interface: ContractInterface, columns: Sequence[Column]) -> Iterator[Candidate]:
    for function in interface.functions:
        if len(function.inputs) != 1 or function.inputs[0].type.kind not in KEYS or function.output is None:
            continue
        case = _case_of(interface, function)
        value, name = function.output, _name_of(function)
        struct = interface.struct(value.name)
        if struct is not None:
            yield _candidate(
                kebab(struct.name if case is None else case.name), function, case, struct.fields, columns
            )
        elif value.kind in NUMBERS and case is not None:
            yield _candidate(kebab(case.name), function, case, (Part(name, value),), columns)


def _candidate(
    name: str, function: Function, case: KeyCase | None, parts: tuple[Part, ...], columns: Sequence[Column]
) -> Candidate:
    if function.output is None:
        raise ValueError("a getter without an output")
    guesses = tuple(match_fields(columns, parts))
    return Candidate(name, function.inputs[0], case, function.output, parts, function.name, guesses)


def _of_structs(interface: ContractInterface, columns: Sequence[Column]) -> Iterator[Candidate]:
    for case in _single(interface.cases):
        for struct in interface.structs:
            if likeness(case.name, struct.name) >= ENOUGH:
                value = Type(struct.name, Kind.STRUCT, "map", struct.name)
                guesses = tuple(match_fields(columns, struct.fields))
                key = Part(case.name, case.types[0])
                yield Candidate(kebab(case.name), key, case, value, struct.fields, None, guesses)


def _case_of(interface: ContractInterface, function: Function) -> KeyCase | None:
    """The key case that a getter's name and argument speak of."""
    name = _name_of(function)
    fitting = [
        (likeness(case.name, name), case)
        for case in _single(interface.cases)
        if case.types[0].spelled == function.inputs[0].type.spelled
    ]
    best = max(fitting, key=lambda pair: pair[0], default=None)
    return best[1] if best is not None and best[0] >= ENOUGH else None


def _single(cases: Sequence[KeyCase]) -> Iterator[KeyCase]:
    return (case for case in cases if len(case.types) == 1 and case.types[0].kind in KEYS)


def _name_of(function: Function) -> str:
    words = words_of(function.name)
    return "_".join(words[1:] if words and words[0] in _GETTERS and len(words) > 1 else words)

"""JSON as it was spelt: numbers keep their text, objects the order and the repetition of their members."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeAlias


class Number(str):
    """A number by its spelling: `1.0` is not `1`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Object:
    """The members of an object as written, repeated names included."""

    members: tuple[tuple[str, Json], ...]


Json: TypeAlias = "bool | Number | str | list[Any] | Object | None"


def parse(text: bytes) -> Json:
    """The value; raises ValueError for what is no JSON. Bytes that are no UTF-8 become U+FFFD, as in Go."""
    try:
        found: Json = json.loads(
            text.decode("utf-8", "replace"),
            parse_int=Number,
            parse_float=Number,
            parse_constant=_refuse,
            object_pairs_hook=lambda pairs: Object(tuple(pairs)),
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return found


def spell(value: Number | str) -> str:
    """A number or a string as JSON text."""
    return str(value) if isinstance(value, Number) else json.dumps(value)


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")

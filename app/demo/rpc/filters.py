"""The filters of getEvents: how they are read, when they are refused, what they let through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from stellar_sdk import StrKey

from app.demo.rpc.decoding import Place, read_fields, read_list, read_string
from app.demo.rpc.json_text import Json
from app.demo.rpc.ledgers import Event
from app.demo.rpc.scvals import canonical_scval

ONE: Final = "*"
ANY: Final = "**"
MAX_FILTERS: Final = 5
_MAX_PARTS: Final = 5
_MAX_SEGMENTS: Final = 4
_TYPES: Final = frozenset({"contract", "system"})

Row = tuple[str, ...]
"""Segments: base64 of an ScVal in canonical form, `*`, or a last `**`."""


@dataclass(slots=True)
class EventFilter:
    """Lets an event through that satisfies all of its parts; an empty part is satisfied by any event."""

    types: frozenset[str] = frozenset()
    contracts: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def problem(self) -> str | None:
        """Why the real server refuses it, its first reason; None where it does not."""
        if not self.types <= _TYPES:
            return "filter type invalid: if set, type must be either 'system' or 'contract'"
        if len(self.contracts) > _MAX_PARTS:
            return "maximum 5 contract IDs per filter"
        if len(self.rows) > _MAX_PARTS:
            return "maximum 5 topics per filter"
        for number, contract in enumerate(self.contracts, 1):
            if not StrKey.is_valid_contract(contract):
                return f"contract ID {number} invalid"
        for number, row in enumerate(self.rows, 1):
            if (problem := _problem_of(row)) is not None:
                return f"topic {number} invalid: {problem}"
        return None

    def matches(self, event: Event) -> bool:
        return (
            (not self.types or event.type in self.types)
            and (not self.contracts or event.contract in self.contracts)
            and (not self.rows or any(_row_matches(row, event.topics) for row in self.rows))
        )


def read_filter(value: Json, place: Place) -> EventFilter:
    """A filter of the request; raises `Undecodable`."""
    found = EventFilter()

    def types(held: Json, at: Place) -> None:
        text = read_string(held, at) or ""
        found.types = frozenset(text.split(",")) if text else frozenset()

    def contracts(held: Json, at: Place) -> None:
        found.contracts = read_list(held, at, "[]string", lambda each: read_string(each, at) or "")

    def topics(held: Json, at: Place) -> None:
        found.rows = read_list(held, at, "[]protocol.TopicFilter", lambda each: _read_row(each, at))

    place.require_object(value, "protocol.EventFilter")
    read_fields(
        value, place.inside("EventFilter"), {"type": types, "contractIds": contracts, "topics": topics}
    )
    return found


def _read_row(value: Json, place: Place) -> Row:
    return tuple(read_list(value, place, "protocol.TopicFilter", lambda each: _read_segment(each, place)))


def _read_segment(value: Json, place: Place) -> str:
    text = read_string(value, place) or ""
    return text if text in (ONE, ANY) else canonical_scval(text)


def _problem_of(row: Row) -> str | None:
    if not row:
        return "topic must have at least 1 segment"
    fixed = row[:-1] if row[-1] == ANY else row
    if ANY in fixed:
        return f"segment {fixed.index(ANY) + 1} invalid: wildcard '**' is only allowed as the last segment"
    if len(fixed) > _MAX_SEGMENTS:
        return "topic cannot have more than 4 segments"
    return None


def _row_matches(row: Row, topics: Sequence[str]) -> bool:
    if row[-1] == ANY:
        row = row[:-1]
        if len(topics) < len(row):
            return False
    elif len(topics) != len(row):
        return False
    return all(segment in (ONE, topic) for segment, topic in zip(row, topics, strict=False))

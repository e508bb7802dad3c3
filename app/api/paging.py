"""Query parameters of lists, and the cursor that leads from one page to the next."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from app.api.bodies import RULE_ID
from app.cases import LARGEST_PAGE, CaseStatus, Page, Place, Row, Scope, Wanted, to_time, to_us
from app.detector.model import Severity

DEFAULT_PAGE: Final = 100
CURSOR: Final = "^([0-9a-f]{2}){8,136}$"
_AT: Final = struct.Struct(">q")
_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)


def show_place(place: Place) -> str:
    """The cursor of a place. Any text of that form is a place: what is forged leads to another page of the
    same list and to nothing else."""
    return (_AT.pack(to_us(place.at)) + place.id.encode()).hex()


def read_place(cursor: str) -> Place:
    """The opposite of `show_place`."""
    raw = bytes.fromhex(cursor)
    (us,) = _AT.unpack(raw[:8])
    return Place(to_time(us), raw[8:].decode("utf-8", "replace").replace("\x00", ""))


def read_time(text: str) -> str:
    """Refuses what is no RFC 3339 time with its zone."""
    _parse(text)
    return text


def _parse(text: str) -> datetime:
    if _RFC_3339.fullmatch(text) is None:
        raise ValueError("not an RFC 3339 time with a zone, such as 2026-08-01T10:00:00Z")
    at = datetime.fromisoformat(text.upper())
    try:
        return at.astimezone(UTC)
    except OverflowError:  # the zone leads past the calendar's end
        return at.replace(tzinfo=UTC)


Time = Annotated[str, AfterValidator(read_time), WithJsonSchema({"type": "string", "format": "date-time"})]
Limit = Annotated[int, Field(description=f"records a page; clamped to 1 to {LARGEST_PAGE}")]
Cursor = Annotated[
    str, StringConstraints(pattern=CURSOR), Field(description="`next` of the page before; opaque")
]


class Listed(BaseModel):
    """What every list takes. Unknown parameters are refused: a misspelled filter would show everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Annotated[str, StringConstraints(pattern=RULE_ID)] | None = None
    since: Time | None = Field(default=None, description="not before; RFC 3339")
    until: Time | None = Field(default=None, description="before; RFC 3339")
    limit: Limit = DEFAULT_PAGE
    cursor: Cursor | None = None

    def page(self) -> Page:
        """One record more than asked for: whether there is a next page."""
        size = min(max(self.limit, 1), LARGEST_PAGE)
        return Page(size + 1, None if self.cursor is None else read_place(self.cursor))

    def wanted(self, scope: Scope) -> Wanted:
        """The filter."""
        return Wanted(scope, **self._filters())

    def _filters(self) -> dict[str, Any]:
        since = None if self.since is None else _parse(self.since)
        until = None if self.until is None else _parse(self.until)
        return {"rule": self.rule, "since": since, "until": until}


class ExceptionQuery(Listed):
    """Filters of exceptions; `since` and `until` are of their creation."""

    key: Annotated[str, StringConstraints(max_length=1024)] | None = None
    severity: Severity | None = None
    status: CaseStatus | None = None

    def _filters(self) -> dict[str, Any]:
        return {
            **super()._filters(),
            "key": None if self.key is None else self.key.replace("\x00", "\ufffd"),
            "severity": self.severity,
            "status": self.status,
        }


class ReportQuery(Listed):
    """Filters of runs; `since` and `until` are of their start."""

    status: Annotated[str, StringConstraints(pattern="^[a-z_]{1,32}$")] | None = Field(
        default=None, description="waiting, running, paused, done, failed or merged"
    )

    def _filters(self) -> dict[str, Any]:
        return {**super()._filters(), "status": self.status}


class DeadLetterQuery(Listed):
    """Filters of dead letters; `since` and `until` are of when they were given up."""

    kind: Annotated[str, StringConstraints(pattern="^[a-z_]{1,32}$")] | None = None

    def _filters(self) -> dict[str, Any]:
        return {**super()._filters(), "kind": self.kind}


Exceptions = Annotated[ExceptionQuery, Query()]
Reports = Annotated[ReportQuery, Query()]
DeadLetters = Annotated[DeadLetterQuery, Query()]


def cut(rows: Sequence[Row], page: Page, at: str, key: str) -> tuple[Sequence[Row], str | None]:
    """The rows of the page, and the cursor of the next one. `at`, `key`: the columns of the order."""
    if len(rows) < page.size:
        return rows, None
    shown = rows[: page.size - 1]
    return shown, show_place(Place(shown[-1][at], str(shown[-1][key])))

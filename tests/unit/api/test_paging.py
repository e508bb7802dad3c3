"""Cursors, times and page sizes."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.api.paging import CURSOR, ExceptionQuery, Listed, cut, read_place, show_place
from app.cases import Page, Place, Scope
from tests.support.desk_rows import id_of, minutes


@given(st.datetimes(timezones=st.just(UTC)), st.text("0123456789abcdef-", min_size=1, max_size=64))
def test_a_cursor_leads_back_to_its_place(at: datetime, key: str) -> None:
    cursor = show_place(Place(at, key))

    assert re.fullmatch(CURSOR, cursor)
    assert read_place(cursor) == Place(at, key)


@given(st.from_regex(CURSOR, fullmatch=True))
def test_a_forged_cursor_is_some_place(cursor: str) -> None:
    place = read_place(cursor)

    assert place.at.tzinfo is UTC
    assert "\x00" not in place.id


@pytest.mark.parametrize(("limit", "size"), [(-5, 1), (0, 1), (1, 1), (1000, 1000), (10**30, 1000)])
def test_a_page_has_one_to_a_thousand_records(limit: int, size: int) -> None:
    assert Listed(limit=limit).page() == Page(size + 1)


def test_the_record_behind_a_page_says_that_there_is_another() -> None:
    rows = [{"at": minutes(number), "id": id_of(number)} for number in range(3)]

    shown, behind = cut(rows, Page(3), "at", "id")
    assert shown == rows[:2]
    assert behind is not None
    assert read_place(behind) == Place(minutes(1), id_of(1))
    assert cut(rows[:2], Page(3), "at", "id") == (rows[:2], None)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-08-01T12:00:00Z", minutes(0)),
        ("2026-08-01t12:00:00.000000z", minutes(0)),
        ("2026-08-01T14:00:00+02:00", minutes(0)),
        ("9999-12-31T23:59:59-23:59", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_times_are_rfc_3339(text: str, at: datetime) -> None:
    assert Listed(since=text).wanted(Scope()).since == at


@pytest.mark.parametrize(
    "text", ["1785585600", "2026-08-01", "2026-08-01T12:00:00", "2026-02-30T00:00:00Z", ""]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Listed(until=text)


def test_a_misspelled_filter_is_refused() -> None:
    with pytest.raises(ValidationError):
        ExceptionQuery.model_validate({"severty": "critical"})

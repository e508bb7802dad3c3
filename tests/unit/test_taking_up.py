"""What of `drift.episodes` becomes a record again, and what is left alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from app.stream.state import decode_record
from app.stream.taking_up import take_up
from tests.support.one_partition import Arrived

KEY = b"credit-line|GA"
SINCE_US = 1_785_578_437_000_000
DIFFERENCE = {"field": "status", "left": "a", "right": "b", "since": "2026-08-01T10:00:37Z"}
OPENED: dict[str, Any] = {
    "episode": "00ff",
    "sequence": 0,
    "transition": "opened",
    "rule": "credit-line",
    "key": "GA",
    "severity": "critical",
    "since": "2026-08-01T10:00:37Z",
    "until": None,
    "differences": [DIFFERENCE],
    "flaps": 0,
}
HEADERS = (("ce_time", b"2026-08-01T10:01:00Z"), ("drift_confirmed", b"live"))


def told(value: object, key: bytes = KEY, headers: tuple[tuple[str, bytes], ...] = HEADERS) -> Arrived:
    return Arrived(None if value is None else orjson.dumps(value), 0, key, headers)


async def taken(*records: Arrived) -> dict[bytes, Any]:
    async def read() -> AsyncIterator[Arrived]:
        for record in records:
            yield record

    rows = await take_up(read(), {"credit-line"})
    return {key: decode_record(row or b"")[0] for key, row in rows.items()}


async def test_an_open_episode_goes_on_where_it_was_told_last() -> None:
    found = (await taken(told(OPENED), told(OPENED | {"sequence": 1, "transition": "updated"})))[KEY]

    assert (found.episode, found.state, found.since, found.until) == ("00ff", "open", SINCE_US, None)
    assert (found.sequence, found.flaps, found.severity) == (2, 0, "critical")
    assert (found.last, found.confirmed, found.is_taken_up) == ([DIFFERENCE], "live", True)
    assert found.judged == SINCE_US + 23_000_000


async def test_one_that_has_ended_may_be_reopened() -> None:
    ended = OPENED | {"transition": "resolved", "until": "2026-08-01T10:02:00Z", "differences": []}
    found = (await taken(told(ended, headers=())))[KEY]

    assert (found.state, found.until, found.judged) == (
        "resolved",
        SINCE_US + 83_000_000,
        SINCE_US + 83_000_000,
    )
    assert found.confirmed == "off"


async def test_what_was_forgotten_stays_forgotten() -> None:
    assert await taken(told(OPENED), told(None)) == {}
    assert await taken(told(None)) == {}


async def test_what_other_rules_told_is_left_alone() -> None:
    assert await taken(told(OPENED, b"other|GA"), told(OPENED, b"\xff|GA")) == {}


@pytest.mark.parametrize(
    "value", [[], {}, 5, OPENED | {"since": "once"}, OPENED | {"sequence": None}, OPENED | {"flaps": "many"}]
)
async def test_what_is_no_episode_is_left_alone(value: object) -> None:
    assert await taken(told(value)) == {}

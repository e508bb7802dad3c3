"""getEvents of the simulated node: ranges, cursors, the scan window, retention, filters."""

from __future__ import annotations

from typing import Any

import pytest

from app.demo.rpc.config import duration_text, parse_duration
from app.demo.rpc.cursors import end_of
from app.demo.rpc.node import Node
from tests.support.simulator import A, B, C, ask, close, close_empty, event, node, page, symbol, topics_of


def busy_node() -> Node:
    """Ledgers 10 to 14, kept: 4, so 11 to 14; two events in 12, one in 13."""
    held = node(retention=4)
    close_empty(held, 10, 11)
    close(held, 12, event(12, 1, "first"), event(12, 2, "second", "more", contract=B))
    close(held, 13, event(13, 1, contract=C))
    close(held, 14)
    return held


@pytest.mark.parametrize("start", [10, 15, 2**32 - 1])
async def test_a_start_outside_of_the_window_is_told_the_window(start: int) -> None:
    found = await page(busy_node(), startLedger=start)
    assert found == {"code": -32600, "message": "startLedger must be within the ledger range: 11 - 14"}


async def test_a_full_page_ends_at_its_last_event_and_the_next_one_goes_on_behind_it() -> None:
    held = busy_node()
    first = await page(held, limit=2, startLedger=11)
    assert topics_of(first) == ["first", "second"]
    assert first["cursor"] == first["events"][-1]["id"] == f"{12 << 32 | 2 << 12:019d}-0000000000"
    rest = await page(held, first["cursor"], limit=2)
    assert topics_of(rest) == [None]
    assert rest["cursor"] == end_of(14).text() == f"{14 << 32 | 0xFFFFFFFF:019d}-4294967295"


async def test_the_end_cursor_stays_until_a_ledger_closes() -> None:
    held = busy_node()
    end = end_of(14).text()
    assert (await page(held, end))["cursor"] == end
    close(held, 15, event(15, 1, "late"))
    found = await page(held, end)
    assert topics_of(found) == ["late"]
    assert found["cursor"] == end_of(15).text()


async def test_a_cursor_needs_its_own_ledger_within_the_window() -> None:
    held = busy_node()
    assert topics_of(await page(held, end_of(11).text())) == ["first", "second", None]
    refused = await page(held, end_of(10).text())
    assert refused["code"] == -32600
    ahead = await page(held, end_of(15).text())
    assert ahead["message"].endswith("11 - 14")


async def test_the_scan_window_ends_a_page_without_events() -> None:
    held = node(scan_ledgers=10)
    close_empty(held, 100, 109)
    close(held, 110, event(110, 1, "far"))
    close_empty(held, 111, 130)
    first = await page(held, startLedger=100)
    assert first["events"] == []
    assert first["cursor"] == end_of(109).text()
    second = await page(held, first["cursor"])
    assert topics_of(second) == ["far"]
    assert second["cursor"] == end_of(118).text(), "from an end cursor the window begins in its own ledger"


async def test_an_end_ledger_is_excluded_and_may_lead_backwards() -> None:
    held = busy_node()
    until = await page(held, startLedger=12, endLedger=13)
    assert topics_of(until) == ["first", "second"]
    assert until["cursor"] == end_of(12).text()
    back = await page(held, startLedger=13, endLedger=12)
    assert (back["events"], back["cursor"]) == ([], end_of(11).text())


async def test_what_is_trimmed_while_a_page_is_read_is_missing_in_silence() -> None:
    held = busy_node()
    held.trouble.event_sleep_ms = 5
    clock: Any = held.clock
    clock.on_sleep = lambda: close_empty(held, 15, 16)
    found = await page(held, startLedger=11)
    assert (found["oldestLedger"], found["latestLedger"]) == (11, 14)
    assert topics_of(found) == [None], "12 is gone, 13 is not"
    assert found["cursor"] == end_of(14).text()


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (None, ["first", "second", None]),
        ([{"contractId": A}], ["first", "second", None]),
        ([{"contractIds": [A]}], ["first"]),
        ([{"contractIds": [A, C]}], ["first", None]),
        ([{"contractIds": [A]}, {"contractIds": [C]}], ["first", None]),
        ([{"type": "system"}], []),
        ([{"type": "system,contract"}], ["first", "second", None]),
        ([{"topics": [["*"]]}], ["first"]),
        ([{"topics": [["*", "**"]]}], ["first", "second"]),
        ([{"topics": [["**"]]}], ["first", "second", None]),
        ([{"topics": [[symbol("second"), symbol("more")]]}], ["second"]),
        ([{"topics": [[symbol("second")], [symbol("first")]]}], ["first"]),
        ([{"contractIds": [B], "topics": [[symbol("first"), "**"]]}], []),
    ],
)
async def test_a_filter_lets_through(filters: Any, expected: list[Any]) -> None:
    assert topics_of(await page(busy_node(), startLedger=11, filters=filters)) == expected


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "startLedger must be positive"),
        ({"startLedger": 12, "pagination": {"limit": 10_001}}, "limit must not exceed 10000"),
        ({"startLedger": 12, "filters": [{}] * 6}, "maximum 5 filters per request"),
        ({"startLedger": 12, "filters": [{"contractIds": [A] * 6}]}, "maximum 5 contract IDs per filter"),
        ({"startLedger": 12, "filters": [{"contractIds": [A, "CA"]}]}, "contract ID 2 invalid"),
        ({"startLedger": 12, "filters": [{"topics": [["*"]] * 6}]}, "maximum 5 topics per filter"),
        ({"startLedger": 12, "filters": [{"topics": [[]]}]}, "topic 1 invalid: topic must have at least"),
        ({"startLedger": 12, "filters": [{"topics": [["*"] * 5]}]}, "cannot have more than 4 segments"),
        (
            {"startLedger": 12, "filters": [{}, {"type": "diagnostic"}]},
            "filter 2 invalid: filter type invalid",
        ),
        ({"startLedger": 12, "xdrFormat": "xml"}, "got 'xml': expected base64, json"),
        ({"startLedger": 1, "pagination": {"cursor": "1-0"}}, "cannot both be set"),
    ],
)
async def test_a_request_is_refused(params: Any, message: str) -> None:
    found = await ask(busy_node(), "getEvents", **params)
    assert found["code"] == -32602
    assert message in found["message"]


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"startLedger": "12"}, "string into Go struct field GetEventsRequest.startLedger of type uint32"),
        ({"startLedger": -1}, "number -1 into Go struct field GetEventsRequest.startLedger of type uint32"),
        ({"filters": [{"topics": ["*"]}]}, "string into Go struct field EventFilter.filters.topics of type"),
        ({"pagination": {"cursor": "x-0"}}, 'invalid event id x-0: strconv.ParseInt: parsing "x"'),
        ({"pagination": {"cursor": f"{2**63}-0"}}, "value out of range"),
        ({"filters": [{"topics": [["AAAA"]]}]}, "unexpected EOF while decoding 4 bytes - read: '[0 0 0]'"),
    ],
)
async def test_a_parameter_of_the_wrong_form_is_told_as_go_tells_it(params: Any, told: str) -> None:
    found = await ask(busy_node(), "getEvents", **params)
    assert (found["code"], found["message"]) == (-32602, "invalid parameters")
    assert told in found["data"]


async def test_names_have_no_case_and_the_last_one_counts() -> None:
    held = busy_node()
    assert topics_of(await ask(held, "getEvents", STARTLEDGER=13)) == [None]
    assert topics_of(await ask(held, "getEvents", startLedger=12, StartLedger=13)) == [None]


async def test_an_empty_node_tells_a_request_s_own_faults_first() -> None:
    held = node()
    assert (await page(held))["message"] == "startLedger must be positive"
    assert (await page(held, startLedger=5)) == {"code": -32603, "message": "DB is empty"}


async def test_json_is_the_same_event_in_words() -> None:
    found = await page(busy_node(), startLedger=12, xdrFormat="json", limit=3)
    assert [event.get("topicJson") for event in found["events"]] == [
        [{"symbol": "first"}],
        [{"symbol": "second"}, {"symbol": "more"}],
        None,
    ]
    assert found["events"][1]["valueJson"] == {"u32": 2}
    assert "value" not in found["events"][1]


def test_durations_are_those_of_go() -> None:
    assert [parse_duration(text) for text in ("1.5s", "1h30m", "200ms", "0")] == [1.5, 5400.0, 0.2, 0.0]
    assert [duration_text(seconds) for seconds in (31, 125, 3605)] == ["31s", "2m5s", "1h0m5s"]
    for text in ("", "5", "1s!", "s"):
        with pytest.raises(ValueError, match="no duration"):
            parse_duration(text)

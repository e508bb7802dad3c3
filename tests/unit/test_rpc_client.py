"""The pure parts of the client and of the poller: headers, addresses, filters, cursors, close times."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.errors import Fatal
from connectors.soroban.answers import Health, OutOfRange
from connectors.soroban.cursor import Cursor, ledger_of, scanned_ledger
from connectors.soroban.rpc import filters_of, place_of, read_answer, seconds_of
from connectors.soroban.service import network_name
from connectors.soroban.times import CloseTimes, micros_of, text_of
from tests.support.one_partition import FrozenClock

CLOCK = FrozenClock()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        ("-1", 0.0),
        ("Sat, 01 Aug 2026 10:06:05 GMT", 60.0),
        ("Sat, 01 Aug 2026 09:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("Sat, 99 Aug 2026 10:06:05 GMT", None),
    ],
)
def test_the_time_that_a_node_names(header: str | None, seconds: float | None) -> None:
    assert seconds_of(header, CLOCK) == seconds


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://rpc.example/v1/hidden", "https://rpc.example"),
        ("https://user:hidden@rpc.example:8443/x?key=hidden#hidden", "https://rpc.example:8443"),
        ("http://[::1]:8000/", "http://::1:8000"),
        ("rpc.example", "the RPC node"),
        ("http://host:port/", "the RPC node"),
        ("", "the RPC node"),
    ],
)
def test_an_address_is_shown_without_what_may_be_a_credential(url: str, place: str) -> None:
    assert place_of(url) == place


def test_contracts_are_asked_for_by_five_a_filter() -> None:
    contracts = [f"C{number}" for number in range(12)]

    assert [len(row["contractIds"]) for row in filters_of(contracts)] == [5, 5, 2]
    assert [one for row in filters_of(contracts) for one in row["contractIds"]] == contracts


def test_no_contract_at_all_would_mean_everything() -> None:
    with pytest.raises(Fatal):
        filters_of([])


@pytest.mark.parametrize(
    "result", [b"[]", b"5", b"{}", b'{"latestLedger":1}', b'{"latestLedger":1.5,"oldestLedger":1}']
)
def test_an_answer_of_another_shape_says_what_is_needed(result: bytes) -> None:
    with pytest.raises(Fatal, match="stellar-rpc"):
        read_answer(result, Health, "calling getHealth of", "it")


@pytest.mark.parametrize(
    ("position", "ledger", "scanned"),
    [
        ("0016449724743679999-4294967295", 3829999, 3829999),
        ("0016449720448716800-0000000001", 3829999, 3829998),
        ("0000000000000000000-0000000000", 0, -1),
        ("nonsense", -1, -2),
        ("", -1, -2),
        ("٣-1", -1, -2),
    ],
)
def test_the_ledger_of_a_cursor(position: str, ledger: int, scanned: int) -> None:
    assert (ledger_of(position), scanned_ledger(position)) == (ledger, scanned)


def test_no_position_is_of_no_ledger() -> None:
    assert ledger_of(None) == -1


def test_a_cursor_knows_what_to_ask_for_and_what_the_node_must_hold() -> None:
    by_ledger, by_position = Cursor(None, 7), Cursor(f"{9 << 32 | 5:019d}-0000000001", 8)

    assert (by_ledger.start, by_ledger.asked_ledger, by_ledger.wanted_ledger) == (8, 8, 8)
    assert (by_position.start, by_position.asked_ledger, by_position.wanted_ledger) == (
        by_position.position,
        9,
        9,
    )


def test_out_of_range_tells_which_way() -> None:
    error = OutOfRange("it", 100, 200)

    assert [error.is_gone(ledger) for ledger in (99, 100, 201)] == [True, False, False]
    assert "100 to 200" in str(error)


def test_close_times_are_exact_or_the_nearest_before() -> None:
    times = CloseTimes(capacity=3)
    for ledger, at in ((10, 100), (12, 120), (11, 110), (12, 999), (13, 130)):
        times.learn(ledger, at)

    assert [times.of(ledger) for ledger in (10, 11, 12, 13)] == [None, 110, 120, 130]
    assert (times.floor(12), times.floor(20), times.floor(10)) == ((12, 120), (13, 130), None)


def test_times_in_and_out() -> None:
    moment = datetime(2026, 8, 1, 10, 0, 5, 120_000, UTC)

    assert text_of(micros_of(moment)) == "2026-08-01T10:00:05.120000Z"
    assert text_of(micros_of(moment.replace(microsecond=0))) == "2026-08-01T10:00:05Z"
    with pytest.raises(ValueError, match="without a zone"):
        micros_of(moment.replace(tzinfo=None))


def test_the_short_name_of_the_test_network() -> None:
    assert network_name("Test SDF Network ; September 2015") == "cee0302d59844d32"

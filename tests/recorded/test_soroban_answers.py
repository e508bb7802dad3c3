"""What nodes of many years answered: today's are read, older spellings too, and errors by their kind."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import orjson
import pytest
from pydantic import SecretStr

from app.clock import SystemClock
from app.errors import DriftwatchError, Fatal, Poison, Transient
from connectors.soroban.answers import Envelope, Fault, Health, LedgerEntries, Network, OutOfRange, Page
from connectors.soroban.contracts.credit import CreditLine
from connectors.soroban.cursor import ledger_of, scanned_ledger
from connectors.soroban.reader import EntryReader
from connectors.soroban.rpc import Rpc, read_answer
from connectors.soroban.scval import decode
from tests.recorded.recordings import load

T = TypeVar("T")


def answer(name: str, kind: type[T]) -> T:
    envelope = msgspec.json.decode(orjson.dumps(load(f"soroban/rpc-responses/{name}.json")), type=Envelope)
    assert envelope.error is None
    return read_answer(bytes(envelope.result), kind, "reading", name)


def documented(name: str, example: str, kind: type[T]) -> T:
    found = load(f"soroban/rpc-responses/stellar-docs__{name}.json")[example]["value"]
    return read_answer(orjson.dumps(found), kind, "reading", example)


def test_a_page_of_today() -> None:
    page = answer("live-testnet-2026-09-29__getEvents_deposit", Page)

    (event,) = page.events
    assert (event.type, event.ledger, event.transaction_index, event.operation_index) == (
        "contract",
        4926799,
        1,
        0,
    )
    assert event.ledger_closed_at == datetime(2026, 9, 29, 4, 53, 2, tzinfo=UTC)
    assert decode(event.data)["vec"][0] == {"i128": "300000"}
    assert (page.latest_ledger, page.oldest_ledger) == (4926818, 4805859)
    assert (page.latest_ledger_close_time, page.oldest_ledger_close_time) == (1_790_657_677, 1_790_052_882)
    assert (ledger_of(page.cursor), scanned_ledger(page.cursor)) == (4926799, 4926798)


@pytest.mark.parametrize(
    ("name", "scanned"),
    [
        ("live-testnet-2026-08-02__getEvents_end_cursor", 3829999),
        ("live-testnet-2026-09-29__getEvents_empty_scan_limit", 4815899),
    ],
)
def test_an_empty_page_says_how_far_the_node_has_looked(name: str, scanned: int) -> None:
    page = answer(name, Page)

    assert page.events == []
    assert scanned_ledger(page.cursor) == scanned < page.latest_ledger


@pytest.mark.parametrize(
    ("name", "ledgers"),
    [
        ("java-sdk__soroban_server__get_events", [107, 109]),
        ("java-sdk__sorobanrpc__get_events", [108, 111, 114]),
    ],
)
def test_numbers_that_are_texts_are_read(name: str, ledgers: list[int]) -> None:
    page = answer(name, Page)

    assert [event.ledger for event in page.events] == ledgers
    assert all(decode(event.data)["u32"] > 0 for event in page.events)


def test_a_page_without_a_cursor_is_refused_with_what_is_needed() -> None:
    with pytest.raises(Fatal, match=r"cursor.*stellar-rpc 22 or newer is needed"):
        answer("dotnet-sdk__getEvents_testnet_2024", Page)


def test_an_event_of_no_contract() -> None:
    event = load("soroban/rpc-responses/stellar-docs-pr507__diagnostic_event_empty_contractId.json")["event"]
    event |= {"txHash": "00"}

    page = read_answer(
        orjson.dumps({"events": [event], "cursor": event["id"], "latestLedger": 1184017}),
        Page,
        "reading",
        "it",
    )

    assert (page.events[0].contract_id, page.events[0].type, len(page.events[0].topic)) == (
        "",
        "diagnostic",
        3,
    )


def test_the_documented_examples() -> None:
    page = documented("Events", "TwoNativeTransferEvents", Page)

    assert [decode(event.data)["i128"] for event in page.events] == ["3000000000", "42558863"]
    assert [event.id for event in page.events] == [
        "0016010972359577600-0000000001",
        "0016010972359577600-0000000008",
    ]
    assert page.cursor == page.events[-1].id
    entries = documented("LedgerEntries", "LedgerEntryContractBalanceResult", LedgerEntries)
    assert entries.entries is not None
    assert entries.entries[0].live_until_ledger_seq is None


@pytest.mark.parametrize(
    ("name", "health"),
    [
        ("java-sdk__soroban_server__get_health", Health(50000, 1)),
        ("java-sdk__sorobanrpc__get_health", Health(50000, 1)),
        ("live-testnet-2026-08-03__getHealth", Health(3953872, 3832913, 1_785_789_293, 1_785_183_187)),
    ],
)
def test_health_with_and_without_close_times(name: str, health: Health) -> None:
    assert answer(name, Health) == health


@pytest.mark.parametrize("name", ["soroban_server", "sorobanrpc"])
def test_the_network_by_its_passphrase(name: str) -> None:
    assert answer(f"java-sdk__{name}__get_network", Network) == Network("Standalone Network ; February 2017")


@pytest.mark.parametrize(
    ("name", "ledger", "count"),
    [
        ("java-sdk__soroban_server__get_account_not_found", 109048, None),
        ("java-sdk__soroban_server__get_contract_data_return_null", 296, None),
        ("java-sdk__sorobanrpc__get_ledger_entries_null", 1009, None),
        ("java-sdk__soroban_server__get_ledger_entries", 7943, 2),
        ("java-sdk__soroban_server__get_sac_balance", 1104160, 1),
    ],
)
def test_entries_and_their_absence(name: str, ledger: int, count: int | None) -> None:
    found = answer(name, LedgerEntries)

    assert found.latest_ledger == ledger
    assert (None if found.entries is None else len(found.entries)) == count


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("live-mainnet-2025-07__getEvents_error_processing_limit", Transient, "processing limit"),
        ("live-testnet-2026-08-03__getEvents_error_start_too_old", OutOfRange, "3832943 to 3953902"),
        ("live-testnet-2026-08__getEvents_error_bad_contract_id", Fatal, "contract ID 5 invalid"),
        ("live-testnet__getEvents_error_bad_topic_shape", Fatal, "cannot unmarshal string"),
        ("java-sdk__soroban_server__soroban_rpc_error", Fatal, "-32601"),
        ("java-sdk__sorobanrpc__soroban_rpc_error", Fatal, "-32602"),
    ],
)
def test_errors_by_their_kind(name: str, kind: type[DriftwatchError], told: str) -> None:
    fault = msgspec.convert(load(f"soroban/rpc-responses/{name}.json")["error"], type=Fault)
    rpc = Rpc(SecretStr("http://node.example:8000/key"), SystemClock())

    raised = rpc._fault("getEvents", fault)

    assert isinstance(raised, kind)
    assert told in str(raised)
    assert "key" not in rpc.subject


def test_a_range_error_tells_a_trimmed_ledger_from_a_node_behind() -> None:
    fault = msgspec.convert(
        load("soroban/rpc-responses/live-testnet-2026-08-03__getEvents_error_start_too_old.json")["error"],
        type=Fault,
    )

    raised = Rpc(SecretStr("http://node.example"), SystemClock())._fault("getEvents", fault)

    assert isinstance(raised, OutOfRange)
    assert raised.is_gone(3832942)
    assert not raised.is_gone(3953903)


class OneAnswer:
    """A node that gives one recorded answer to every read of entries."""

    subject = "a recorded node"

    def __init__(self, found: LedgerEntries) -> None:
        self.found = found

    async def get_ledger_entries(self, keys: Any) -> tuple[int, dict[str, Any]]:
        return self.found.latest_ledger, dict.fromkeys(keys, (self.found.entries or [])[0])


async def test_an_entry_of_before_the_release_is_a_problem_of_that_entry_only() -> None:
    found = answer("java-sdk__soroban_server__get_contract_data", LedgerEntries)
    contract = "CBQHNAXSI55GX2GN6D67GK7BHVPSLJUGZQEU7WJ5LKR5PNUCGLIMAO4K"
    reader = EntryReader(OneAnswer(found), contract, CreditLine())  # type: ignore[arg-type]

    reads = await reader.read(["GAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QZ6Q"])

    (state,) = reads.states
    assert (reads.read_ledger, state.exists, state.value, state.modified_ledger) == (296, True, None, 290)
    assert "no XDR of this protocol" in str(state.problem)


async def test_an_entry_under_the_key_of_another_is_a_problem_of_that_entry_only() -> None:
    found = documented("LedgerEntries", "CombinedLedgerEntryResult", LedgerEntries)
    contract = "CAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6N4O"
    reader = EntryReader(OneAnswer(found), contract, CreditLine())  # type: ignore[arg-type]

    reads = await reader.read(["GAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QZ6Q"])

    assert "the key does not match the entry" in str(reads.states[0].problem)
    assert Poison.__name__ not in str(reads.states[0].problem)

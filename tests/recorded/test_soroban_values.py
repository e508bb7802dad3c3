"""Real ScVals and ledger entries: all of them decode, and what must be refused is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from stellar_sdk import Address, scval, xdr

import schemas
from app.errors import Poison
from connectors.soroban import keys
from connectors.soroban.contracts.credit import CreditLine
from connectors.soroban.scval import Decoded, decode, field_of, integer_of
from tests.recorded.recordings import FIXTURES, load

CREDIT = CreditLine()
WILDCARDS = {"*", "**"}
"""Stand among the topics of recorded requests."""


def objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from objects(item)
    elif isinstance(value, list):
        for item in value:
            yield from objects(item)


def texts(found: dict[str, Any]) -> Iterator[str]:
    """The ScVals of an event, however it spells its parts."""
    topics = found.get("topic", found.get("topics"))
    if isinstance(topics, list):
        yield from (topic for topic in topics if isinstance(topic, str))
    if topics is not None or "inSuccessfulContractCall" in found:
        data = found.get("value", found.get("data"))
        data = data.get("xdr") if isinstance(data, dict) else data
        if isinstance(data, str):
            yield data


@pytest.fixture(name="everything", scope="module")
def _everything() -> list[str]:
    load("soroban/contract_events.json")
    found: list[str] = []
    for path in sorted((FIXTURES / "soroban").rglob("*.json*")):
        lines = path.read_text(encoding="utf-8")
        documents = (
            [json.loads(line) for line in lines.splitlines()]
            if path.suffix == ".jsonl"
            else [json.loads(lines)]
        )
        found += [text for document in documents for one in objects(document) for text in texts(one)]
    return found


def test_every_scval_decodes(everything: list[str]) -> None:
    tags: Counter[str] = Counter()
    refused = set()
    for text in everything:
        try:
            (tag,) = decode(text)
            tags[tag] += 1
        except Poison:
            refused.add(text)

    assert refused == WILDCARDS
    assert sum(tags.values()) > 3800
    assert tags.keys() == {
        "symbol", "address", "i128", "string", "map", "u32", "void", "vec", "u64", "bytes", "error", "u256",
        "bool",
    }  # fmt: skip


def test_every_decoded_value_is_what_the_schema_says(everything: list[str]) -> None:
    for text in sorted(set(everything) - WILDCARDS):
        assert schemas.validate("chain-event.v1#/$defs/scval", decode(text), strict=True) == []


def test_leaves_say_what_the_sdk_says(everything: list[str]) -> None:
    """An oracle of another hand: stellar_sdk's own conversion."""
    compared = 0
    for text in sorted(set(everything) - WILDCARDS):
        ((tag, held),) = decode(text).items()
        if tag in ("i128", "u256", "u64", "u32", "symbol", "bytes", "bool", "address"):
            native = scval.to_native(text)
            native = native.address if isinstance(native, Address) else native
            native = native.hex() if isinstance(native, bytes) else native
            assert type(native)(held) == native
            compared += 1

    assert compared > 300


# ---- the credit contract


def test_events_of_three_generations_name_their_borrower() -> None:
    named: Counter[tuple[object, object]] = Counter()
    nobody: Counter[object] = Counter()
    for event in load("soroban/contract_events.json")["events"]:
        topics = [decode(topic) for topic in event["topic"]]
        found = CREDIT.named_by(topics, decode(event["value"]))
        words = [topic.get("symbol") for topic in topics] + [None, None]
        if found:
            (borrower,) = found
            assert Address(borrower).address == borrower
            named[words[0], words[1]] += 1
        else:
            nobody[words[0]] += 1

    assert named == {
        ("credit", "closed"): 1,
        ("credit", "draw"): 1,
        ("credit", "drawn"): 2,
        ("credit", "opened"): 1,
        ("credit", "reinstate"): 1,
        ("credit", "repay"): 2,
        ("credit", "risk_upd"): 1,
        ("credit", "suspend"): 1,
        ("credit_draw", None): 2,
    }
    assert nobody == {
        "BID_RFDN": 1, "approve": 1, "burn": 1, "deposit": 2, "mint": 2, "my_event": 8, "transfer": 8,
        None: 2,
    }  # fmt: skip


def credit_lines() -> list[dict[str, Any]]:
    entries = load("soroban/contract_ledger_entries.json")["entries"]
    return [entry for entry in entries if "address" in keys.read_contract_data(entry["xdr"]).key]


def test_every_entry_decodes_and_stands_under_its_key() -> None:
    kinds: Counter[object] = Counter()
    for entry in load("soroban/contract_ledger_entries.json")["entries"]:
        found = keys.read_contract_data(entry["xdr"])
        assert found.ledger_key == entry["key"]
        kinds[next(iter(found.key))] += 1

    assert kinds == {"ledger_key_contract_instance": 84, "address": 66, "vec": 50}


def test_credit_lines_of_six_and_seven_fields() -> None:
    fields: Counter[int] = Counter()
    statuses: Counter[str] = Counter()
    for entry in credit_lines():
        found = keys.read_contract_data(entry["xdr"])
        value = CREDIT.value(found)
        fields[len(value)] += 1
        statuses[value["status"]] += 1
        assert value["borrower"] == found.key["address"]
        assert isinstance(value["credit_limit"], str)
        assert int(value["utilized_amount"]) <= int(value["credit_limit"])
        assert CREDIT.ledger_key(found.contract, value["borrower"]) == entry["key"]

    assert fields == {7: 39, 6: 27}
    assert statuses == {"active": 49, "closed": 11, "suspended": 5, "defaulted": 1}


def test_a_limit_of_127_bits_keeps_its_last_digit() -> None:
    (value,) = [
        CREDIT.value(keys.read_contract_data(entry["xdr"]))
        for entry in credit_lines()
        if "near_i128_max_succeeds" in entry["source"]
    ]

    assert value["credit_limit"] == value["utilized_amount"] == str(2**127 - 1)
    assert (value["interest_rate_bps"], value["risk_score"], value["status"]) == (300, 70, "active")


def test_what_is_no_credit_line_is_refused_by_its_reason() -> None:
    entries = load("soroban/contract_ledger_entries.json")["entries"]
    others = [keys.read_contract_data(entry["xdr"]) for entry in entries]
    causes = Counter()
    for found in others:
        if "address" not in found.key:
            with pytest.raises(Poison) as raised:
                CREDIT.value(found)
            causes[str(raised.value.cause)] += 1

    assert set(causes) <= {
        "it is no map", "without credit_limit, utilized_amount, interest_rate_bps, status",
    }  # fmt: skip
    assert sum(causes.values()) == 134


def test_an_instance_says_how_many_lines_there_are() -> None:
    entries = load("soroban/contract_ledger_entries.json")["entries"]
    instances = [keys.read_contract_data(entry["xdr"]) for entry in entries]
    found = [one for one in instances if "ledger_key_contract_instance" in one.key]

    assert {CREDIT.count(one) for one in found} == {0}
    assert {next(iter(one.value["contract_instance"]["executable"])) for one in found} == {
        "stellar_asset", "wasm",
    }  # fmt: skip


# ---- other contracts


def test_mainnet_events_of_2026() -> None:
    events = load("soroban/mainnet_2026-08_events.json")["events"]
    names: Counter[object] = Counter()
    addresses: Counter[str] = Counter()
    with_muxed_id = 0
    for event in events:
        topics, data = [decode(topic) for topic in event["topic"]], decode(event["value"])
        names[topics[0].get("symbol")] += 1
        addresses.update(topic["address"][0] for topic in topics if "address" in topic)
        amount = field_of(data, "amount") if "map" in data else data
        assert amount is not None
        assert integer_of(amount) is not None
        with_muxed_id += field_of(data, "to_muxed_id") is not None
        assert CREDIT.named_by(topics, data) == ()

    assert names == {"mint": 90, "transfer": 73, "fee": 50}
    assert addresses.keys() == {"G", "L"}
    assert with_muxed_id > 0
    first = events[1]
    assert [decode(topic) for topic in first["topic"]][::3] == [
        {"symbol": "transfer"},
        {"string": "USDC:GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN"},
    ]
    assert decode(first["value"]) == {"i128": "10000000"}


def test_escrow_entries_of_liquifact() -> None:
    entries = [
        keys.read_contract_data(entry["xdr"])
        for entry in load("soroban/liquifact_synthesised.json")["ledger_entries"]
    ]

    instance, contribution, rate, *_ = entries
    storage = instance.value["contract_instance"]["storage"]
    escrow = next(pair["val"] for pair in storage if pair["key"] == {"vec": [{"symbol": "Escrow"}]})
    assert plain(escrow, "invoice_id") == "INV_001"
    assert [plain(escrow, name) for name in ("amount", "funded_amount", "yield_bps", "status")] == [
        "100000000000", "25000000000", "800", 0,
    ]  # fmt: skip
    assert instance.key == {"ledger_key_contract_instance": None}
    assert contribution.key["vec"][0] == {"symbol": "InvestorContribution"}
    assert contribution.value == {"i128": "25000000000"}
    assert rate.value == {"i64": "800"}
    assert [entry.contract for entry in entries] == [instance.contract] * 4


def test_escrow_events_of_liquifact_in_both_forms() -> None:
    events = load("soroban/liquifact_synthesised.json")["events"]
    maps = [decode(event["value"]) for event in events]

    assert len(events) == 5
    assert field_of(maps[1], "registry") == {"void": None}
    assert field_of(maps[2], "registry") is None
    for one in maps[1:3]:
        escrow = field_of(one, "escrow")
        assert escrow is not None
        assert (plain(escrow, "invoice_id"), plain(escrow, "maturity")) == ("INV_001", "1800000000")
    assert maps[3] == {"map": []}
    assert plain(maps[4], "settle_pool") == "108000000000"


def plain(value: Decoded, name: str) -> object:
    found = field_of(value, name)
    assert found is not None
    return next(iter(found.values()))


# ---- what must be refused


def test_an_entry_of_before_the_release_is_refused() -> None:
    answer = load("soroban/rpc-responses/java-sdk__soroban_server__get_contract_data.json")

    with pytest.raises(Poison, match="no XDR of this protocol"):
        keys.read_contract_data(answer["result"]["entries"][0]["xdr"])


@pytest.mark.parametrize("place", [0, 1])
def test_an_entry_under_the_key_of_another_is_told(place: int) -> None:
    pairs = load("soroban/rpc-responses/stellar-docs__LedgerEntries.json")["CombinedLedgerEntryResult"][
        "value"
    ]

    pair = pairs["entries"][place]

    assert (
        keys.read_contract_data(pair["xdr"]).ledger_key == pairs["entries"][1 - place]["key"] != pair["key"]
    )


@pytest.mark.parametrize("name", ["get_account", "get_ledger_entries"])
def test_what_is_no_contract_data_is_refused(name: str) -> None:
    answer = load(f"soroban/rpc-responses/java-sdk__soroban_server__{name}.json")

    with pytest.raises(Poison, match="it is no contract data"):
        keys.read_contract_data(answer["result"]["entries"][0]["xdr"])


def test_cut_bytes_of_real_values_are_poison_and_nothing_else(everything: list[str]) -> None:
    for text in sorted(set(everything) - WILDCARDS)[::5]:
        cut = text[: len(text) // 8 * 4]
        try:
            decode(cut)
        except Poison:
            continue
        assert len(xdr.SCVal.from_xdr(cut).to_xdr()) <= len(cut)

"""getLedgerEntries and the small methods of the simulated node."""

from __future__ import annotations

from typing import Any

from stellar_sdk import xdr

from app.demo.rpc.ledgers import Change
from app.demo.rpc.node import Node
from tests.support.simulator import CLOSED_S, ask, close, entry, node

ONE, TWO, THREE = entry("one", 1), entry("two", 2), entry("three", 3)
TEMPORARY = xdr.ContractDataDurability.TEMPORARY
TTL_KEY = xdr.LedgerKey(xdr.LedgerEntryType.TTL, ttl=xdr.LedgerKeyTtl(xdr.Hash(bytes(32)))).to_xdr()


def stocked(*changes: Change) -> Node:
    """Ledger 20 with these entries."""
    held = node()
    close(held, 20, changes=changes)
    return held


async def entries(held: Node, *asked: str) -> Any:
    return await ask(held, "getLedgerEntries", keys=list(asked))


async def test_entries_come_in_the_order_of_the_request_and_absent_ones_are_left_out() -> None:
    held = stocked(ONE, TWO)
    found = await entries(held, TWO.key, THREE.key, ONE.key)
    assert [each["key"] for each in found["entries"]] == [TWO.key, ONE.key]
    assert found["latestLedger"] == 20
    assert found["entries"][1] == {
        "key": ONE.key,
        "xdr": ONE.data,
        "lastModifiedLedgerSeq": 20,
        "liveUntilLedgerSeq": 10_000,
        "extXdr": "AAAAAA==",
    }


async def test_a_key_given_twice_comes_back_twice_where_it_was_given_last() -> None:
    found = await entries(stocked(ONE, TWO), ONE.key, TWO.key, ONE.key)
    assert [each["key"] for each in found["entries"]] == [TWO.key, ONE.key, ONE.key]


async def test_200_keys_are_enough() -> None:
    held = stocked(ONE)
    assert len((await entries(held, *[ONE.key] * 200))["entries"]) == 200
    refused = await entries(held, *[ONE.key] * 201)
    assert refused == {"code": -32602, "message": "key count (201) exceeds maximum supported (200)"}


async def test_what_has_expired_is_gone_if_temporary_and_archived_if_not() -> None:
    old, brief = entry("old", 1, 20), entry("brief", 1, 20, durability=TEMPORARY)
    endless, archived = entry("endless", 1, None), entry("archived", 1, archived=True)
    held = stocked(old, brief, endless, archived)
    found = await entries(held, old.key, brief.key, endless.key, archived.key)
    assert [each.get("liveUntilLedgerSeq") for each in found["entries"]] == [20, 20, None, 0]
    close(held, 21)
    found = await entries(held, old.key, brief.key)
    assert [(each["key"], each["liveUntilLedgerSeq"]) for each in found["entries"]] == [(old.key, 0)]


async def test_a_deleted_entry_is_absent_and_may_come_back() -> None:
    held = stocked(ONE)
    close(held, 21, changes=[Change(ONE.key, None)])
    assert (await entries(held, ONE.key))["entries"] == []
    close(held, 22, changes=[ONE])
    assert (await entries(held, ONE.key))["entries"][0]["lastModifiedLedgerSeq"] == 22


async def test_keys_are_refused_with_the_reason_and_the_place() -> None:
    held = stocked(ONE)
    for bad in ("", "AAAA", ONE.key + " ", ONE.key.rstrip("="), ONE.key[:-4], ONE.key + "AAAA"):
        found = await entries(held, ONE.key, bad)
        assert found == {"code": -32602, "message": f"cannot unmarshal key value {bad} at index 1"}
    found = await entries(held, TTL_KEY)
    assert found == {"code": -32602, "message": "ledger ttl entries cannot be queried directly"}
    folded = ONE.key[:8] + "\n" + ONE.key[8:]
    found = await entries(held, folded)
    assert found == {"code": -32603, "message": f"mismatching key in result: {ONE.key}"}
    found = await entries(held)
    assert found["message"] == "could not query captive core: no keys specified in request"


async def test_trouble_with_the_core_is_told() -> None:
    held = stocked(ONE)
    held.trouble.core_status = 500
    found = await entries(held, ONE.key)
    assert found["message"].endswith("http request failed with non-200 status code (500)")
    held.trouble.core_status, held.trouble.core_sleep_ms = 0, 2500
    found = await entries(held, ONE.key)
    assert (found["code"], "context deadline exceeded" in found["message"]) == (-32603, True)


async def test_json_is_the_same_entry_in_words() -> None:
    held = stocked(ONE)
    found = await ask(held, "getLedgerEntries", keys=[ONE.key], xdrFormat="json")
    written = found["entries"][0]
    assert written["keyJson"]["contract_data"]["key"] == {"symbol": "one"}
    assert written["dataJson"]["contract_data"]["val"] == {"u32": 1}
    assert set(written) == {"keyJson", "dataJson", "extJson", "lastModifiedLedgerSeq", "liveUntilLedgerSeq"}


async def test_health_is_the_window_until_the_latest_ledger_is_old() -> None:
    held = stocked()
    clock: Any = held.clock
    clock.at_s = CLOSED_S + 100 + 30
    assert await ask(held, "getHealth") == {
        "status": "healthy",
        "latestLedger": 20,
        "latestLedgerCloseTime": str(CLOSED_S + 100),
        "oldestLedger": 20,
        "oldestLedgerCloseTime": str(CLOSED_S + 100),
        "ledgerRetentionWindow": 120_960,
    }
    clock.at_s += 1
    assert await ask(held, "getHealth") == {
        "code": -32603,
        "message": "[-32603] latency (31s) since last known ledger closed is too high (>30s)",
    }
    assert (await ask(held, "getEvents", startLedger=20))["events"] == [], "a stale node goes on serving"


async def test_the_header_is_the_ledger_s() -> None:
    held = stocked()
    found = await ask(held, "getLatestLedger")
    header = xdr.LedgerHeader.from_xdr(found["headerXdr"])
    assert (header.ledger_seq.uint32, header.ledger_version.uint32) == (20, 27)
    assert header.scp_value.close_time.time_point.uint64 == int(found["closeTime"]) == CLOSED_S + 100
    meta = xdr.LedgerCloseMeta.from_xdr(found["metadataXdr"]).v2
    assert meta is not None
    assert meta.ledger_header.hash.hash.hex() == found["id"]


async def test_a_friendbot_that_is_not_there_is_not_named() -> None:
    held = stocked()
    assert await ask(held, "getNetwork") == {"passphrase": "simnode network ; 2026", "protocolVersion": 27}

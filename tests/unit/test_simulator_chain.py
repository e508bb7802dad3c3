"""The demo's network, read by driftwatch's own client, reader and poller."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from stellar_sdk import StrKey

from app.demo.chain import FIRST_LEDGER, DemoChain
from app.demo.credit_contract import PAYLOADS, borrower_address
from app.demo.lines import STATUSES, Line
from connectors.soroban import scval
from connectors.soroban.contracts import decoder_of
from connectors.soroban.cursor import Cursor
from connectors.soroban.poller import Poller, Scope
from connectors.soroban.reader import EntryReader
from connectors.soroban.records import Batch, Watch
from connectors.soroban.rpc import Rpc
from tests.support.simulator import StandingClock
from tests.support.waiting import CLOCK

CLOSE_US = 1_795_000_000_000_000
NETWORK = "a network of the tests ; 2026"
ANN, BOB = borrower_address(1, 0), borrower_address(1, 1)
CREDIT = decoder_of("credit-line")


@pytest.fixture
async def chain() -> AsyncIterator[DemoChain]:
    async with DemoChain(NETWORK, StandingClock()) as served:
        yield served


@pytest.fixture
async def rpc(chain: DemoChain) -> AsyncIterator[Rpc]:
    client = Rpc(SecretStr(chain.url), CLOCK)
    yield client
    await client.close()


def test_borrowers_are_accounts_and_always_the_same() -> None:
    assert StrKey.is_valid_ed25519_public_key(ANN)
    assert borrower_address(1, 0) == ANN
    assert len({borrower_address(seed, index) for seed in (1, 2) for index in range(50)}) == 100


async def test_nothing_is_seen_before_the_ledger_closes(chain: DemoChain, rpc: Rpc) -> None:
    chain.write(ANN, Line(100, 1, 500), "opened")
    assert chain.close(CLOSE_US) == FIRST_LEDGER
    chain.write(ANN, Line(100, 90, 500), "drawn")
    reader = EntryReader(rpc, chain.contract_id, CREDIT)
    before = (await reader.read([ANN])).states[0].value
    assert chain.close(CLOSE_US + 2_000_000) == FIRST_LEDGER + 1
    after = (await reader.read([ANN])).states[0]
    assert (before or {})["utilized_amount"] == "1"
    assert (after.value or {})["utilized_amount"] == "90"
    assert after.modified_ledger == FIRST_LEDGER + 1


async def test_a_line_has_the_ten_fields_of_the_contract(chain: DemoChain, rpc: Rpc) -> None:
    chain.write(ANN, Line(50 * 10**7, 12_345_678, 250, "restricted"), "opened")
    chain.close(CLOSE_US)
    chain.write(ANN, Line(50 * 10**7, -1, 251, "suspended"), "risk_upd")
    chain.close(CLOSE_US + 5_000_000)
    state = (await EntryReader(rpc, chain.contract_id, CREDIT).read([ANN, BOB])).states
    assert state[0].value == {
        "accrued_interest": "0",
        "borrower": ANN,
        "credit_limit": "500000000",
        "interest_rate_bps": 251,
        "last_accrual_ts": "1795000005",
        "last_rate_update_ts": "1795000005",
        "risk_score": 70,
        "status": "suspended",
        "suspension_ts": "1795000005",
        "utilized_amount": "-1",
    }
    assert not state[1].exists


@pytest.mark.parametrize("event", PAYLOADS)
async def test_every_event_names_its_borrower(chain: DemoChain, rpc: Rpc, event: str) -> None:
    chain.write(ANN, Line(100, 40, 500), "opened")
    chain.close(CLOSE_US)
    chain.write(ANN, Line(100, 25, 500), event)
    chain.close(CLOSE_US + 2_000_000)
    found = (await rpc.get_events([chain.contract_id], FIRST_LEDGER + 1)).events
    topics = [scval.decode(topic) for topic in found[0].topic]
    data = scval.decode(found[0].data)
    assert topics == [{"symbol": "credit"}, {"symbol": event}]
    assert CREDIT.named_by(topics, data) == (ANN,)
    names = {pair["key"]["symbol"] for pair in data["map"]}
    assert ("status" in names) == (event not in ("drawn", "repay", "risk_upd"))
    if event in ("drawn", "repay"):
        assert scval.field_of(data, "amount") == {"i128": "15"}
        assert scval.field_of(data, "new_utilized_amount") == {"i128": "25"}


async def test_a_silent_change_leaves_no_event(chain: DemoChain, rpc: Rpc) -> None:
    chain.write(ANN, Line(100, 40, 500), "opened")
    chain.close(CLOSE_US)
    chain.write(ANN, Line(100, 41, 500), None)
    chain.close(CLOSE_US + 2_000_000)
    assert (await rpc.get_events([chain.contract_id], FIRST_LEDGER + 1)).events == []
    state = (await EntryReader(rpc, chain.contract_id, CREDIT).read([ANN])).states[0]
    assert (state.value or {})["utilized_amount"] == "41"


async def test_every_line_can_be_found_from_the_instance(chain: DemoChain, rpc: Rpc) -> None:
    everybody = [borrower_address(7, index) for index in range(205)]
    for each in everybody:
        chain.write(each, Line(100, 1, 500), "opened")
        chain.write(each, Line(100, 2, 500), "drawn")
    chain.close(CLOSE_US)
    listed: list[str] = []
    async for _, some in EntryReader(rpc, chain.contract_id, CREDIT).list_keys():
        listed += some
    assert listed == everybody


def test_what_the_contract_cannot_hold_is_refused_before_the_ledger_closes() -> None:
    chain = DemoChain(NETWORK, StandingClock())
    with pytest.raises(ValueError, match="'withdrawn'"):
        chain.write(ANN, Line(1, 1, 1, STATUSES[0]), "withdrawn")
    with pytest.raises(ValueError, match="GNOBODY"):
        chain.write("GNOBODY", Line(1, 1, 1), "opened")


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    async def publish(self, batch: Batch) -> None:
        self.batches.append(batch)


async def test_the_poller_follows_a_chain_from_its_first_ledger_to_its_tip(
    chain: DemoChain, rpc: Rpc
) -> None:
    for second, used in enumerate((10, 20, 30)):
        chain.write(ANN, Line(100, used, 500), "drawn" if second else "opened")
        chain.write(BOB, Line(100, used, 500), "opened" if not second else None)
        chain.close(CLOSE_US + second * 1_000_000)
    sink = Kept()
    scope = Scope("net", (Watch(chain.contract_id, (CREDIT,)),))
    poller = Poller(rpc, sink, scope, CLOCK)
    cursor = await poller.step(Cursor(None, FIRST_LEDGER - 1))
    assert poller.at_tip
    assert cursor.ledger == FIRST_LEDGER + 2
    (batch,) = sink.batches
    assert batch.gap is None
    told = [json.loads(record.value) for record in batch.records]
    events = [each["topics"][1]["symbol"] for each in told if each["kind"] == "event"]
    assert events == ["opened", "opened", "drawn", "drawn"]
    used = {each["key"]: each["value"]["utilized_amount"] for each in told if each["kind"] == "entry"}
    assert used == {ANN: "30", BOB: "30"}
    assert await poller.step(cursor) == cursor
    assert len(sink.batches) == 1


async def test_the_command_tells_address_and_contract_serves_and_ends_when_told() -> None:
    root = Path(__file__).parents[2]
    told = ("--credit", "--ledger-seconds", "1", "-passphrase", NETWORK, "-max-latency", "1h")
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "simulate-rpc", *told, stdout=asyncio.subprocess.PIPE, cwd=root
    )
    try:
        assert running.stdout is not None
        first = json.loads(await asyncio.wait_for(running.stdout.readline(), 30))
        client = Rpc(SecretStr(first["rpc"]), CLOCK)
        assert (await client.get_network()).passphrase == NETWORK
        health = await client.get_health()
        found = await client.get_events([first["contract"]], health.oldest_ledger)
        assert len(found.events) >= 20
        await client.close()
    finally:
        running.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(running.wait(), 10) == 0

"""The poller upon a decoder of the user's own: the example whole, and one that fails in every way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client import generate_latest
from pydantic import SecretStr

import schemas
from app.demo.rpc.server import Server
from app.detector.model import ABSENT, UNKNOWN
from app.errors import Fatal
from app.rules import LoadedRule, load_rules
from connectors.soroban.as_of import EntrySource
from connectors.soroban.cursor import Cursor, end_of
from connectors.soroban.metrics import PollerMetrics
from connectors.soroban.poller import Poller, Scope
from connectors.soroban.records import Batch
from connectors.soroban.rpc import Rpc
from connectors.soroban.service import watches_of
from tests.support.chain_world import NETWORK, PASSPHRASE, QUICK
from tests.support.token_world import EXAMPLE, TOKEN, TokenWorld, holder
from tests.support.waiting import CLOCK

BAD = """
class Bad:
    entry = "token-balance"
    def named_by(self, topics, data):
        if topics[0]["symbol"] == "burn":
            raise RuntimeError("who?")
        return [topic["address"] for topic in topics if "address" in topic]
    def ledger_key(self, contract, key):
        from connectors.soroban.decoding import variant_of_address_key
        place = variant_of_address_key(contract, "Balance", key)
        return place if key != {nowhere!r} else "nonsense"
    def value(self, found):
        amount = found.value["i128"]
        return {{"amount": amount, "authorized": True}} if amount != "13" else {{"amount": 1 / 0}}
DECODER = Bad()
"""


class Read:
    """A sink that keeps records."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    async def publish(self, batch: Batch) -> None:
        found = [orjson.loads(record.value) for record in batch.records]
        assert all(schemas.validate("chain-event.v1", each, strict=True) == [] for each in found)
        self.records += found

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["kind"] == kind]


@dataclass
class Place:
    world: TokenWorld
    rpc: Rpc
    rule: LoadedRule
    metrics: PollerMetrics

    async def follow(self) -> Read:
        """Everything that happened up to now."""
        sink = Read()
        scope = Scope(NETWORK, watches_of([self.rule], NETWORK), QUICK)
        poller = Poller(self.rpc, sink, scope, CLOCK, self.metrics)
        cursor = Cursor(end_of(101), 101)
        while not poller.at_tip:
            cursor = await poller.step(cursor)
        return sink


@asynccontextmanager
async def served(rule: Path) -> AsyncIterator[Place]:
    world = TokenWorld()
    world.close()
    [loaded] = load_rules([rule], {"TOKEN_CONTRACT_ID": TOKEN})
    async with Server(world.node) as server:
        rpc = Rpc(SecretStr(server.url), CLOCK)
        try:
            yield Place(world, rpc, loaded, PollerMetrics())
        finally:
            await rpc.close()


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """The example's rule with a decoder that fails."""
    text = (EXAMPLE / "rule.yaml").read_text(encoding="utf-8")
    (tmp_path / "rule.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "decoder.py").write_text(BAD.format(nowhere=holder(9)), encoding="utf-8")
    return tmp_path / "rule.yaml"


async def test_the_example_reads_again_every_balance_that_an_event_names() -> None:
    async with served(EXAMPLE / "rule.yaml") as place:
        place.world.set_balance(holder(1), 70)
        place.world.set_balance(holder(2), 30, as_map=True)
        place.world.tell("transfer", holder(1), holder(2))
        place.world.tell("approve", holder(1), holder(5))
        place.world.tell("burn", holder(3))
        place.world.close()
        sink = await place.follow()

    entries = {record["key"]: record for record in sink.of("entry")}
    assert {key: record["value"] for key, record in entries.items()} == {
        holder(1): {"amount": "70", "authorized": True, "clawback": False},
        holder(2): {"amount": "30", "authorized": True, "clawback": False},
        holder(3): None,
    }
    assert entries[holder(3)]["exists"] is False
    told = {(record["topics"][0]["symbol"], record["key"]) for record in sink.of("event")}
    assert told == {
        ("transfer", holder(1)),
        ("transfer", holder(2)),
        ("approve", TOKEN),
        ("burn", holder(3)),
    }


async def test_a_decoder_that_fails_costs_its_own_entries_and_nothing_else(bad: Path) -> None:
    async with served(bad) as place:
        for number, amount in ((1, 70), (2, 13), (9, 5)):
            place.world.set_balance(holder(number), amount)
        place.world.tell("transfer", holder(1), holder(2))
        place.world.tell("burn", holder(1))
        place.world.tell("mint", holder(9))
        place.world.close()
        sink = await place.follow()
        source = EntrySource(place.rpc, PASSPHRASE)
        page = await source.read(place.rule, [holder(number) for number in (1, 2, 4, 9)], 0)

    entries = {record["key"]: record for record in sink.of("entry")}
    assert entries[holder(1)]["value"] == {"amount": "70", "authorized": True}
    for number, told in ((2, "ZeroDivisionError"), (9, "ledger_key")):
        assert entries[holder(number)]["exists"] is True
        assert entries[holder(number)]["value"] is None
        assert "decoder.py" in entries[holder(number)]["problem"]
        assert told in entries[holder(number)]["problem"]
    assert {record["key"] for record in sink.of("event") if record["topics"][0]["symbol"] == "burn"} == {
        TOKEN
    }
    shown = generate_latest(place.metrics.registry).decode()
    assert "driftwatch_decoder_failures_total 1.0" in shown
    assert 'driftwatch_entries_read_total{outcome="undecodable"} 2.0' in shown
    assert [each.value for each in page.entries] == [(70, True), UNKNOWN, ABSENT, UNKNOWN]


def test_two_decoders_for_one_entry_of_a_contract_are_refused(bad: Path) -> None:
    other = bad.with_name("other.yaml")
    other.write_text(bad.read_text().replace("rule: token-balance", "rule: other"), encoding="utf-8")
    rules = load_rules([other, EXAMPLE / "rule.yaml"], {"TOKEN_CONTRACT_ID": TOKEN})
    with pytest.raises(Fatal, match="another decoder for the entry token-balance"):
        watches_of(rules, NETWORK)

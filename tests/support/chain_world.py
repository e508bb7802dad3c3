"""A simulated network that knows its own truth, the nodes that serve it, and what must hold of everything
that a poller publishes about it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import SecretStr

from app.circuit import Breaker, Endurance
from app.clock import Clock
from app.demo.chain import DemoChain
from app.demo.credit_contract import borrower_address
from app.demo.lines import STROOPS, Line
from app.demo.rpc.config import NodeConfig
from app.demo.rpc.ledgers import Ledger
from app.demo.rpc.node import Node
from app.demo.rpc.scripted import read_script
from app.demo.rpc.server import Server
from connectors.soroban.contracts import decoder_of
from connectors.soroban.metrics import PollerMetrics
from connectors.soroban.nodes import Node as RpcNode
from connectors.soroban.nodes import Nodes
from connectors.soroban.poller import Pace, Scope
from connectors.soroban.records import Batch, Watch
from connectors.soroban.rpc import Limits, Rpc
from tests.support.simulator import SECOND_US
from tests.support.waiting import CLOCK

NETWORK = "cee0302d59844d32"
PASSPHRASE = "a network of the tests ; 2026"
BEGAN_US = 1_795_000_000 * SECOND_US
LEDGER_US = 5 * SECOND_US
QUICK = Pace(interval_s=0.01, page_events=50, floor_margin_ledgers=20, back_off_s=0.002, back_off_max_s=0.05)
ENDURANCE = Endurance(rest_s=0.02, rest_max_s=0.1)


class LedgerClock:
    """Says the time of the network's latest ledger, so that a node is never stale; sleeps as ours does."""

    def __init__(self) -> None:
        self.at_us = BEGAN_US

    def now_us(self) -> int:
        return self.at_us

    def monotonic_s(self) -> float:
        return CLOCK.monotonic_s()

    async def sleep(self, seconds: float) -> None:
        await CLOCK.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of the truth."""

    epoch: int
    ledger: int
    id: str


class World:
    """Borrowers that draw and repay. `nodes` serve the same ledgers, each with troubles of its own."""

    def __init__(self, seed: int, retention: int, nodes: int) -> None:
        self.chance = random.Random(seed)
        self.clock = LedgerClock()
        self._config = NodeConfig(retention=retention, max_latency_s=1e9, passphrase=PASSPHRASE)
        self.nodes = [Node(self._config, self.clock) for _ in range(nodes)]
        self.servers = [Server(node) for node in self.nodes]
        self.truth: list[Happened] = []
        self.epoch = -1
        self.borrowers = [borrower_address(seed, number) for number in range(12)]
        self.begin_anew()

    def begin_anew(self) -> None:
        """The network forgets everything, under the same passphrase."""
        self.epoch += 1
        self.chain = DemoChain(PASSPHRASE, self.clock, self._config)
        for node in self.nodes:
            node.ledgers = self.chain.node.ledgers
        self.clock.at_us += LEDGER_US

    @property
    def contract(self) -> str:
        return self.chain.contract_id

    def close(self, changes: int = 0) -> int:
        """Close a ledger in which so many lines change."""
        for _ in range(changes):
            self.change(self.chance.choice(self.borrowers))
        self.clock.at_us += LEDGER_US
        number = self.chain.close(self.clock.at_us)
        self._note(self.chain.node.ledgers.at(number))
        return number

    def change(self, borrower: str) -> None:
        line = Line(1000 * STROOPS, self.chance.randrange(1000) * STROOPS, 500)
        self.chain.write(borrower, line, self.chance.choice(("drawn", "repay")))

    def _note(self, ledger: Ledger) -> None:
        self.truth += [
            Happened(self.epoch, ledger.sequence, event.position.text()) for event in ledger.events
        ]

    def trouble(self, *faults: dict[str, Any], node: int = 0) -> None:
        """Script faults of a node."""
        self.nodes[node].script = read_script(list(faults))

    def scope(self, pace: Pace = QUICK) -> Scope:
        return Scope(NETWORK, (Watch(self.contract, (decoder_of("credit-line"),)),), pace)

    def client(self, metrics: PollerMetrics | None = None, clock: Clock = CLOCK) -> Nodes:
        """A client of all nodes that does not wait long for any."""
        limits = Limits(total_s=0.3, connect_s=0.3)
        nodes = [
            RpcNode(server.url, Rpc(SecretStr(server.url), clock, limits), breaker=Breaker(ENDURANCE))
            for server in self.servers
        ]
        return Nodes(nodes, PASSPHRASE, clock, watch=metrics)


@asynccontextmanager
async def running_world(seed: int = 1, retention: int = 100_000, nodes: int = 1) -> AsyncIterator[World]:
    """A network, served on loopback."""
    world = World(seed, retention, nodes)
    async with AsyncExitStack() as stack:
        for server in world.servers:
            await stack.enter_async_context(server)
        yield world


@dataclass(slots=True)
class Told:
    """What was published, record by record in one order, and what must hold of it."""

    seen: dict[tuple[int, str], int] = field(default_factory=dict)
    gaps: list[tuple[int, int, int]] = field(default_factory=list)
    marked: int | None = None
    lost_to: int | None = None
    epoch: int = 0
    resets: list[int] = field(default_factory=list)
    begins: dict[int, int] = field(default_factory=dict)

    def take(self, record: dict[str, Any]) -> None:
        kind = record["kind"]
        if kind == "event":
            assert self.marked is None or record["ledger"] > self.marked, "behind the mark of its ledger"
            where = self.epoch, record["id"]
            self.seen[where] = self.seen.get(where, 0) + 1
        elif kind == "entry":
            assert record["read_ledger"] >= int(record["event_id"].partition("-")[0]) >> 32
        elif kind == "gap" and record["cause"] == "epoch":
            self.resets.append(record["from_ledger"])
            self.epoch, self.marked, self.lost_to = self.epoch + 1, None, None
        elif kind == "gap":
            self.gaps.append((self.epoch, record["from_ledger"], record["to_ledger"]))
            self.lost_to = record["to_ledger"]
        else:
            self._mark(record)

    def _mark(self, mark: dict[str, Any]) -> None:
        assert mark["epoch"] == str(self.epoch)
        joins = self.marked in (None, mark["from_ledger"]) or mark["from_ledger"] <= (self.lost_to or -1)
        assert joins, "the marks do not join"
        assert mark["ledger"] >= mark["from_ledger"]
        self.begins.setdefault(self.epoch, mark["from_ledger"])
        self.marked = mark["ledger"]

    def missing(self, truth: Iterable[Happened]) -> list[Happened]:
        """What happened after the first mark and was neither told nor declared lost."""
        return [each for each in truth if not self._is_told(each)]

    def _is_told(self, each: Happened) -> bool:
        if (each.epoch, each.id) in self.seen:
            return True
        if each.ledger <= self.begins.get(each.epoch, -1):
            return True  # before the first ledger that could be followed
        if each.epoch < len(self.resets) and each.ledger >= self.resets[each.epoch]:
            return True
        return any(epoch == each.epoch and first <= each.ledger <= last for epoch, first, last in self.gaps)

    def twice(self) -> list[tuple[int, str]]:
        """Events that were told more than once."""
        return [where for where, times in self.seen.items() if times > 1]


class Collected:
    """A sink that hands everything to `told`."""

    def __init__(self) -> None:
        self.told = Told()
        self.batches = 0
        self.cursor: bytes = b""

    async def publish(self, batch: Batch) -> None:
        self.batches += 1
        records = [batch.gap, *(record.value for record in batch.records), batch.mark]
        for raw in records:
            if raw is not None:
                self.told.take(orjson.loads(raw))
        self.cursor = batch.cursor

"""A poller that lives for thousands of ledgers among nodes that fail in every way: what it told, against what
happened."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from pydantic import SecretStr

from app.demo.rpc.node import Replica
from app.demo.rpc.scripted import read_script
from app.rules import load_rules
from app.settings import RULES_FOLDER, Settings
from connectors.soroban.metrics import PollerMetrics
from connectors.soroban.service import PollerParts, PollerService
from schemas.topics import CHAIN_CURSOR, CHAIN_EVENTS, STATUS
from tests.support.chain_world import PASSPHRASE, Told, World, running_world
from tests.support.kafka import COMPACT, create_topics, read_all
from tests.support.waiting import CLOCK, eventually

PARTITIONS: Final = 3
RETENTION: Final = 400
_AHEAD: Final = 200
"""Ledgers that the network may be ahead of the poller, but for outages: half of what the nodes keep."""
_FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"kind": "429"},
    {"kind": "429", "retry_after": 0.05},
    {"kind": "503"},
    {"kind": "504"},
    {"kind": "500_text"},
    {"kind": "timeout", "ms": 400},
    {"kind": "truncated"},
    {"kind": "not_json"},
    {"kind": "wrong_id"},
    {"kind": "-32001"},
    {"kind": "-32098"},
    {"kind": "behind", "ledgers": 1},
    {"kind": "behind", "ledgers": 30},
    {"kind": "stale_entries", "ledgers": 2},
    {"kind": "old_shape"},
)


@dataclass(slots=True)
class Found:
    """What happened, and what was wrong with what was told about it."""

    seed: int
    ledgers: int = 0
    events: int = 0
    gaps: int = 0
    lost_ledgers: int = 0
    resets: int = 0
    restarts: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    missing: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        return not self.missing and not self.twice


class Soak:
    """One life. The same seed gives the same troubles; what meets which call is for the machine to say."""

    def __init__(self, kafka: str, world: World, found: Found) -> None:
        self.world, self.found = world, found
        self.chance = random.Random(found.seed)
        self.settings = Settings(
            kafka=kafka,
            partitions=PARTITIONS,
            topic_prefix=f"soak-{found.seed}-{CLOCK.now_us()}-",
            rpc_url=SecretStr(world.servers[0].url),
            network_passphrase=PASSPHRASE,
            poller_interval_ms=10,
            poller_port=0,
        )
        self.metrics = PollerMetrics()
        self._service: asyncio.Task[None] | None = None

    async def run(self, ledgers: int) -> None:
        await self._make_topics()
        await self._start()
        resets = sorted(self.chance.sample(range(ledgers // 4, ledgers), 2))
        try:
            for number in range(ledgers):
                if resets and number == resets[0]:
                    resets.pop(0)
                    await self._begin_anew()
                await self._one_ledger(number)
            await self._settle()
        finally:
            await self._stop()
        await self._judge()

    async def _one_ledger(self, number: int) -> None:
        self.world.close(self.chance.choice((0, 0, 1, 1, 2, 5)))
        self.found.ledgers += 1
        if number % 25 == 0:
            self._trouble()
        if self.chance.random() < 0.002:
            await self._restart()
        if self.chance.random() < 0.001:
            await self._outage()
        await eventually(lambda: self._behind() <= _AHEAD, 120, 0.005)
        if number % 5 == 0:
            await CLOCK.sleep(0.001)

    def _trouble(self) -> None:
        """A few faults at a node, or two nodes behind its address, or nothing."""
        node = self.chance.choice(self.world.nodes)
        faults = [
            {**self.chance.choice(_FAULTS), "times": self.chance.choice((1, 1, 2, 4))}
            for _ in range(self.chance.choice((0, 1, 2)))
        ]
        self.found.faults.update(fault["kind"] for fault in faults)
        node.script = read_script(faults)
        node.trouble.event_sleep_ms = self.chance.choice((0, 0, 0, 5))
        node.trouble.replicas = self.chance.choice(
            ((), (), (Replica(), Replica(behind=1)), (Replica(), Replica(kept=RETENTION // 2)))
        )

    async def _outage(self) -> None:
        """No node answers for a while, at times for longer than ledgers are kept."""
        self.found.faults["outage"] += 1
        for node in self.world.nodes:
            node.script, node.trouble.event_sleep_ms = read_script([{"kind": "503", "times": None}]), 0
        # Calls under way end first: no node trims hundreds of ledgers, an hour's worth, within one call.
        await CLOCK.sleep(0.05)
        for _ in range(self.chance.choice((50, RETENTION + 200))):
            self.world.close(self.chance.choice((0, 1)))
            self.found.ledgers += 1
        for node in self.world.nodes:
            node.script = read_script([])

    async def _begin_anew(self) -> None:
        """The network begins anew; the poller is given the time to find out."""
        await self._settle()
        self.world.begin_anew()
        self.world.close(1)
        self.found.resets += 1
        await self._settle()

    async def _settle(self) -> None:
        for node in self.world.nodes:
            node.script, node.trouble.event_sleep_ms, node.trouble.replicas = read_script([]), 0, ()
        self.world.close(1)
        self.found.ledgers += 1
        await eventually(lambda: self._behind() == 0, 60, 0.01)

    def _behind(self) -> int:
        """How many ledgers the poller has still to publish; a ledger of another epoch is far away."""
        place = self._followed
        if place is None or place[0] != self.world.epoch:
            return RETENTION
        held = self.world.chain.node.ledgers.view().range
        return 0 if held is None else held.latest.sequence - place[1]

    @property
    def _followed(self) -> tuple[int, int] | None:
        ledger = self.metrics.registry.get_sample_value("driftwatch_chain_ledger")
        epochs = self.metrics.registry.get_sample_value("driftwatch_chain_epochs_total")
        return None if not ledger else (int(epochs or 0), int(ledger))

    async def _make_topics(self) -> None:
        names = [self.settings.topic(name) for name in (CHAIN_EVENTS, STATUS)]
        await create_topics(self.settings.kafka, names, PARTITIONS)
        await create_topics(self.settings.kafka, [self.settings.topic(CHAIN_CURSOR)], 1, COMPACT)

    async def _start(self) -> None:
        rules = load_rules([RULES_FOLDER / "credit.yaml"], {"CREDIT_CONTRACT_ID": self.world.contract})
        for _ in range(20):
            self.world.close(1)
        parts = PollerParts(rpc=self.world.client(self.metrics), metrics=self.metrics)
        service = PollerService(self.settings, rules, CLOCK, parts=parts)
        self._service = asyncio.create_task(service.run(asyncio.Event()))
        await eventually(lambda: self._followed is not None, 60, 0.01)

    async def _restart(self) -> None:
        """In the middle of whatever it does: what was begun is never seen."""
        self.found.restarts += 1
        await self._stop()
        rules = load_rules([RULES_FOLDER / "credit.yaml"], {"CREDIT_CONTRACT_ID": self.world.contract})
        parts = PollerParts(rpc=self.world.client(self.metrics), metrics=self.metrics)
        service = PollerService(self.settings, rules, CLOCK, parts=parts)
        self._service = asyncio.create_task(service.run(asyncio.Event()))

    async def _stop(self) -> None:
        if self._service is not None:
            self._service.cancel()
            with suppress(asyncio.CancelledError):
                await self._service
            self._service = None

    async def _judge(self) -> None:
        """What committed readers see, against the truth."""
        told = [Told() for _ in range(PARTITIONS)]
        seen: Counter[tuple[int, str]] = Counter()
        for record in await read_all(self.settings.kafka, [self.settings.topic(CHAIN_EVENTS)], PARTITIONS):
            told[record.partition].take(orjson.loads(record.value))
        for each in told:
            seen.update(each.seen)
            assert (each.gaps, each.resets) == (told[0].gaps, told[0].resets)
            assert each.marked == told[0].marked
        told[0].seen = dict(seen)
        found = self.found
        found.events = len(seen)
        found.gaps = len(told[0].gaps)
        found.lost_ledgers = sum(last - first + 1 for _, first, last in told[0].gaps)
        found.twice = [f"{epoch}:{event}" for (epoch, event), times in seen.items() if times > 1]
        found.missing = [f"{each.epoch}:{each.id}" for each in told[0].missing(self.world.truth)]
        assert len(told[0].resets) == found.resets


async def soak(kafka: str, seed: int, ledgers: int) -> Found:
    """Live through so many ledgers, and more during outages."""
    found = Found(seed)
    began_s = CLOCK.monotonic_s()
    async with running_world(seed=seed, retention=RETENTION, nodes=2) as world:
        await Soak(kafka, world, found).run(ledgers)
    found.seconds = round(CLOCK.monotonic_s() - began_s, 1)
    return found

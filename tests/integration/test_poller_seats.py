"""Several pollers of one network on a real broker: one is active, another takes over, none fights."""

from __future__ import annotations

import asyncio
import re
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

import schemas
from app.demo.chain import DemoChain, keep_changing
from app.demo.rpc.config import NodeConfig
from app.native.child import free_port
from app.settings import RULES_FOLDER
from schemas.topics import CHAIN_CURSOR, CHAIN_EVENTS, STATUS
from tests.support.chain_world import Told
from tests.support.commands import Running, running_command
from tests.support.kafka import COMPACT, create_topics, read_all
from tests.support.services import Services
from tests.support.waiting import CLOCK, eventually

PARTITIONS = 2
NETWORK = "a network of the tests ; 2026"


class Place:
    """A chain whose ledgers close every second, topics of its own, and pollers as child processes."""

    def __init__(self, services: Services, folder: Path, chain: DemoChain) -> None:
        self.kafka, self.folder, self.chain = services.kafka, folder, chain
        self.prefix = f"seat-{uuid.uuid4().hex[:8]}-"

    async def make_topics(self) -> None:
        await create_topics(self.kafka, [self.prefix + CHAIN_EVENTS, self.prefix + STATUS], PARTITIONS)
        await create_topics(self.kafka, [self.prefix + CHAIN_CURSOR], 1, COMPACT)

    @asynccontextmanager
    async def poller(self, name: str) -> AsyncIterator[Running]:
        port = free_port()
        environment = {
            "DRIFTWATCH_KAFKA": self.kafka,
            "DRIFTWATCH_TOPIC_PREFIX": self.prefix,
            "DRIFTWATCH_PARTITIONS": str(PARTITIONS),
            "DRIFTWATCH_RULES": str(RULES_FOLDER / "credit.yaml"),
            "DRIFTWATCH_POLLER_INTERVAL_MS": "100",
            "DRIFTWATCH_POLLER_PORT": str(port),
            "SOROBAN_RPC_URL": self.chain.url,
            "STELLAR_NETWORK_PASSPHRASE": NETWORK,
            "CREDIT_CONTRACT_ID": self.chain.contract_id,
        }
        log = self.folder / f"{name}.log"
        async with running_command("poller", environment=environment, log=log, port=port) as running:
            await eventually(lambda: "metrics on port" in log.read_text(), 20)
            yield running

    async def records(self, topic: str) -> list[Any]:
        return await read_all(self.kafka, [self.prefix + topic], PARTITIONS)

    async def check_events(self) -> int:
        """Each partition by itself keeps every promise, and nothing that happened is missing; how many."""
        by_partition = [Told() for _ in range(PARTITIONS)]
        for record in await self.records(CHAIN_EVENTS):
            by_partition[record.partition].take(orjson.loads(record.value))
        seen: set[tuple[int, str]] = set()
        for told in by_partition:
            assert told.twice() == []
            assert (told.gaps, told.resets) == ([], [])
            seen |= told.seen.keys()
        first = max(told.begins.get(0, 0) for told in by_partition)
        marked = min(told.marked or 0 for told in by_partition)
        truth = {
            event.position.text()
            for number in range(first + 1, marked + 1)
            for event in self.chain.node.ledgers.at(number).events
        }
        assert truth <= {each for _, each in seen}
        return len(truth)


async def state_of(poller: Running) -> str:
    found = re.search(r'^driftwatch_chain_state\{state="(\w+)"\} 1\.0$', await poller.metrics(), re.MULTILINE)
    return found[1] if found else ""


async def ledger_of(poller: Running) -> int:
    found = re.search(r"^driftwatch_chain_ledger (\S+)$", await poller.metrics(), re.MULTILINE)
    return int(float(found[1])) if found else 0


@pytest.fixture(name="place")
async def _place(services: Services, tmp_path: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        chain = await stack.enter_async_context(DemoChain(NETWORK, CLOCK, NodeConfig()))
        changing = asyncio.create_task(keep_changing(chain, CLOCK, 1))
        place = Place(services, tmp_path, chain)
        await place.make_topics()
        yield place
        changing.cancel()


async def test_a_standby_takes_over_within_fifteen_seconds_of_a_kill(place: Place) -> None:
    async with place.poller("first") as first, place.poller("second") as second:
        pollers = {"first": first, "second": second}

        async def active() -> str:
            states = {name: await state_of(each) for name, each in pollers.items()}
            found = [name for name, state in states.items() if state == "tip"]
            return found[0] if len(found) == 1 and "standby" in states.values() else ""

        name = str(await eventually(active, 30))
        killed = pollers.pop(name)
        (survivor,) = pollers.values()
        followed = await ledger_of(killed)
        await killed.stop(signal.SIGKILL)
        died_s = CLOCK.monotonic_s()

        async def goes_on() -> bool:
            return await state_of(survivor) == "tip" and await ledger_of(survivor) > followed

        await eventually(goes_on, 15)
        assert CLOCK.monotonic_s() - died_s <= 15
        await survivor.stop()
        assert await place.check_events() > 10


async def test_a_frozen_poller_that_wakes_up_is_fenced(place: Place) -> None:
    async with place.poller("first") as first:
        await first.until_ready(30)
        async with place.poller("second") as second:

            async def follows() -> bool:
                return await state_of(second) == "tip"

            first.process.send_signal(signal.SIGSTOP)
            await eventually(follows, 20)
            first.process.send_signal(signal.SIGCONT)

            woke = await ledger_of(second)

            async def is_one_active() -> bool:
                states = {await state_of(first), await state_of(second)}
                reached = max(await ledger_of(first), await ledger_of(second))
                return states == {"tip", "standby"} and reached >= woke + 5

            await eventually(is_one_active, 30)
            await first.stop()
            await second.stop()
        assert await place.check_events() > 0


async def test_two_that_were_started_by_mistake_do_not_fight(place: Place) -> None:
    async with place.poller("first") as first, place.poller("second") as second:

        async def is_shared() -> bool:
            return {await state_of(first), await state_of(second)} == {"tip", "standby"}

        await eventually(is_shared, 30)
        active = first if await state_of(first) == "tip" else second
        for _ in range(3):
            began = await ledger_of(active)

            async def has_moved(began: int = began) -> bool:
                return await ledger_of(active) >= began + 2

            await eventually(has_moved, 15)
            assert await is_shared()
        for name in ("first", "second"):
            said = (place.folder / f"{name}.log").read_text()
            assert "poller_restart" not in said
            assert said.count("poller_active") <= 1
        await first.stop()
        await second.stop()
        assert await place.check_events() > 5


async def test_an_active_poller_that_stops_hands_over_at_once(place: Place) -> None:
    async with place.poller("first") as first:
        await first.until_ready(30)
        async with place.poller("second") as second:
            stopped_s = CLOCK.monotonic_s()
            await first.stop()
            await second.until_ready(15)
            assert CLOCK.monotonic_s() - stopped_s < 10
            await second.stop()
        assert await place.check_events() > 0
        told = [record for record in await place.records(STATUS)]
        assert {record.key.decode().partition("|")[0] for record in told} == {"chain"}
        values = [orjson.loads(record.value) for record in told]
        assert all(schemas.validate("status.v1", each, strict=True) == [] for each in values)
        assert "tip" in {each["state"] for each in values}

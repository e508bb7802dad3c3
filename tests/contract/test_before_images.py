"""A change that nothing told of, overwritten by one that an event told of: found in a node's ledgers, though
nobody suspected anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from app.demo.lines import STROOPS, Line
from app.detector.detector import Detector
from app.detector.model import (
    EntryAsOf,
    EntryEvent,
    EntryRead,
    Incident,
    Input,
    Mark,
    RowAsOf,
    RowChange,
    Rule,
    Side,
    Transition,
    Value,
)
from app.detector.values import format_time
from app.rules import LoadedRule, load_rules
from app.settings import RULES_FOLDER
from app.sweep.history import Historian
from app.sweep.metrics import HistoryMetrics
from connectors.soroban.answers import Ledger
from connectors.soroban.as_of import EntrySource
from connectors.soroban.nodes import Nodes
from tests.support.chain_world import PASSPHRASE, World, running_world
from tests.support.simulator import SECOND_US
from tests.support.waiting import CLOCK

FIRST, SILENT, LAST = 100, 150, 200


class Counted:
    """A client of nodes, and the ledgers that it was asked for."""

    def __init__(self, client: Nodes) -> None:
        self._client, self.ledgers = client, list[int]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def get_ledger(self, ledger: int) -> Ledger | None:
        self.ledgers.append(ledger)
        return await self._client.get_ledger(ledger)


class Network:
    """A ledger at a time: what the poller would tell of it reaches the detector, and the Historian where
    there is one, whose statements reach the detector with the next ledger."""

    def __init__(self, world: World, node: Counted, loaded: LoadedRule, *, has_historian: bool) -> None:
        source = EntrySource(node, PASSPHRASE)  # type: ignore[arg-type]
        self.world, self.node, self.source, self.loaded = world, node, source, loaded
        self.key, self.rule = world.borrowers[0], loaded.rule
        self.detector = Detector(self.rule, from_empty=True, confirmed="off")
        self.registry, self.effects = CollectorRegistry(), list[object]()
        metrics = HistoryMetrics(self.registry, CLOCK)
        self.historian = Historian({self.rule.id: loaded}, (source, self), self, CLOCK, metrics)
        self.stand_still = not has_historian
        self._records: list[tuple[int, Input]] = []
        self.told: list[EntryAsOf] = []
        self._late: list[EntryAsOf] = []
        self._stop = asyncio.Event()
        self._lsn = 0

    async def take(self, within_s: float) -> Sequence[tuple[int, Input]]:
        records, self._records = self._records, []
        return records

    async def done(self) -> None:
        self._stop.set()

    async def publish(self, rule: Rule, reads: Sequence[RowAsOf | EntryAsOf], run: str) -> None:
        self.told += [read for read in reads if isinstance(read, EntryAsOf)]
        self._late += [read for read in reads if isinstance(read, EntryAsOf)]

    async def close(self, limit: int | None = None, *, is_told: bool = True) -> int:
        """The next ledger, in which the line may get another limit."""
        if limit is not None:
            self.world.chain.write(self.key, Line(limit * STROOPS, 0, 500), "drawn" if is_told else None)
        ledger, at = self.world.close(), self.world.clock.at_us
        records: list[Input] = []
        if limit is not None and is_told:
            event_id = f"{ledger}-0"
            [entry] = (await self.source.read(self.loaded, [self.key], ledger)).entries
            records.append(EntryEvent(self.rule.id, self.key, ledger, at, "tx", event_id))
            records.append(EntryRead(*entry, event_id))
        mark = Mark(Side.RIGHT, None, at, None, ledger, ledger - 1)
        for each in records:
            self.effects += self.detector.observe(each)  # type: ignore[arg-type]
        self.effects += self.detector.advance(mark)
        for read in self._late:
            self.effects += self.detector.observe(read)
        self._late = []
        self.effects += self.detector.advance(Mark(Side.LEFT, None, at))
        self._records += [(0, each) for each in (*records, mark)]
        if not self.stand_still:
            self._stop.clear()
            await self.historian.run(self._stop)
        return ledger

    def forget_records(self) -> None:
        """A group that joins now begins behind them."""
        self._records.clear()

    async def value(self) -> Value:
        """What the entry is now."""
        [entry] = (await self.source.read(self.loaded, [self.key], 0)).entries
        return entry.value

    def row(self, before: Value, after: Value) -> None:
        """The row changes a second after the newest ledger."""
        self._lsn += 1
        at = self.world.clock.at_us + SECOND_US
        change = RowChange(self.rule.id, self.key, 1, self._lsn, at, before, after, self._lsn)
        self.effects += self.detector.observe(change)

    def transitions(self) -> list[str]:
        return [each.ce_type for each in self.effects if isinstance(each, Transition)]

    def incidents(self) -> list[Incident]:
        return [each for each in self.effects if isinstance(each, Incident)]

    def images(self, outcome: str) -> float:
        labels = {"rule": self.rule.id, "outcome": outcome}
        return self.registry.get_sample_value("driftwatch_before_images_total", labels) or 0.0


@asynccontextmanager
async def running_network(*, has_historian: bool = True, retention: int = 100_000) -> AsyncIterator[Network]:
    async with running_world(retention=retention) as world:
        client = world.client()
        [loaded] = load_rules([RULES_FOLDER / "credit.yaml"], {"CREDIT_CONTRACT_ID": world.contract})
        try:
            yield Network(world, Counted(client), loaded, has_historian=has_historian)
        finally:
            await client.close()


async def live(network: Network, ledgers: int) -> None:
    for _ in range(ledgers):
        await network.close()


@pytest.mark.parametrize("has_historian", [True, False])
async def test_drift_between_a_silent_change_and_an_announced_one_is_told(has_historian: bool) -> None:
    async with running_network(has_historian=has_historian) as network:
        await network.close()
        await network.close(FIRST)
        first = await network.value()
        network.row("absent", first)
        await live(network, 20)
        await network.close(SILENT, is_told=False)
        silent_at = network.world.clock.at_us
        await live(network, 11)
        await network.close(LAST)
        network.row(first, await network.value())
        last_at = network.world.clock.at_us
        await live(network, 20)

    window = network.rule.window
    if not has_historian:
        assert (network.transitions(), network.incidents()) == ([], [])
        return
    opened, _, resolved = [each for each in network.effects if isinstance(each, Transition)]
    assert opened.ce_time == format_time(silent_at + window.lag_us + window.skew_us)
    assert resolved.ce_time == format_time(last_at + SECOND_US), "the row has moved on"
    [incident] = network.incidents()
    assert (incident.cause, incident.from_us) == ("as_of", silent_at), "what was held till then was true"


async def test_changes_that_were_read_cost_one_call_a_ledger_and_nothing_is_told() -> None:
    async with running_network() as network:
        await network.close()
        await network.close(FIRST)
        await live(network, 3)
        network.told.clear()
        network.node.ledgers.clear()
        changed = []
        for limit in (SILENT, LAST, FIRST):
            changed.append(await network.close(limit))
            await live(network, 2)

    assert network.node.ledgers == changed
    assert network.told == []
    assert (network.images("told"), network.images("nothing")) == (1, 3), "told: that there was none before"


async def test_changes_that_nobody_told_of_are_followed_back_to_one_that_was() -> None:
    async with running_network() as network:
        await network.close()
        announced = await network.close(FIRST)
        await live(network, 3)
        network.told.clear()
        silent = [await network.close(limit, is_told=False) for limit in (110, 120, 130)]
        await live(network, 2)
        last = await network.close(LAST)

    assert [each.modified_ledger for each in network.told] == [announced, *silent]
    assert [each.read_ledger for each in network.told] == [*(ledger - 1 for ledger in silent), last - 1]
    assert None not in [each.modified_at for each in network.told[1:]], "each with its beginning"


async def test_a_silent_change_from_before_the_first_mark_is_declared_and_not_dated() -> None:
    async with running_network() as network:
        network.stand_still = True
        await network.close()
        await network.close(FIRST)
        first = await network.value()
        network.row("absent", first)
        await live(network, 20)
        await network.close(SILENT, is_told=False)
        await live(network, 11)
        network.forget_records()
        network.stand_still = False
        await network.close(LAST)
        last_at = network.world.clock.at_us
        network.row(first, await network.value())
        await live(network, 20)

    assert network.transitions() == []
    [incident] = network.incidents()
    assert (incident.cause, incident.until_us) == ("as_of", last_at - 1)


async def test_a_ledger_that_the_node_forgot_is_passed_over() -> None:
    async with running_network(retention=2) as network:
        await network.close()
        network.stand_still = True
        await network.close(FIRST)
        await live(network, 3)
        network.stand_still = False
        await network.close(SILENT)

    assert (network.images("unavailable"), network.images("nothing")) == (1, 1)
    assert network.told == []

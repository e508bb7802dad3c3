"""A poller that runs beside a test, over a simulated network, into memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from connectors.soroban.cursor import Cursor
from connectors.soroban.metrics import PollerMetrics
from connectors.soroban.poller import Poller
from tests.support.chain_world import Collected, World
from tests.support.waiting import CLOCK, eventually


class Following:
    """A poller that runs beside the test, and what it told."""

    def __init__(self, world: World, sink: Collected, metrics: PollerMetrics) -> None:
        self.world, self.sink, self.metrics = world, sink, metrics
        self.stop = asyncio.Event()
        self.rpc = world.client(metrics)
        self.poller = Poller(self.rpc, sink, world.scope(), CLOCK, metrics)

    async def until_at(self, ledger: int, within: float = 15.0) -> None:
        """All up to a ledger is published, and the poller says that it is at the tip."""

        def is_there() -> bool:
            place = self.poller.progress
            assert not self.task.done() or self.task.result() is None
            return place is not None and place.ledger == ledger and self.metrics.state == "tip"

        await eventually(is_there, within, 0.005)

    def check(self) -> None:
        told = self.sink.told
        assert told.twice() == []
        assert told.missing(self.world.truth) == []


@asynccontextmanager
async def following(world: World, cursor: Cursor | None = None) -> AsyncIterator[Following]:
    found = Following(world, Collected(), PollerMetrics())
    found.task = asyncio.create_task(_follow(found, cursor))
    try:
        yield found
    finally:
        found.stop.set()
        await asyncio.wait_for(found.task, 10)
        await found.rpc.close()


async def _follow(found: Following, cursor: Cursor | None) -> None:
    await found.poller.follow(cursor or await found.poller.first_cursor(), found.stop)

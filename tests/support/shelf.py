"""What stands around a poller in tests: a clock that nobody waits for, and a sink that keeps batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

import schemas
from connectors.soroban.contracts.credit import CreditLine
from connectors.soroban.poller import Pace, Poller, Scope
from connectors.soroban.records import Batch, Watch
from connectors.soroban.rpc import Rpc
from tests.support.soroban_node import CONTRACT

NETWORK = "cee0302d59844d32"
NOW_US = 1_795_000_600_000_000
PACE = Pace(interval_s=1.0, page_events=1000, floor_margin_ledgers=10)


class RestlessClock:
    """Sleeps by giving way only, and keeps what was asked of it."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now_us(self) -> int:
        return NOW_US

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Shelf:
    """A sink that keeps batches; `after` may end a run once so many are there."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.after: Callable[[int], None] = lambda count: None

    async def publish(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.after(len(self.batches))

    @property
    def last(self) -> Batch:
        return self.batches[-1]

    def all_values(self) -> list[Any]:
        """All batches, one after the other."""
        return [value for batch in self.batches for value in self.values(batch)]

    def values(self, batch: Batch | None = None) -> list[Any]:
        """A batch (None: the last one) as one partition would read it, each a valid record."""
        batch = batch or self.last
        raw = [batch.gap, *(record.value for record in batch.records), batch.mark]
        found = [orjson.loads(one) for one in raw if one is not None]
        assert [schemas.validate("chain-event.v1", one, strict=True) for one in found] == [[]] * len(found)
        assert schemas.validate("chain-cursor.v1", orjson.loads(batch.cursor), strict=True) == []
        return found

    def kinds(self) -> list[str]:
        return [value["kind"] for value in self.values()]


def make_poller(rpc: Rpc, shelf: Shelf, clock: RestlessClock, pace: Pace = PACE) -> Poller:
    """A poller of the credit contract of the small node."""
    return Poller(rpc, shelf, Scope(NETWORK, (Watch(CONTRACT, (CreditLine(),)),), pace), clock)

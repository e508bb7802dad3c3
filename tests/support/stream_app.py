"""A stream app in this process, over a work that only remembers what it was given."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from app.clock import SystemClock
from app.stream.app import StreamApp, StreamSettings
from app.stream.failure import FailStop
from app.stream.work import Batch, Outcome, Part
from tests.support.kafka import COMPACT, create_topics
from tests.support.waiting import eventually

CLOCK = SystemClock()
TABLE = "seen"


@dataclass
class Tally:
    """A `PartitionWork`: one row a key with its newest value; `offsets` in order of arrival. A record of
    value `more N` takes N steps more, each of which writes how many are left."""

    partition: int
    parts: Mapping[str, Part]
    offsets: list[int] = field(default_factory=list)

    def absorb(self, batch: Batch) -> Outcome:
        self.offsets += [record.offset for record in batch.records]
        if any(record.value == b"bug" for record in batch.records):
            raise ZeroDivisionError("a bug")
        rows = {record.key or b"": record.value for record in batch.records}
        asked = [record.value for record in batch.records if (record.value or b"").startswith(b"more ")]
        return Outcome([], [{TABLE: rows}], more=self._more(int(asked[-1][5:])) if asked else None)

    def _more(self, left: int) -> Callable[[], Outcome] | None:
        def step() -> Outcome:
            rows = {b"left": b"%d" % (left - 1)}
            return Outcome([], [{TABLE: rows}], more=self._more(left - 1))

        return step if left else None

    def tick(self) -> Outcome:
        return Outcome()

    def published(self, outcome: Outcome) -> None:
        pass

    def park(self, cause: Exception) -> Outcome:
        del cause
        return Outcome()

    def close(self) -> None:
        pass


class TallyApp(StreamApp):
    """Topics `<id>.left` and `<id>.right`, one table."""

    def __init__(self, brokers: str, app_id: str = "", **settings: Any) -> None:
        app_id = app_id or f"tally-{os.getpid()}-{CLOCK.now_us()}"
        self.sources = [f"{app_id}.left", f"{app_id}.right"]
        settings = {"partitions": 2, "session_timeout_s": 6.0, "heartbeat_s": 1.0} | settings
        super().__init__(StreamSettings(app_id, brokers, **settings), self.sources, [TABLE], Tally, CLOCK)

    @property
    def changelog(self) -> str:
        return f"{self.conf.id}-{TABLE}-changelog"

    async def make_topics(self, brokers: str) -> None:
        await create_topics(brokers, self.sources, 2)
        await create_topics(brokers, [self.changelog], 2, COMPACT)

    def rows(self) -> dict[bytes, bytes]:
        """All rows in memory."""
        return dict(self.batch_tables[TABLE].data.data)

    def absorbed(self, partition: int = 0) -> list[int]:
        """The offsets taken in, in order."""
        work = self.works.get(partition)
        return list(work.offsets) if isinstance(work, Tally) else []


@asynccontextmanager
async def running(app: TallyApp) -> AsyncIterator[TallyApp]:
    """The app, ready to read; stopped afterwards."""
    app.finalize()
    await app.start()
    try:
        await eventually(lambda: app.tables.actives_ready and not app.rebalancing, 30)
        yield app
    finally:
        with suppress(FailStop):
            await app.stop()

"""The canary, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.clock import Clock
from app.desk.canary import CanaryMetrics, CanaryOptions, CanaryRounds
from app.settings import Settings
from connectors.kafka.mismatches import open_feed
from connectors.postgres.canary import CanaryTable
from schemas.topics import MISMATCHES


@asynccontextmanager
async def open_canary(
    settings: Settings, clock: Clock, metrics: CanaryMetrics, options: CanaryOptions
) -> AsyncIterator[CanaryRounds]:
    """The canary's rounds, with their connections; those are closed afterwards. Raises `Transient` without a
    broker."""
    table = CanaryTable(settings.database)
    topic = settings.topic(MISMATCHES)
    try:
        async with open_feed(settings.kafka, topic, clock, from_beginning=False) as feed:
            yield CanaryRounds(table, feed, clock, metrics, options)
    finally:
        await table.close()

"""What tells of entries before each change that an event told of, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from app.clock import Clock
from app.rules import LoadedRule
from app.settings import Settings
from app.sweep.history import Historian
from app.sweep.metrics import HistoryMetrics
from connectors.kafka.announced import AnnouncedChanges
from connectors.kafka.seeding import SeedLog
from connectors.soroban.access import open_nodes
from connectors.soroban.allowance import Purpose
from connectors.soroban.as_of import EntrySource
from connectors.soroban.codec import ChainCodec
from connectors.soroban.service import network_name


@asynccontextmanager
async def open_historian(
    settings: Settings, rules: Sequence[LoadedRule], clock: Clock, metrics: HistoryMetrics
) -> AsyncIterator[Historian]:
    """Its connections are its own, and its calls are counted as those of sweeps: it delays neither the tip of
    the chain nor a confirmation. They are closed afterwards."""
    seed_log = SeedLog(settings, network_name(settings.network_passphrase), "confirm")
    rpc = open_nodes(settings, clock, Purpose.SWEEP)
    entries = EntrySource(rpc, settings.network_passphrase)
    by_id = {loaded.rule.id: loaded for loaded in rules}
    try:
        async with AnnouncedChanges(settings, ChainCodec(rules)) as changes:
            yield Historian(by_id, (entries, seed_log), changes, clock, metrics)
    finally:
        await rpc.close()
        await seed_log.close()

"""Composes the admin API: records of PostgreSQL, sweeps through Kafka, keys, limits."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from app.api.building import build_api
from app.api.envelope import LARGEST_BODY, Guards
from app.api.keys import Doorkeeper
from app.api.limits import TokenBuckets
from app.api.metrics import ApiMetrics
from app.api.parts import ApiParts
from app.api.ports import Records
from app.clock import Clock
from app.detector.values import derive_id
from app.errors import Transient
from app.rules import LoadedRule
from app.settings import Settings
from app.sweep.desk import PERSON
from app.wiring import build_codecs
from connectors.kafka.refused import RefusedRecords
from connectors.kafka.requests import SweepRequest, send_requests
from connectors.postgres.desk_api.keys import DeskKeys
from connectors.postgres.desk_api.pool import open_pool
from connectors.postgres.desk_api.records import DeskRecords
from connectors.postgres.notices.letters import WebhookLetters

_BURST_S: Final = 2.0
"""So many seconds' worth of requests may come at once."""
_SEND_WITHIN_S: Final = 8.0


class KafkaSweeps:
    """Asks for sweeps as a person does; each request has an id of its own."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock

    async def ask(self, rules: Sequence[str]) -> Mapping[str, str]:
        """Runs by rule, acknowledged by the broker. Raises `Transient`, after eight seconds at most."""
        nonce = (self._clock.now_us(), os.getpid(), os.urandom(4).hex())
        runs = {rule: derive_id("sweep", rule, PERSON, *nonce) for rule in rules}
        requests = [SweepRequest(rule, run, PERSON) for rule, run in runs.items()]
        try:
            async with asyncio.timeout(_SEND_WITHIN_S):
                await send_requests(self._settings, requests)
        except TimeoutError as error:
            raise Transient("asking for a sweep at", self._settings.kafka, "no answer in time") from error
        return runs


@asynccontextmanager
async def open_api(
    settings: Settings, rules: Sequence[LoadedRule], clock: Clock, metrics: ApiMetrics
) -> AsyncIterator[tuple[FastAPI, Records]]:
    """The application and the records behind it; connections are closed afterwards. It starts without a
    database and without a broker: what needs them answers 503."""
    async with open_pool(settings.desk_dsn) as pool:
        records = DeskRecords(pool)
        doorkeeper = Doorkeeper(records, settings.api_key.get_secret_value())
        letters = WebhookLetters(settings.desk_dsn)
        requests = TokenBuckets(settings.api_rate, settings.api_rate * _BURST_S, clock)
        per_minute = settings.api_triggers_per_minute
        parts = ApiParts(
            records=records,
            sweeps=KafkaSweeps(settings, clock),
            resending={
                "webhook": letters,
                "record": RefusedRecords(settings, build_codecs(rules, settings.topic_prefix)),
            },
            rules=tuple(loaded.rule.id for loaded in rules),
            partitions=settings.partitions,
            triggers=TokenBuckets(per_minute / 60, per_minute, clock),
            guards=Guards(doorkeeper, requests, LARGEST_BODY, clock, metrics),
        )
        try:
            yield build_api(parts), records
        finally:
            await letters.close()


@asynccontextmanager
async def open_keys(settings: Settings) -> AsyncIterator[DeskKeys]:
    """API keys and the audit log, for the command line."""
    async with open_pool(settings.desk_dsn) as pool:
        yield DeskKeys(pool)

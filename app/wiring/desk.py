"""The recorder, composed: topics, schema recon, metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.clock import Clock
from app.desk.recorder import Recorder, RecorderOptions, RecorderParts
from app.desk.recorder_metrics import RecorderMetrics
from app.desk.recorder_telling import KnownRules, Teller
from app.desk.runs import Books, BooksOptions, BooksParts
from app.rules import LoadedRule
from app.rules.fields import duration_us
from app.settings import Settings
from connectors.kafka.recorder_feed import RecorderFeed
from connectors.postgres.desk.store import DeskStore
from schemas.topics import MISMATCHES, STATUS


@dataclass(frozen=True, slots=True)
class RecorderService:
    """A recorder and what goes with it."""

    recorder: Recorder
    books: Books
    metrics: RecorderMetrics

    @property
    def why_not_ready(self) -> str | None:
        """None while everything that came is recorded, and the database answers."""
        return self.recorder.why_not_ready or self.books.trouble


@asynccontextmanager
async def open_recorder(
    settings: Settings, rules: Sequence[LoadedRule], clock: Clock, *, migrates: bool = False
) -> AsyncIterator[RecorderService]:
    """A recorder in the group of recorders; its connections are closed afterwards. The database need not be
    there yet."""
    known = KnownRules.of(rules)
    metrics = RecorderMetrics(clock, known.checks)
    store = DeskStore(settings.desk_dsn, migrates=migrates)
    options = BooksOptions(
        settings.topic(MISMATCHES),
        settings.topic(STATUS),
        known.checks,
        duration_us(settings.persistent_after),
        (None if settings.retain == "0" else duration_us(settings.retain)) or None,
    )
    try:
        async with RecorderFeed(settings) as feed:
            parts = RecorderParts(feed, store, Teller(known, metrics), metrics, clock)
            yield RecorderService(
                Recorder(parts, RecorderOptions(settings.topic_prefix)),
                Books(BooksParts(feed, store, metrics, clock), options),
                metrics,
            )
    finally:
        await store.close()


async def rebuild_records(settings: Settings) -> None:
    """Forget what topics can tell again; every recorder reads them again. Raises `Transient` and `Fatal`."""
    store = DeskStore(settings.desk_dsn, application="rebuild")
    try:
        await store.rebuild()
    finally:
        await store.close()

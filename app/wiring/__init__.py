"""The only composition root: settings and rules become adapters, adapters become something that runs."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

from app.clock import Clock, SystemClock
from app.detector.model import ClockReading, Side, Unreadable
from app.errors import Transient
from app.native.connect import NativeConnect, RemoteConnect
from app.native.jars import resolve_jars
from app.ports import Codec, Record
from app.rules import ContractTable, LoadedRule, load_document
from app.settings import Settings
from app.stream.rule_partition import Compile
from app.sweep.compare import CompareOptions, Comparer
from app.sweep.confirm import Confirmer, ConfirmSources
from app.sweep.desk import SEED_COVERS, Desk, DeskOptions, DeskParts
from app.sweep.metrics import ConfirmMetrics, SweepMetrics
from app.sweep.pacing import RunningRules
from app.sweep.patience import Patience
from app.sweep.schedule import schedule_of
from app.sweep.seed import Seeder, SeedOptions, Sources
from app.sweep.service import SweepService
from app.sweep.sweep import Sweeper, SweepOptions, SweepSources
from app.telemetry import get_logger
from connectors.debezium.capture import CapturedTable, captured_tables
from connectors.debezium.codec import MARK_PREFIX, ChangeCodec
from connectors.debezium.configuration import Capture
from connectors.debezium.database import Names, Place
from connectors.debezium.marks import read_place
from connectors.debezium.metrics import ConnectMetrics
from connectors.debezium.supervision import ConnectWorker, Supervision, Target
from connectors.debezium.watching import Voice
from connectors.kafka.backlog import WorkersBacklog
from connectors.kafka.confirming import ConfirmRequests
from connectors.kafka.controls import tell_every_partition
from connectors.kafka.lost import find_last, tell_slot_lost
from connectors.kafka.observations import ObservationCodec, encode_clock, encode_unreadable
from connectors.kafka.reading import read_partition
from connectors.kafka.requests import SweepRequests, ask_sweeps
from connectors.kafka.seeding import SeedLog
from connectors.kafka.status import StatusView
from connectors.postgres.contracts import ContractReader
from connectors.postgres.reader import RowReader
from connectors.soroban.access import open_nodes
from connectors.soroban.allowance import Purpose
from connectors.soroban.as_of import EntrySource
from connectors.soroban.codec import ChainCodec
from connectors.soroban.service import LoadContracts, PollerParts, PollerService, network_name
from schemas.topics import CHAIN_EVENTS, DB_CHANGES, EPISODES, OBSERVATIONS

log = get_logger(__name__)


def build_codecs(rules: Sequence[LoadedRule], prefix: str = "") -> Mapping[str, Codec]:
    """The codec of each source topic, by the topic's name with its prefix."""
    return {
        prefix + DB_CHANGES: ChangeCodec(rules),
        prefix + CHAIN_EVENTS: ChainCodec(rules),
        prefix + OBSERVATIONS: ObservationCodec(rules),
    }


def compile_version(prefix: str = "") -> Compile:
    """What makes another version of a rule, from its document, judge."""

    def compile_document(document: str, path: str) -> tuple[LoadedRule, Mapping[str, Codec]]:
        loaded = load_document(document, path)
        return loaded, build_codecs([loaded], prefix)

    return compile_document


def told_episodes(settings: Settings) -> Callable[[int], AsyncIterator[Record]]:
    """What reads a partition of `drift.episodes` once, to its present end."""

    def read(partition: int) -> AsyncIterator[Record]:
        return read_partition(settings.kafka, settings.topic(EPISODES), partition)

    return read


@asynccontextmanager
async def open_seeder(settings: Settings, clock: Clock, options: SeedOptions) -> AsyncIterator[Seeder]:
    """What seeds rules, with its connections; they are closed afterwards."""
    rows = RowReader(settings.database, settings.source, settings.slot)
    log = SeedLog(settings, network_name(settings.network_passphrase))
    patiently = Patience(clock, options.patience_s)
    try:
        async with (
            AsyncExitStack() as stack,
            _open_entries(settings, clock) as entries,
            WorkersBacklog(settings) as backlog,
        ):
            await patiently(log.check)
            view = await patiently(lambda: stack.enter_async_context(StatusView(settings)))
            judged = RunningRules(view, from_empty=settings.from_empty)
            yield Seeder(Sources(rows, entries, log, judged, backlog), clock, options)
    finally:
        await rows.close()
        await log.close()


@asynccontextmanager
async def open_comparer(settings: Settings, clock: Clock, options: CompareOptions) -> AsyncIterator[Comparer]:
    """What compares both sides of rules now; its connections are closed afterwards."""
    rows = RowReader(settings.database, settings.source, settings.slot)
    try:
        async with _open_entries(settings, clock) as entries:
            yield Comparer(rows, entries, clock, options)
    finally:
        await rows.close()


@asynccontextmanager
async def _open_entries(
    settings: Settings, clock: Clock, purpose: Purpose = Purpose.SWEEP
) -> AsyncIterator[EntrySource]:
    """What reads entries as of a ledger, by the mapping as it is then; its connections are closed
    afterwards."""
    rpc = open_nodes(settings, clock, purpose)
    contracts = ContractReader(settings.database)
    try:
        yield EntrySource(rpc, settings.network_passphrase, contracts)
    finally:
        await contracts.close()
        await rpc.close()


@asynccontextmanager
async def open_sweeper(
    settings: Settings, rules: Sequence[LoadedRule], clock: Clock, metrics: SweepMetrics
) -> AsyncIterator[SweepService]:
    """The sweeper's service, with its connections; they are closed afterwards."""
    log = SeedLog(settings, network_name(settings.network_passphrase), "sweep")
    readers: list[RowReader] = []
    by_id = {loaded.rule.id: loaded for loaded in rules}
    pace = SweepOptions(settings.sweep_page, settings.sweep_rate or None)
    options = DeskOptions(
        immediately=settings.run_immediately,
        waits_for_seed=not settings.from_empty,
        source=settings.source,
    )
    default_us = settings.reconciliation_interval_ms * 1000 or None
    async with (
        _open_entries(settings, clock) as entries,
        StatusView(settings) as view,
        SweepRequests(settings) as requests,
        WorkersBacklog(settings) as backlog,
    ):

        def make_desk(rule: str) -> Desk:
            loaded = by_id[rule]
            rows = RowReader(settings.database, settings.source, settings.slot)
            readers.append(rows)
            sweeper = Sweeper(SweepSources(rows, entries, log, view, backlog), clock, pace, metrics)
            parts = DeskParts(sweeper, log, view, clock, metrics)
            return Desk(loaded, parts, schedule_of(loaded.settings, default_us), options)

        try:
            yield SweepService(list(by_id), make_desk, requests, clock)
        finally:
            for rows in readers:
                await rows.close()
            await log.close()


@asynccontextmanager
async def open_confirmer(
    settings: Settings, rules: Sequence[LoadedRule], clock: Clock, metrics: ConfirmMetrics
) -> AsyncIterator[Confirmer]:
    """What answers the questions about suspects, with connections of its own: a sweep never delays it."""
    log = SeedLog(settings, network_name(settings.network_passphrase), "confirm")
    rows = RowReader(settings.database, settings.source, settings.slot)
    by_id = {loaded.rule.id: loaded for loaded in rules}
    async with (
        _open_entries(settings, clock, Purpose.TIP) as entries,
        ConfirmRequests(settings) as requests,
    ):
        try:
            yield Confirmer(by_id, ConfirmSources(rows, entries, log, entries), requests, clock, metrics)
        finally:
            await rows.close()
            await log.close()


def build_poller(settings: Settings, rules: Sequence[LoadedRule], from_ledger: int | None) -> PollerService:
    """The poller's service; mapping tables are read from the database once, and followed in `db.changes`."""

    parts = PollerParts(contract_loader(settings))
    return PollerService(settings, rules, from_ledger=from_ledger, parts=parts)


def contract_loader(settings: Settings) -> LoadContracts:
    """What reads a whole mapping table from the database."""

    async def load(table: ContractTable) -> Mapping[str, str]:
        reader = ContractReader(settings.database)
        try:
            return await reader(table)
        finally:
            await reader.close()

    return load


def build_supervision(
    settings: Settings, rules: Sequence[LoadedRule], folders: ExitStack, *, create_slot: bool
) -> Supervision:
    """The supervision of the connector. `folders` removes what a Connect of our own leaves behind."""
    clock = SystemClock()
    tables = captured_tables(rules, settings.source)
    dsn = settings.database.get_secret_value()

    def capture(primary_keys: Mapping[str, Sequence[str]], generation: str) -> Capture:
        return Capture(
            dsn=dsn,
            source=settings.source,
            slot=settings.slot,
            publication=settings.publication,
            topic=settings.topic(DB_CHANGES),
            partitions=settings.partitions,
            replication_factor=settings.replication_factor,
            heartbeat_ms=settings.heartbeat_ms,
            tables=tables,
            primary_keys=primary_keys,
            generation=generation,
        )

    async def tell_lost(cause: str) -> None:
        await tell_slot_lost(settings, clock, cause)

    async def last_place() -> Place | None:
        mark = await find_last(settings, MARK_PREFIX.encode())
        return None if mark is None else read_place(mark)

    async def tell_started() -> None:
        """What a new start leaves out of the stream, if anything, a sweep brings."""
        mine = [loaded.rule.id for loaded in rules if loaded.left.source in (None, settings.source)]
        try:
            await ask_sweeps(settings, mine, SEED_COVERS, clock.now_us())
        except Transient as error:  # the stream goes on without it; the next sweep by the clock does the same
            log.warning("No sweep was asked for", event_name="sweep_not_asked", reason=str(error))

    names = Names(settings.slot, settings.publication)
    voice = _voice(settings, clock)
    target = Target(
        dsn, names, tables, capture, create_slot, tell_lost, tell_started, last_place=last_place, voice=voice
    )
    return Supervision(target, _connect_worker(settings, folders, clock), clock, ConnectMetrics())


def _voice(settings: Settings, clock: Clock) -> Voice:
    """What the watch over the database tells the workers: in every partition of `drift.observations`."""

    async def tell_clock(offset_us: int) -> None:
        await tell_every_partition(settings, encode_clock(ClockReading(settings.source, offset_us)))

    async def tell_broken(table: CapturedTable, at_us: int, detail: str) -> None:
        for rule in table.rules:
            found = Unreadable(rule, Side.LEFT, at_us, detail)
            await tell_every_partition(settings, encode_unreadable(found))

    async def ask_mended(table: CapturedTable) -> None:
        await ask_sweeps(settings, table.rules, "schema", clock.now_us())

    return Voice(tell_clock, tell_broken, ask_mended)


def _connect_worker(settings: Settings, folders: ExitStack, clock: Clock) -> ConnectWorker:
    if settings.connect_url:
        return RemoteConnect(settings.connect_url, clock)
    folder = settings.connect_folder
    if folder is None:
        made = folders.enter_context(tempfile.TemporaryDirectory(prefix="driftwatch-connect-"))
        folder = Path(made)
    return NativeConnect(resolve_jars(), settings.kafka, folder.resolve(), clock)

"""The poller as a process: settings and rules in, one network followed until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from app import telemetry
from app.clock import Clock, SystemClock
from app.errors import Fatal, Transient
from app.rules import ContractTable, LoadedRule
from app.settings import Settings
from app.telemetry import get_logger
from connectors.soroban.access import open_nodes
from connectors.soroban.allowance import Purpose
from connectors.soroban.contracts import ContractDecoder, decoder_for
from connectors.soroban.cursor import Cursor
from connectors.soroban.mapped import MappedRule
from connectors.soroban.mapping_rows import MappingRows
from connectors.soroban.metrics import PollerMetrics
from connectors.soroban.poller import Pace, Poller, Scope
from connectors.soroban.records import Watch
from connectors.soroban.rpc import NodeApi
from connectors.soroban.sink import KafkaSink, Place, Seat, SinkLost
from connectors.soroban.status import StatusReport
from schemas.topics import CHAIN_CURSOR, CHAIN_EVENTS, DB_CHANGES, STATUS

log = get_logger(__name__)

LoadContracts = Callable[[ContractTable], Awaitable[Mapping[str, str]]]
"""Reads a whole mapping table: contract by key. Raises `Transient` or `Fatal`."""

_PAUSE_S: Final = 1.0
_GRACE_S: Final = 5.0
"""How long a step may go on after the stop; then it is given up, and its transaction with it."""


def network_name(passphrase: str) -> str:
    """The short name of a network: the first 16 hex digits of the sha256 of its passphrase."""
    return hashlib.sha256(passphrase.encode()).hexdigest()[:16]


def watches_of(rules: Sequence[LoadedRule], network: str) -> tuple[Watch, ...]:
    """The contracts that the rules compare on this network. Raises `Fatal` where a rule names no contract,
    and where no rule is left."""
    found: dict[str, dict[str, ContractDecoder]] = {}
    for loaded in rules:
        right = loaded.right
        if right.network not in (None, network):
            continue
        if right.contracts is not None:
            continue
        if not right.contract:
            hint = "the poller follows contracts by id: set right.contract or right.mapping"
            raise Fatal("reading the rule", loaded.rule.id, "it names no contract", hint)
        decoder = decoder_for(right)
        if found.setdefault(right.contract, {}).setdefault(right.entry, decoder) is not decoder:
            cause = f"another rule has another decoder for the entry {right.entry} of {right.contract}"
            raise Fatal("reading the rule", loaded.rule.id, cause, "give one of them a name of its own")
    if not found and not mapped_of(rules, network):
        raise Fatal("reading the rules", network, "none of them concerns this network", "check right.network")
    return tuple(Watch(contract, tuple(by_entry.values())) for contract, by_entry in found.items())


def mapped_of(rules: Sequence[LoadedRule], network: str) -> tuple[MappedRule, ...]:
    """The tables that give keys their contracts, for the rules on this network."""
    rights = [loaded.right for loaded in rules if loaded.right.network in (None, network)]
    named = [(right.contracts, right) for right in rights]
    return tuple(MappedRule(table, decoder_for(right)) for table, right in named if table is not None)


def place_of(settings: Settings, network: str) -> Place:
    """Topics, brokers and the group of this network's pollers."""
    return Place(
        brokers=settings.kafka,
        events_topic=settings.topic(CHAIN_EVENTS),
        cursor_topic=settings.topic(CHAIN_CURSOR),
        partitions=settings.partitions,
        network=network,
        group=f"{settings.topic_prefix}{settings.app_id}-poller-{network}",
        status_topic=settings.topic(STATUS),
    )


class Seated(NamedTuple):
    """What the holder of the seat works with."""

    sink: KafkaSink
    seat: Seat
    rows: MappingRows | None


@dataclass(frozen=True, slots=True)
class PollerParts:
    """What a poller works with: what reads mapping tables (None: no rule has one), the nodes (None: those of
    the settings), and the metrics."""

    load: LoadContracts | None = None
    rpc: NodeApi | None = None
    metrics: PollerMetrics | None = None


class PollerService:
    """Joins the network's group; while it holds the seat, follows the chain from the stored cursor. What
    Kafka refuses is begun again from that cursor; `Fatal` ends it."""

    def __init__(
        self,
        settings: Settings,
        rules: Sequence[LoadedRule],
        clock: Clock | None = None,
        *,
        from_ledger: int | None = None,
        parts: PollerParts | None = None,
    ) -> None:
        self._settings, self._clock, self._from_ledger = settings, clock or SystemClock(), from_ledger
        parts = parts or PollerParts()
        self._load, self._rpc = parts.load, parts.rpc
        self.network = network_name(settings.network_passphrase)
        self.metrics = parts.metrics or PollerMetrics()
        pace = Pace(interval_s=settings.poller_interval_ms / 1000)
        mapped = mapped_of(rules, self.network)
        if mapped and self._load is None:
            raise Fatal("reading the rules", "right.mapping", "there is no way to read the table")
        self._scope = Scope(self.network, watches_of(rules, self.network), pace, mapped)
        self._place = place_of(settings, self.network)

    def readiness(self) -> str | None:
        """None while caught up, else the state."""
        return None if self.metrics.state == "tip" else self.metrics.state

    async def run(self, stop: asyncio.Event, announce: Callable[[int], None] = lambda port: None) -> None:
        """Run until `stop`. `announce` is told the port of `/metrics` once it listens."""
        settings = self._settings
        rpc = self._rpc or open_nodes(settings, self._clock, Purpose.TIP, self.metrics.request, self.metrics)
        endpoint = await telemetry.serve(
            self.metrics.registry,
            settings.metrics_address("poller"),
            is_ready=self.readiness,
        )
        announce(endpoint.port)
        try:
            await self._check_network(rpc, stop)
            failures = 0
            while not stop.is_set():
                try:
                    await self._serve(rpc, stop)
                    failures = 0
                except (SinkLost, Transient) as error:
                    failures += 1
                    log.warning(
                        "Begins again at the stored cursor", event_name="poller_restart", reason=str(error)
                    )
                    await self._clock.sleep(min(_PAUSE_S * failures, 10.0))
        finally:
            await rpc.close()
            await endpoint.close()

    async def _check_network(self, rpc: NodeApi, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await rpc.check_passphrase(self._settings.network_passphrase)
                return
            except Transient as error:
                log.warning("The node gives no answer", event_name="rpc_trouble", reason=str(error))
                await self._clock.sleep(error.retry_after_s or _PAUSE_S)

    async def _serve(self, rpc: NodeApi, stop: asyncio.Event) -> None:
        async with Seat(self._place) as seat:
            while not stop.is_set():
                self.metrics.enter("standby")
                while not seat.is_held and not stop.is_set():
                    await seat.turn()
                if not stop.is_set():
                    async with KafkaSink(self._place) as sink:
                        await self._lead(rpc, sink, seat, stop)

    async def _lead(self, rpc: NodeApi, sink: KafkaSink, seat: Seat, stop: asyncio.Event) -> None:
        """Follow until `stop` or until the seat is lost."""
        poller = Poller(rpc, sink, self._scope, self._clock, self.metrics)
        async with contextlib.AsyncExitStack() as stack:
            rows = await self._map(poller, stack)
            await self._lead_from(poller, Seated(sink, seat, rows), stop)

    async def _map(self, poller: Poller, stack: contextlib.AsyncExitStack) -> MappingRows | None:
        """Follow the mapping tables from now on, and read them once."""
        tables = {rule.table for rule in self._scope.mapped}
        if not tables or self._load is None:
            return None
        settings = self._settings
        topic = settings.topic(DB_CHANGES)
        rows = await stack.enter_async_context(
            MappingRows(settings.kafka, topic, settings.partitions, tables)
        )
        for table in tables:
            poller.mapped.load(table.table, await self._load(table))
        self.metrics.refused.set(poller.mapped.refused)
        return rows

    async def _lead_from(self, poller: Poller, seated: Seated, stop: asyncio.Event) -> None:
        sink, seat = seated.sink, seated.seat
        report = StatusReport(self.network, self.metrics, self._clock)
        stored = await seat.read_cursor()
        cursor = stored or await self._first_cursor(poller)
        log.info("Follows the chain", event_name="poller_active", network=self.network, ledger=cursor.ledger)
        over = asyncio.Event()
        following = asyncio.ensure_future(poller.follow(cursor, over))
        try:
            while not following.done() and not stop.is_set() and seat.is_held:
                await seat.turn()
                for row in () if seated.rows is None else await seated.rows.turn():
                    poller.mapped.put(row)
                self.metrics.refused.set(poller.mapped.refused)
                status = report.due(poller.progress)
                if status is not None and not following.done():
                    await sink.tell(status)
            over.set()
            await asyncio.wait({following}, timeout=_GRACE_S)
            if following.done():
                await following
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError, SinkLost):
                await following

    async def _first_cursor(self, poller: Poller) -> Cursor:
        return (
            await poller.first_cursor() if self._from_ledger is None else Cursor(None, self._from_ledger - 1)
        )

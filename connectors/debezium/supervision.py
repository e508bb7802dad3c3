"""Keeps one Debezium connector running from its replication slot, and watches both."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from app.clock import Clock, sleep_unless
from app.errors import Fatal, Transient
from app.ports import Finding
from app.telemetry import get_logger
from connectors.debezium.capture import CapturedTable
from connectors.debezium.configuration import Capture, connector_config
from connectors.debezium.database import Names, Place, SlotState, SourceDatabase, open_source
from connectors.debezium.metrics import ConnectMetrics
from connectors.debezium.rest import ConnectorState, ConnectRest
from connectors.debezium.watching import Voice, Watch

log = get_logger(__name__)

_BACK_OFF_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
_LOOK_S: Final = 1.0
_RUNNING_WITHIN_S: Final = 60.0
_FREE_WITHIN_S: Final = 30.0


class ConnectWorker(Protocol):
    """A Kafka Connect worker that the supervision may use, of our own or somebody else's."""

    @property
    def url(self) -> str: ...
    @property
    def is_running(self) -> bool: ...
    async def start(self) -> None:
        """Make it answer; one of our own starts without any stored offset."""
        ...

    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Target:
    """What to keep running. `may_create`: slot and publication may be made where there are none.

    `tell_lost` is awaited with the cause before a slot is made anew for a topic that already holds changes:
    what was committed in between can never be streamed. `tell_started` is awaited whenever the connector runs
    anew. `last_place`: where the log stood at the last mark that is in Kafka, None where there is none.
    """

    dsn: str
    names: Names
    tables: tuple[CapturedTable, ...]
    capture: Callable[[Mapping[str, Sequence[str]], str], Capture]
    may_create: bool
    tell_lost: Callable[[str], Awaitable[None]]
    tell_started: Callable[[], Awaitable[None]]
    last_place: Callable[[], Awaitable[Place | None]]
    voice: Voice


class Supervision:
    """Runs until `stop`; `why_not_ready` is None while changes flow."""

    def __init__(self, target: Target, worker: ConnectWorker, clock: Clock, metrics: ConnectMetrics) -> None:
        self.target, self.worker, self.clock, self.metrics = target, worker, clock, metrics
        self.why_not_ready: str | None = "starting"
        self._confirmed: str | None = None
        self._watch_of = Watch(target.tables, target.voice, clock, metrics)

    async def run(self, stop: asyncio.Event) -> None:
        """Start, watch, and start again what stands still. Raises `Fatal` for what a person must mend."""
        failures = 0
        try:
            while not stop.is_set():
                try:
                    await self._start()
                    failures = 0
                    await self._watch(stop)
                except Transient as error:
                    self._stand_still(str(error))
                    log.warning(
                        "The connector stands still", event_name="connector_trouble", reason=str(error)
                    )
                if not stop.is_set():
                    await self.clock.sleep(_BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)])
                    failures += 1
                    self.metrics.restarts.inc()
        finally:
            await self.worker.stop()

    async def _start(self) -> None:
        target = self.target
        await self._halt()
        async with open_source(target.dsn, target.names) as database:
            await self._prepare(database)
            if not self.worker.is_running:
                await self.worker.start()
            async with ConnectRest(self.worker.url, self.clock) as rest:
                await rest.halt()
                slot = await self._until_free(database)
                self._confirmed = None if slot is None else slot.confirmed
                generation = await database.generation()
                keys = await database.primary_keys(target.tables)
                await rest.begin(connector_config(target.capture(keys, generation)))
                await self._until_running(rest)
        log.info("The connector runs", event_name="connector_running", generation=generation)
        await target.tell_started()

    async def _halt(self) -> None:
        """Nothing may stream while the database is away: it may come back as another one, older than what was
        streamed, and its log would be taken for the rest of this one's."""
        if self.worker.is_running and self._watch_of.place is not None:
            async with ConnectRest(self.worker.url, self.clock) as rest:
                await rest.halt()

    async def _prepare(self, database: SourceDatabase) -> None:
        await self._refuse(database)
        slot = await database.slot()
        cause = await self._find_other_history(database)
        if cause is not None and not self.target.may_create:
            hint = "driftwatch connect --create-slot tells the gap and makes a new slot"
            raise Fatal("watching", "the database", cause, hint)
        if cause is not None:
            log.error("The database is another one", event_name="database_epoch", reason=cause)
            await self._until_free(database)
            await self._make(database, slot, "epoch")
        elif self.target.may_create and (slot is None or slot.is_lost):
            await self._make(database, slot, "slot")
        refuse([finding for finding in await database.find(self.target.tables) if finding.stops])

    async def _refuse(self, database: SourceDatabase) -> None:
        """Raise `Fatal` for all that a person must mend; slot and publication are ours where we may make
        them."""
        problems = [one for one in await database.find(self.target.tables) if one.stops]
        if self.target.may_create:
            problems = [one for one in problems if not one.subject.startswith(("slot ", "publication "))]
        refuse(problems)

    async def _find_other_history(self, database: SourceDatabase) -> str | None:
        """Is this not the database, or not a later moment of it, that was streamed until now? A restored
        backup goes back; a failover begins a timeline."""
        known = self._watch_of.place or await self.target.last_place()
        place = await database.place()
        if known is None:
            return None
        if place.history != known.history:
            return f"its system identifier and timeline are {place.history}, and were {known.history}"
        if place.position < known.position:
            return f"its log has gone back by {known.position - place.position} bytes: an older backup?"
        return None

    async def _make(self, database: SourceDatabase, slot: SlotState | None, cause: str) -> None:
        await database.make_publication(self.target.tables)
        await self.target.tell_lost(cause)
        if slot is not None:
            await database.drop_slot()
        generation = await database.make_slot()
        self._watch_of.place = await database.place()
        log.info("Made a replication slot", event_name="slot_made", generation=generation)

    async def _until_free(self, database: SourceDatabase) -> SlotState | None:
        """The slot once nobody streams it: a connector that was killed may hold it for a moment longer."""
        deadline = self.clock.monotonic_s() + _FREE_WITHIN_S
        while (slot := await database.slot()) is not None and slot.is_active:
            if self.clock.monotonic_s() > deadline:
                raise Transient(
                    "starting",
                    f"slot {self.target.names.slot}",
                    "somebody else streams it",
                    "one connector a slot",
                )
            await self.clock.sleep(0.1)
        return slot

    async def _until_running(self, rest: ConnectRest) -> None:
        deadline = self.clock.monotonic_s() + _RUNNING_WITHIN_S
        while not (state := await rest.state()).is_running:
            self._fail_if_failed(state)
            if self.clock.monotonic_s() > deadline:
                raise Transient("starting", "the connector", f"not running after {_RUNNING_WITHIN_S:g} s")
            await self.clock.sleep(0.1)

    def _fail_if_failed(self, state: ConnectorState) -> None:
        if state.has_failed:
            raise Transient("running", "the connector", state.trace or "its task has failed")

    # ---- watching

    async def _watch(self, stop: asyncio.Event) -> None:
        """Look every second. Returns on `stop`; raises `Transient` when the connector must begin again."""
        target = self.target
        async with (
            ConnectRest(self.worker.url, self.clock) as rest,
            open_source(target.dsn, target.names) as database,
        ):
            while not stop.is_set():
                await self._look(rest, database)
                await sleep_unless(stop, _LOOK_S if self.why_not_ready is None else 0.2, self.clock)

    async def _look(self, rest: ConnectRest, database: SourceDatabase) -> None:
        slot = await database.slot()
        self.metrics.show_slot(slot)
        await self._watch_of.look(database)
        if slot is None or slot.is_lost:
            self._stand_still("the slot is lost")
            cause = "it was dropped" if slot is None else "its WAL is gone"
            hint = "driftwatch connect --create-slot tells the gap and makes a new slot"
            if not self.target.may_create:
                raise Fatal("watching", f"slot {self.target.names.slot}", cause, hint)
            raise Transient("watching", f"slot {self.target.names.slot}", cause)
        if not self.worker.is_running:
            raise Transient("running", "Kafka Connect", "its process ended")
        state = await rest.state()
        self._fail_if_failed(state)
        if state.connector is None:
            raise Transient("running", "the connector", "Connect does not know it any more")
        self.metrics.up.set(state.is_running)
        self.why_not_ready = self._why_not_ready(state, slot)

    def _why_not_ready(self, state: ConnectorState, slot: SlotState) -> str | None:
        """RUNNING alone proves nothing; that the slot's confirmed position moved does: Kafka has records."""
        if not state.is_running:
            return f"connector {state.connector}, task {state.task}"
        if not slot.is_active:
            return "nobody streams the slot"
        if self._confirmed is not None and slot.confirmed == self._confirmed:
            return "nothing of it is in Kafka yet"
        self._confirmed = None
        return None

    def _stand_still(self, reason: str) -> None:
        self.why_not_ready = reason
        self.metrics.up.set(0)


def refuse(findings: list[Finding]) -> None:
    """Raise `Fatal` with every problem and its remedy at once; nothing where there is none."""
    if findings:
        causes = "; ".join(f"{one.subject}: {one.detail}" for one in findings)
        remedies = "; ".join(one.remedy for one in findings)
        raise Fatal("preparing", "the capture of the database", causes, remedies)

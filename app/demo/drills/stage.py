"""Where drills are played: the whole system with a small world under load, and what was told of it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any, Final, Self

import asyncpg
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from app.clock import Clock
from app.demo.chain import DemoChain
from app.demo.credit import CreditScenario
from app.demo.credit_contract import borrower_address
from app.demo.lines import Line, Row
from app.demo.load import Load, Submitted
from app.demo.rows import Lane, create_table, insert_rows
from app.demo.score import Period, score
from app.demo.system import NETWORK, PARTITIONS, System
from app.demo.world import SECOND_US, Borrower, World, WorldShape
from app.errors import Fatal
from app.partitioning import partition_of
from app.rules import LoadedRule, load_rules
from app.settings import Settings
from app.sweep.desk import RETRY
from app.sweep.sweep_run import OVER
from connectors.kafka.mismatches import Mismatch, open_feed
from connectors.kafka.status import StatusView
from schemas.topics import MISMATCHES

RULE: Final = "credit-line"
_LANES: Final = 4
_RESERVED: Final = 60
_WITHIN_S: Final = 90.0


class WanderingClock:
    """The contract, its network's clock `ahead_us` of ours. Ledgers close in order: once the clock is set
    back, none closes until the time has come past the last one."""

    def __init__(self, chain: DemoChain) -> None:
        self.chain, self.ahead_us = chain, 0
        self._closed_us = self._number = 0

    def write(self, key: str, line: Line, event: str | None) -> None:
        """With the next ledger that closes."""
        self.chain.write(key, line, event)

    def close(self, at_us: int) -> int:
        """The next ledger's number, or the last one's where none may close yet."""
        told_us = at_us + self.ahead_us
        if told_us > self._closed_us:
            self._closed_us, self._number = told_us, self.chain.close(told_us)
        return self._number


class Stage:
    """Entered: everything runs, seeded, and the load changes rows and entries as a good application would.

    `reserved` borrowers are left alone by the load: drills do with them what they like. Keys in `strangers`
    belong to no borrower and are judged by their drill.
    """

    def __init__(self, system: System, seed: int, clock: Clock) -> None:
        self.system, self.clock = system, clock
        shape = WorldShape(
            seed=seed,
            borrowers=600,
            seconds=1e9,
            changes_per_s=40,
            window=system.options.window,
            planted_of_each=0,
        )
        self.world = World(shape, [borrower_address(seed, index) for index in range(shape.borrowers)])
        self.world.unborn.clear()
        self.reserved = self.world.early[-_RESERVED:]
        kept = {id(borrower) for borrower in self.reserved}
        self.world.live = [each for each in self.world.live if id(each) not in kept]
        self.world.hot = [each for each in self.world.hot if id(each) not in kept]
        self.strangers: set[str] = set()
        self.events: list[Mismatch] = []
        self.says: Callable[[str], None] = lambda text: None
        self._stack = AsyncExitStack()
        self._changing: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            system = await stack.enter_async_context(self.system)
            self.connection = await asyncpg.connect(system.database)
            stack.push_async_callback(self._close_own)
            self.load = await stack.enter_async_context(self._world_running())
            system.supervisor.environment |= {"RECONCILIATION_INTERVAL_MS": "0"}
            await system.start_pipeline(self.says)
            feed = await stack.enter_async_context(open_feed(system.kafka, MISMATCHES, self.clock))
            self.settings = self._settings()
            [self.rule] = self._rules()
            self.status = await stack.enter_async_context(StatusView(self.settings))
            collecting = asyncio.create_task(self._collect(feed))
            stack.callback(collecting.cancel)
            self.started_us = self.clock.now_us()
            self.resume_load()
            stack.push_async_callback(self.pause_load)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _settings(self) -> Settings:
        system = self.system
        return Settings(
            kafka=system.kafka,
            database=SecretStr(system.database),
            partitions=PARTITIONS,
            rpc_url=SecretStr(system.chain.url),
            network_passphrase=NETWORK,
        )

    def _rules(self) -> tuple[LoadedRule, ...]:
        path = self.system.options.folder / "credit.yaml"
        return load_rules((path,), {"CREDIT_CONTRACT_ID": self.system.chain.contract_id})

    @asynccontextmanager
    async def _world_running(self) -> AsyncIterator[Load]:
        connections = [await asyncpg.connect(self.system.database) for _ in range(_LANES)]
        lanes = [Lane(connection, self.clock) for connection in connections]
        self.contract = WanderingClock(self.system.chain)
        try:
            load = Load(CreditScenario(self.world), self.contract, lanes, self.clock, 1)
            await self._make_early_world(connections[0], self.system.chain)
            async with load.going_on():
                yield load
        finally:
            await self._close_connections(lane.connection for lane in lanes)

    async def _make_early_world(self, connection: asyncpg.Connection, chain: DemoChain) -> None:
        await create_table(connection)
        now = self.clock.now_us() // SECOND_US * SECOND_US
        rows = []
        for borrower in self.world.early:
            if borrower.line is not None:
                rows.append((borrower, Row.of(borrower.line)))
                chain.write(borrower.address, borrower.line, "opened")
                borrower.entries.add(now, borrower.line)
        chain.close(now)
        await insert_rows(connection, rows)

    @staticmethod
    async def _close_connections(connections: Iterable[asyncpg.Connection]) -> None:
        for connection in connections:
            with suppress(asyncpg.PostgresError, OSError):
                await connection.close()

    async def _close_own(self) -> None:
        await self._close_connections([self.connection])

    async def reconnect(self) -> None:
        """After the database was away: every connection anew."""
        await self._close_connections([self.connection, *(lane.connection for lane in self.load.lanes)])
        for lane in self.load.lanes:
            lane.connection = await asyncpg.connect(self.system.database)
        self.connection = await asyncpg.connect(self.system.database)

    async def _collect(self, feed: Any) -> None:
        async for mismatch in feed:
            self.events.append(mismatch)

    # ---- the load

    def resume_load(self) -> None:
        """Rows and entries change again."""
        self._stop.clear()
        self._changing = asyncio.create_task(self.load.change(float("inf"), self._stop))

    async def pause_load(self) -> None:
        """Nothing is begun any more; what was begun is followed to its end."""
        self._stop.set()
        if self._changing is not None:
            await self._changing
            self._changing = None

    @property
    def is_paused(self) -> bool:
        """Does the load stand still?"""
        return self._changing is None

    # ---- what drills do

    def take(self, partition: int | None = None) -> Borrower:
        """A reserved borrower, in a partition of Kafka where that matters; each only once."""
        for borrower in self.reserved:
            if partition is None or self.partition_of(borrower) == partition:
                self.reserved.remove(borrower)
                return borrower
        raise Fatal("choosing", "a borrower", "none is left")

    @staticmethod
    def partition_of(borrower: Borrower) -> int:
        """Where the records of a borrower stand."""
        return partition_of(borrower.address.encode(), PARTITIONS)

    def spoil_row(self, borrower: Borrower) -> None:
        """Write a row that the chain never held."""
        row = Row.of(borrower.line)  # type: ignore[arg-type] # every early borrower has a line
        self.load.write_row(borrower, row._replace(credit_limit=row.credit_limit + 7_777_777))

    def delete_row(self, borrower: Borrower) -> None:
        """Delete the row of a line that the chain still has."""
        self.load.write_row(borrower, None)

    def change_entry(self, borrower: Borrower) -> None:
        """Let the contract change, and the row not follow."""
        line = borrower.line
        if line is not None:
            changed = line._replace(credit_limit=line.credit_limit + 8_888_888)
            self.load.submit(Submitted(borrower, changed), "risk_upd")

    @contextmanager
    def frozen(self, name: str) -> Any:
        """A part that gets no turn inside (SIGSTOP)."""
        pid = self.system.supervisor.pid(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    async def until(self, what: str, ready: Callable[[], Any], within_s: float = _WITHIN_S) -> None:
        """Wait for something; raises `Fatal` naming it."""
        deadline = self.clock.monotonic_s() + within_s
        while True:
            self.system.supervisor.raise_refusal()
            if self._changing is not None and self._changing.done():
                self._changing.result()
            found = ready()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            if self.clock.monotonic_s() > deadline:
                raise Fatal("waiting for", what, f"not within {within_s:g} s")
            await self.clock.sleep(0.1)

    # ---- what was told

    async def observed(self) -> Mapping[str, float]:
        """What the worker's detectors have counted, by name."""
        return await self._samples("driftwatch_observed", "what")

    async def taken_in(self) -> float:
        """How many changes the worker has taken in."""
        return (await self._samples("driftwatch_events", "topic")).get("db.changes", 0.0)

    async def _samples(self, name: str, label: str) -> dict[str, float]:
        text = await self.system.supervisor.metrics("worker")
        return {
            sample.labels[label]: sample.value
            for family in text_string_to_metric_families(text)
            if family.name == name
            for sample in family.samples
            if sample.name.endswith("_total")
        }

    def is_verified(self, at_us: int) -> bool:
        """Has everything up to a moment been judged?"""
        verified = self.status.verified_through(RULE)
        return verified is not None and verified >= at_us

    def sweeps_are_over(self) -> bool:
        """Is no run waiting or in work? Drift that is open makes sweeps fail, and they are tried again;
        those read nothing that the failed one has not read."""
        runs = [run for run in self.status.runs(RULE) if run["kind"] == "sweep"]
        return all(run["state"] in OVER or run["cause"] == RETRY for run in runs)

    def open_incidents(self) -> list[Mapping[str, Any]]:
        """What has not ended."""
        return self.status.open_incidents(RULE)

    def open_keys(self) -> set[str]:
        """The keys whose last transition is no end."""
        last = {event.key: event.transition for event in self.events}
        return {key for key, transition in last.items() if transition != "resolved"}

    def false_alarms(self) -> list[str]:
        """Everything told so far that was not true."""
        verified = self.status.verified_through(RULE) or self.started_us
        known = [event for event in self.events if event.key not in self.strangers]
        return score(self.world, known, Period(self.started_us, verified)).false_alarms

    def drifting_now(self) -> set[str]:
        """The keys that really drift, and have done so for long enough to be found."""
        window, now = self.system.options.window, self.clock.now_us()
        old = now - window.decided_after_us - window.surely_found_us - 2 * SECOND_US
        return {
            borrower.address
            for borrower in self.world.borrowers
            for each in borrower.violations(window)
            if each.from_us < old and each.until_us > now
        }

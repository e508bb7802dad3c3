"""How fast a whole rule is swept, on the real stack: `python -m tests.bench.sweep [KEYS [FOLDER]]`.

Rows and entries of all keys are there before; everything runs on this machine, the simulated node too. While
it sweeps, a row is edited by hand twice a second. Prints one JSON object: `keys_per_s` from the start to
the last page, `end_to_end_per_s` until the worker has judged all that was read, `cpu_s_per_1000_keys` of each
process (this one is the node), memory before and at most, how old `verified through` became, and how long
after an edit its mismatch was told, against the bound of the rule.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
from pydantic import SecretStr

from app.clock import SystemClock
from app.demo.credit_contract import borrower_address
from app.demo.lines import STROOPS, Line, Row
from app.demo.rows import arguments, create_table
from app.demo.run import verified_age_s
from app.demo.score import percentile
from app.demo.system import PARTITIONS, System, SystemOptions
from app.demo.truth import Window
from app.demo.world import Borrower
from app.settings import Settings
from app.sweep.desk import RETRY
from app.sweep.sweep_run import OVER
from app.telemetry import configure_logging
from connectors.kafka.backlog import WorkersBacklog
from connectors.kafka.mismatches import open_feed
from connectors.kafka.requests import ask_sweeps
from connectors.kafka.status import StatusView
from schemas.topics import MISMATCHES
from tests.bench.processes import cpu_s, memory_mb

RULE = "credit-line"
COLUMNS = ("id", "wallet_address", "credit_limit", "available_credit", "interest_rate_bps", "status")
EDIT = "UPDATE credit_lines SET credit_limit = credit_limit + 1 WHERE id = $1"
LEDGER_S = 2.0
HEARTBEAT_S = 1.0
WINDOW = Window(lag_us=6_000_000, lead_us=4_000_000, skew_us=500_000, min_us=500_000)
BOUND_S = (WINDOW.lead_us + 2 * WINDOW.skew_us) / 1e6 + 2 * (LEDGER_S + HEARTBEAT_S)
"""From an edit to its mismatch, as the README states it, and one mark of each side for the live read."""
QUIET = 100
"""Reads of the seed that may still wait for the worker."""
PARTS = ("worker", "poller", "connect", "sweeper")
CLOCK = SystemClock()


async def main(count: int, place: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with System(SystemOptions(Path(place or folder), WINDOW), CLOCK) as system:
            addresses = [borrower_address(5, number) for number in range(count)]
            await fill(system, addresses)
            closing = asyncio.create_task(close_ledgers(system))
            system.supervisor.environment["RECONCILIATION_INTERVAL_MS"] = "0"
            began = CLOCK.monotonic_s()
            await system.start_pipeline(say, seeded_within_s=90 + count / 2000)
            say(f"seeded {count / (CLOCK.monotonic_s() - began):.0f} keys/s, start-up included")
            try:
                print(json.dumps(await measure(system, addresses)))
            finally:
                closing.cancel()
                await asyncio.gather(closing, return_exceptions=True)


async def fill(system: System, addresses: Sequence[str]) -> None:
    say("filling both sides")
    line = Line(1000 * STROOPS, 0, 500)
    row = Row.of(line)
    for address in addresses:
        system.chain.write(address, line, None)
    system.chain.close(CLOCK.now_us())
    connection = await asyncpg.connect(system.database)
    await create_table(connection)
    records = (arguments(Borrower(n, address, False), row) for n, address in enumerate(addresses))
    await connection.copy_records_to_table("credit_lines", records=records, columns=COLUMNS)
    await connection.close()


async def close_ledgers(system: System) -> None:
    while True:
        await CLOCK.sleep(LEDGER_S)
        system.chain.close(CLOCK.now_us())


class Edits:
    """Rows that are edited by hand, and when each was told."""

    def __init__(self, system: System, addresses: Sequence[str]) -> None:
        self._system, self._addresses = system, addresses
        self.at_us: dict[str, int] = {}
        self.told_s: dict[str, float] = {}
        self.confirmed: Counter[str] = Counter()
        self.wrong = 0

    async def make(self) -> None:
        """Two a second, all over the table, until cancelled."""
        connection = await asyncpg.connect(self._system.database)
        try:
            for number in range(len(self._addresses)):
                place = number * 7919 % len(self._addresses)
                await connection.execute(EDIT, place + 1)
                self.at_us[self._addresses[place]] = CLOCK.now_us()
                await CLOCK.sleep(0.5)
        finally:
            connection.terminate()

    async def hear(self) -> None:
        async with open_feed(self._system.kafka, MISMATCHES, CLOCK) as feed:
            async for mismatch in feed:
                edited = self.at_us.get(mismatch.key)
                if mismatch.transition != "opened":
                    continue
                if edited is None:
                    self.wrong += 1
                else:
                    self.told_s.setdefault(mismatch.key, (mismatch.seen_us - edited) / 1e6)
                    self.confirmed[mismatch.headers["drift_confirmed"]] += 1

    async def beside(self, work: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        """What the work came to, what became of the rows that were edited meanwhile, and the load."""
        making, hearing = asyncio.create_task(self.make()), asyncio.create_task(self.hear())
        try:
            found = await work
        finally:
            making.cancel()
            await asyncio.gather(making, return_exceptions=True)
        edited = await self.settle()
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        return {**found, "edits": edited, "load": os.getloadavg()[0]}

    async def settle(self) -> dict[str, object]:
        """What became of them, after the time that the last one may take and as long again."""
        deadline = CLOCK.monotonic_s() + 2 * BOUND_S
        while len(self.told_s) < len(self.at_us) and CLOCK.monotonic_s() < deadline:
            await CLOCK.sleep(0.2)
        told = sorted(self.told_s.values())
        return {
            "edited": len(self.at_us),
            "told": len(told),
            "confirmed": dict(self.confirmed),
            "told_of_others": self.wrong,
            "p50_s": percentile(told, 0.5),
            "p99_s": percentile(told, 0.99),
            "most_s": told[-1] if told else None,
            "bound_s": BOUND_S,
        }


async def measure(system: System, addresses: Sequence[str]) -> dict[str, Any]:
    settings = Settings(
        kafka=system.kafka, database=SecretStr(system.database), partitions=PARTITIONS, rpc_url=SecretStr("x")
    )
    async with AsyncExitStack() as stack:
        status = await stack.enter_async_context(StatusView(settings))
        backlog = await stack.enter_async_context(WorkersBacklog(settings))
        say("waiting for the seed to be judged")
        seeded = CLOCK.now_us()
        while (status.verified_through(RULE) or 0) < seeded or await age_of(system) > BOUND_S:
            await CLOCK.sleep(0.5)
        while await backlog.count_waiting() > QUIET:
            await CLOCK.sleep(0.5)
        assert all(run["state"] in OVER for run in status.runs(RULE))
        return await Edits(system, addresses).beside(sweep(system, settings, status, len(addresses)))


async def sweep(system: System, settings: Settings, status: StatusView, count: int) -> dict[str, Any]:
    before, used = memory(system), cpu_s(names(system))
    known = {run["run"] for run in status.runs(RULE)}
    say("sweeping")
    started = CLOCK.monotonic_s()
    await ask_sweeps(settings, [RULE], "person", CLOCK.now_us())
    oldest, read_s, most = 0.0, 0.0, dict(before)
    while True:
        await CLOCK.sleep(0.2)
        runs = [run for run in status.runs(RULE) if run["run"] not in known and run["cause"] != RETRY]
        oldest = max(oldest, await age_of(system))
        most = {name: max(held, most[name]) for name, held in memory(system).items()}
        if not read_s and runs and runs[-1]["progress"]["phase"] == "judging":
            read_s = CLOCK.monotonic_s() - started
        if runs and runs[-1]["state"] in OVER:
            break
    whole_s = CLOCK.monotonic_s() - started
    spent = {name: (now - used.get(name, 0.0)) / count * 1000 for name, now in cpu_s(names(system)).items()}
    found: Mapping[str, Any] = runs[-1]
    return {
        "keys": count,
        "in_sync": found["in_sync"],
        "drifting": found["drifting"],
        "why": found["why"],
        "keys_per_s": round(count / read_s),
        "end_to_end_per_s": round(count / whole_s),
        "seconds": round(whole_s, 1),
        "cpu_s_per_1000_keys": {
            name: round(each, 4) for name, each in sorted(spent.items()) if each >= 0.001
        },
        "verified_through_age_s": round(oldest, 1),
        "memory_mb": {name: [round(before[name]), round(most[name])] for name in most},
    }


async def age_of(system: System) -> float:
    age = verified_age_s(await system.supervisor.metrics("worker"))
    return 1e9 if age is None else age


def names(system: System) -> dict[int, str]:
    return {os.getpid(): "node", **{system.supervisor.pid(name): name for name in PARTS}}


def memory(system: System) -> dict[str, float]:
    return {name: memory_mb(system.supervisor.pid(name)) for name in ("sweeper", "worker")}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    configure_logging("WARNING")
    asyncio.run(main(int((sys.argv[1:2] or [100_000])[0]), (sys.argv[2:3] or [None])[0]))

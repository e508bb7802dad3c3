"""How fast a whole rule is swept, on the real stack: `python -m tests.bench.sweep [KEYS [FOLDER]]`.

Rows and entries of all keys are there before; everything runs on this machine, the simulated node too. Prints
one JSON object: `keys_per_s` from the run's start to the last page, `end_to_end_per_s` until the worker has
judged all that was read, the sweeper's and the worker's memory before and at most, and how old `verified
through` became.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
from pydantic import SecretStr

from app.clock import SystemClock
from app.demo.credit_contract import borrower_address
from app.demo.lines import STROOPS, Line, Row
from app.demo.rows import arguments, create_table
from app.demo.run import verified_age_s
from app.demo.system import PARTITIONS, System, SystemOptions
from app.demo.truth import Window
from app.demo.world import Borrower
from app.native.child import free_port
from app.native.supervisor import Service
from app.settings import Settings
from app.sweep.sweep_run import OVER
from app.telemetry import configure_logging
from connectors.kafka.requests import ask_sweeps
from connectors.kafka.status import StatusView

RULE = "credit-line"
COLUMNS = ("id", "wallet_address", "credit_limit", "available_credit", "interest_rate_bps", "status")
CLOCK = SystemClock()


async def main(count: int, place: str | None) -> None:
    window = Window(lag_us=6_000_000, lead_us=4_000_000, skew_us=500_000, min_us=500_000)
    with tempfile.TemporaryDirectory() as folder:
        async with System(SystemOptions(Path(place or folder), window), CLOCK) as system:
            await fill(system, count)
            closing = asyncio.create_task(close_ledgers(system))
            port = free_port()
            system.supervisor.environment |= {
                "DRIFTWATCH_SWEEPER_PORT": str(port),
                "RECONCILIATION_INTERVAL_MS": "0",
            }
            began = CLOCK.monotonic_s()
            await system.start_pipeline(say)
            say(f"seeded {count / (CLOCK.monotonic_s() - began):.0f} keys/s, start-up included")
            await system.supervisor.start(Service("sweeper", ("sweeper",), port))
            await system.supervisor.until_ready("sweeper", 60)
            try:
                print(json.dumps(await measure(system, count)))
            finally:
                closing.cancel()
                await asyncio.gather(closing, return_exceptions=True)


async def fill(system: System, count: int) -> None:
    say("filling both sides")
    line = Line(1000 * STROOPS, 0, 500)
    row = Row.of(line)
    addresses = [borrower_address(5, number) for number in range(count)]
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
        await CLOCK.sleep(2.0)
        system.chain.close(CLOCK.now_us())


async def measure(system: System, count: int) -> dict[str, Any]:
    settings = Settings(
        kafka=system.kafka, database=SecretStr(system.database), partitions=PARTITIONS, rpc_url=SecretStr("x")
    )
    async with StatusView(settings) as status:
        say("waiting for the seed to be judged")
        while await age_of(system) > 20 or any(run["state"] not in OVER for run in status.runs(RULE)):
            await CLOCK.sleep(0.5)
        before = {name: memory_mb(system, name) for name in ("sweeper", "worker")}
        known = {run["run"] for run in status.runs(RULE)}
        started = CLOCK.monotonic_s()
        await ask_sweeps(settings, [RULE], "person", CLOCK.now_us())
        oldest, read_s, most = 0.0, 0.0, dict(before)
        while True:
            await CLOCK.sleep(0.2)
            runs = [run for run in status.runs(RULE) if run["run"] not in known]
            oldest = max(oldest, await age_of(system))
            most = {name: max(most[name], memory_mb(system, name)) for name in most}
            if not read_s and runs and runs[-1]["progress"]["phase"] == "judging":
                read_s = CLOCK.monotonic_s() - started
            if runs and runs[-1]["state"] == "done":
                break
        whole_s = CLOCK.monotonic_s() - started
    found: Mapping[str, Any] = runs[-1]
    return {
        "keys": count,
        "in_sync": found["in_sync"],
        "why": found["why"],
        "keys_per_s": round(count / read_s),
        "end_to_end_per_s": round(count / whole_s),
        "seconds": round(whole_s, 1),
        "verified_through_age_s": round(oldest, 1),
        "memory_mb": {name: [round(before[name]), round(most[name])] for name in most},
        "load": os.getloadavg()[0],
    }


async def age_of(system: System) -> float:
    age = verified_age_s(await system.supervisor.metrics("worker"))
    return 1e9 if age is None else age


def memory_mb(system: System, name: str) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{system.supervisor.pid(name)}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    return 0.0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    configure_logging("WARNING")
    asyncio.run(main(int((sys.argv[1:2] or [100_000])[0]), (sys.argv[2:3] or [None])[0]))

"""How late a seed of a further rule makes the alarms of others: `python -m tests.bench.seed [KEYS [FOLDER]]`.

Two tables of KEYS rows against the same contract, on the whole native stack, as in `tests.bench.sweep`. The
first rule is seeded and judged; then the second one is seeded while rows of the first are edited by hand
twice a second, until the worker has taken in all of the seed. Prints one JSON object: how long the seed took,
and how long after an edit its mismatch was told, against the bound of the rule.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import yaml
from pydantic import SecretStr

from app.demo.credit_contract import borrower_address
from app.demo.run import verified_age_s
from app.demo.system import PARTITIONS, PROCESSES, READY_WITHIN_S, System, SystemOptions
from app.native.supervisor import Service
from app.rules.document import parse_yaml
from app.settings import Settings
from app.telemetry import configure_logging
from connectors.kafka.backlog import WorkersBacklog
from connectors.kafka.status import StatusView
from connectors.kafka.topics import ensure_topics
from tests.bench.sweep import (
    BOUND_S,
    CLOCK,
    QUIET,
    RULE,
    WINDOW,
    Edits,
    age_of,
    close_ledgers,
    fill,
    memory,
    say,
)

FURTHER = "credit-copies"
LOOK_EVERY_S = 0.5
QUIET_LOOKS = 20
QUIET_AGE_S = BOUND_S - 1.5
COPY = """
CREATE TABLE credit_copies (LIKE credit_lines INCLUDING ALL);
ALTER TABLE credit_copies REPLICA IDENTITY FULL;
INSERT INTO credit_copies SELECT * FROM credit_lines;
ANALYZE credit_copies
"""


async def main(count: int, place: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with System(SystemOptions(Path(place or folder), WINDOW), CLOCK) as system:
            addresses = [borrower_address(5, number) for number in range(count)]
            await fill(system, addresses)
            await copy_table(system)
            write_further_rule(system)
            closing = asyncio.create_task(close_ledgers(system))
            try:
                await start(system, 90 + count / 1000)
                print(json.dumps(await measure(system, addresses)))
            finally:
                closing.cancel()
                await asyncio.gather(closing, return_exceptions=True)


async def copy_table(system: System) -> None:
    connection = await asyncpg.connect(system.database)
    await connection.execute(COPY)
    await connection.close()


def write_further_rule(system: System) -> None:
    """The same rule over the other table, which all processes are told of and nobody has seeded."""
    environment = system.supervisor.environment
    first = Path(environment["DRIFTWATCH_RULES"])
    rule: Any = parse_yaml(first.read_text(encoding="utf-8"))
    rule["rule"] = FURTHER
    rule["left"]["table"] = "public.credit_copies"
    further = first.with_name("copies.yaml")
    further.write_text(yaml.safe_dump(rule, sort_keys=False), encoding="utf-8")
    environment["DRIFTWATCH_RULES"] = f"{first},{further}"
    environment["RECONCILIATION_INTERVAL_MS"] = "0"


async def start(system: System, seeded_within_s: float) -> None:
    """As `System.start_pipeline`, but only the first rule is seeded."""
    run, ports = system.supervisor, system.ports
    await ensure_topics(Settings(kafka=system.kafka, partitions=PARTITIONS))
    await run.start(Service("connect", ("connect", "--create-slot"), ports["connect"]))
    for name in PROCESSES[1:]:
        await run.start(Service(name, (name,), ports[name]))
    await asyncio.gather(*(run.until_ready(name, READY_WITHIN_S) for name in PROCESSES))
    began = CLOCK.monotonic_s()
    await run.start(Service("seed", ("seed", RULE), ends=True))
    await run.until_ended("seed", seeded_within_s)
    say(f"{system.supervisor.log_tail('seed')} {CLOCK.monotonic_s() - began:.1f} s")


async def measure(system: System, addresses: list[str]) -> dict[str, Any]:
    settings = Settings(
        kafka=system.kafka, database=SecretStr(system.database), partitions=PARTITIONS, rpc_url=SecretStr("x")
    )
    async with AsyncExitStack() as stack:
        status = await stack.enter_async_context(StatusView(settings))
        backlog = await stack.enter_async_context(WorkersBacklog(settings))
        say("waiting for the first seed to be judged")
        seeded = CLOCK.now_us()
        while (status.verified_through(RULE) or 0) < seeded:
            await CLOCK.sleep(LOOK_EVERY_S)
        await until_quiet(system, backlog)
        return await Edits(system, addresses).beside(seed(system, backlog, len(addresses)))


async def until_quiet(system: System, backlog: WorkersBacklog) -> None:
    """Nothing waits, and nothing was judged late, for a while: what is usual can be told from it."""
    looks = 0
    while looks < QUIET_LOOKS:
        is_quiet = await backlog.count_waiting() <= QUIET and await age_of(system) < QUIET_AGE_S
        looks = looks + 1 if is_quiet else 0
        await CLOCK.sleep(LOOK_EVERY_S)


async def seed(system: System, backlog: WorkersBacklog, count: int) -> dict[str, Any]:
    """Seed the second rule beside the first; back when the worker has taken in all of it."""
    run = system.supervisor
    say("seeding the other rule")
    started = CLOCK.monotonic_s()
    await run.start(Service("further", ("seed", FURTHER), ends=True))
    ending = asyncio.create_task(run.until_ended("further", 120 + count / 100))
    oldest, longest, most, seconds = 0.0, 0, 0.0, 0.0
    while True:
        await CLOCK.sleep(0.2)
        waiting = await backlog.count_waiting()
        age_s = verified_age_s(await run.metrics("worker"))
        oldest, longest = max(oldest, age_s or 0.0), max(longest, waiting)
        most = max(most, memory(system)["worker"])
        if ending.done() and not seconds:
            ending.result()
            seconds = CLOCK.monotonic_s() - started
        if seconds and waiting <= QUIET:
            break
    return {
        "keys": count,
        "keys_per_s": round(count / seconds),
        "seconds": round(seconds, 1),
        "taken_in_s": round(CLOCK.monotonic_s() - started, 1),
        "said": run.log_tail("further").splitlines()[-1],
        "most_waiting": longest,
        "verified_through_age_s": round(oldest, 1),
        "worker_mb": round(most),
    }


if __name__ == "__main__":
    configure_logging("WARNING")
    asyncio.run(main(int((sys.argv[1:2] or [100_000])[0]), (sys.argv[2:3] or [None])[0]))

"""`driftwatch up` and `driftwatch watch` against services by address, as a user's own system would be."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import asyncpg
import yaml

from app.clock import SystemClock
from app.demo.chain import DemoChain
from app.demo.credit_contract import borrower_address
from app.demo.lines import Line, Row
from app.demo.rows import SCHEMA, WRITE, arguments
from app.demo.world import Borrower
from app.native.child import free_port
from app.settings import RULES_FOLDER
from tests.support.commands import Running, running_command
from tests.support.services import Services
from tests.support.waiting import eventually

NETWORK = "a network of a user ; 2026"
CLOCK = SystemClock()
LINE = Line(credit_limit=50_000_000, utilized=10_000_000, rate_bps=500)


def write_rule(folder: Path) -> Path:
    """The shipped rule with a short window."""
    rule = yaml.safe_load((RULES_FOLDER / "credit.yaml").read_text(encoding="utf-8"))
    rule["window"] = {"lag": "2s", "lead": "1s", "skew": "500ms", "min": "500ms"}
    path = folder / "credit.yaml"
    path.write_text(yaml.safe_dump(rule, sort_keys=False), encoding="utf-8")
    return path


async def close_ledgers(chain: DemoChain) -> None:
    while True:
        chain.close(CLOCK.now_us() // 1_000_000 * 1_000_000)
        await CLOCK.sleep(1.0)


def read_events(log: Path) -> list[dict[str, Any]]:
    """What `driftwatch watch --json` has printed so far."""
    lines = [line for line in log.read_text().splitlines() if line.startswith('{"ce_id"')]
    return [json.loads(line) for line in lines]


def transitions(log: Path, key: str) -> list[str]:
    return [event["value"]["transition"] for event in read_events(log) if event["value"]["key"] == key]


async def test_a_users_own_services_are_covered_until_ctrl_c(services: Services, tmp_path: Path) -> None:
    name = f"up_{free_port()}"
    admin = await asyncpg.connect(services.database)
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.close()
    database = services.database.rpartition("/")[0] + f"/{name}"
    connection = await asyncpg.connect(database)
    await connection.execute(SCHEMA)
    covered, missing, edited = (borrower_address(77, number) for number in range(3))
    async with DemoChain(NETWORK, CLOCK) as chain:
        for number, address in enumerate((covered, edited)):
            chain.write(address, LINE, "opened")
            row = arguments(Borrower(number, address, leads=False), Row.of(LINE))
            await connection.fetchval(WRITE, *row)
        ports = {each: free_port() for each in ("WORKER", "POLLER", "CONNECT", "SWEEPER")}
        environment = {
            "DRIFTWATCH_KAFKA": services.kafka,
            "DRIFTWATCH_DATABASE": database,
            "DRIFTWATCH_TOPIC_PREFIX": f"{name}.",
            "DRIFTWATCH_APP_ID": name,
            "DRIFTWATCH_SLOT": name,
            "DRIFTWATCH_PARTITIONS": "2",
            "DRIFTWATCH_RULES": str(write_rule(tmp_path)),
            "SOROBAN_RPC_URL": chain.url,
            "STELLAR_NETWORK_PASSPHRASE": NETWORK,
            "CREDIT_CONTRACT_ID": chain.contract_id,
            **{f"DRIFTWATCH_{each}_PORT": str(port) for each, port in ports.items()},
        }
        closing = asyncio.create_task(close_ledgers(chain))
        watched, logs = tmp_path / "watched.jsonl", tmp_path / "logs"
        try:
            async with running_command(
                "up", "--create-slot", "--logs", str(logs), environment=environment, log=tmp_path / "up.log"
            ) as up:
                await Running(up.process, up.log, ports["WORKER"]).until_ready(90)
                await eventually(lambda: "seeded" in read_log(logs / "seed.log"), within=60)
                async with running_command(
                    "watch", "--json", "--from-beginning", environment=environment, log=watched
                ):
                    chain.write(missing, LINE, "opened")
                    wrong = Row.of(LINE)._replace(status="closed")
                    await connection.fetchval(WRITE, *arguments(Borrower(1, edited, leads=False), wrong))
                    await eventually(lambda: transitions(watched, missing) == ["opened"], within=40)
                    await eventually(lambda: transitions(watched, edited) == ["opened"], within=40)
                    await connection.fetchval(
                        WRITE, *arguments(Borrower(1, edited, leads=False), Row.of(LINE))
                    )
                    await eventually(
                        lambda: transitions(watched, edited) == ["opened", "resolved"], within=40
                    )
                assert transitions(watched, covered) == []
                assert await up.stop() == 0
            [opened, *_] = [each for each in read_events(watched) if each["value"]["key"] == missing]
            assert opened["value"]["differences"][0]["field"] == "existence"
            assert opened["value"]["trace"]["right"]["ledger"] >= 1000
            assert_nothing_is_left(name)
        finally:
            closing.cancel()
            await connection.close()


def read_log(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def assert_nothing_is_left(name: str) -> None:
    """No process of ours lives on after `up` has ended."""
    if sys.platform != "linux":
        return
    mine = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and int(process.name) != os.getpid():
            try:
                environment = (process / "environ").read_bytes()
            except OSError:
                continue
            if f"DRIFTWATCH_APP_ID={name}".encode() in environment:
                mine.append(process.name)
    assert mine == []

"""Everything that the desk says of a demo: what it keeps, what webhooks are told, what the API answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import asyncpg
from fastapi import FastAPI
from pydantic import SecretStr

from app.api.metrics import ApiMetrics
from app.clock import SystemClock
from app.demo.run import Demo
from app.native.child import free_port
from app.rules import load_rules
from app.settings import Settings
from app.wiring.api import open_api
from tests.support.asgi import ask
from tests.support.commands import run_command, running_command
from tests.support.receiver import running_receiver
from tests.support.waiting import eventually

KEY = "the key of the desk, and its secret"
ADMIN = "/api/admin/reconciliation"
TARGET = """\
targets:
  - {{name: all, url: '{}', secret: '${{TEST_SECRET}}', group: {{window: 0s}}}}
"""
SHOWN = 20
"""So many exceptions and keys are asked for one by one."""


async def hear_the_desk(demo: Demo, folder: Path) -> dict[str, bytes]:
    """What was said, by who said it; every transition of the demo is in it."""
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(_database(demo.system.database))
        receiver = await stack.enter_async_context(running_receiver())
        targets = folder / "webhooks.yaml"
        targets.write_text(TARGET.format(receiver.url("/all")), encoding="utf-8")
        ports = {f"DRIFTWATCH_{name}_PORT": str(free_port()) for name in ("RECORDER", "NOTIFIER")}
        environment = demo.system.environment() | ports
        environment |= {"DRIFTWATCH_DESK_DATABASE": dsn, "DRIFTWATCH_WEBHOOKS": str(targets)}
        environment |= {"TEST_SECRET": KEY}
        migrated = await run_command("migrate", environment=environment)
        assert migrated.code == 0, migrated.err
        logs = {name: folder / f"{name}.log" for name in ("recorder", "notifier")}
        connection = await asyncpg.connect(dsn)
        stack.push_async_callback(connection.close)
        told = {event.id for event in demo.events}

        async def is_all_kept() -> bool:
            return bool(await connection.fetchval("SELECT count(*) FROM recon.transitions") >= len(told))

        async with (
            running_command("recorder", environment=environment, log=logs["recorder"]),
            running_command("notifier", "--from-beginning", environment=environment, log=logs["notifier"]),
        ):
            await eventually(is_all_kept, 30)
            await eventually(lambda: told <= set(receiver.taken("/all")), 30)
        said = {"webhooks": b"\n".join(each.body for each in receiver.came), "recon": await _dump(connection)}
        said |= {f"the {name}'s log": log.read_bytes() for name, log in logs.items()}
        return said | {"the API": await _ask_everything(demo, dsn)}


@asynccontextmanager
async def _database(server: str) -> AsyncIterator[str]:
    connection = await asyncpg.connect(server)
    await connection.execute("CREATE DATABASE desk")
    try:
        yield urlsplit(server)._replace(path="/desk").geturl()
    finally:
        await connection.execute("DROP DATABASE desk WITH (FORCE)")
        await connection.close()


async def _dump(connection: asyncpg.Connection[Any]) -> bytes:
    tables = await connection.fetch(
        "SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables"
        " WHERE table_schema IN ('recon', 'public')"
    )
    rows = [await connection.fetch(f"SELECT t::text FROM {each['name']} t") for each in tables]  # noqa: S608
    return "\n".join(row[0] for found in rows for row in found).encode()


async def _ask_everything(demo: Demo, dsn: str) -> bytes:
    environment = demo.system.environment()
    rules = load_rules([Path(each) for each in environment["DRIFTWATCH_RULES"].split(",")], environment)
    settings = Settings(
        kafka=demo.system.kafka, desk_database=SecretStr(dsn), api_key=SecretStr(KEY), api_rate=0
    )
    async with open_api(settings, rules, SystemClock(), ApiMetrics()) as (app, _):
        answers = [await _get(app, f"{ADMIN}/exceptions?limit=1000")]
        shown = answers[0].json["items"][:SHOWN]
        paths = [
            *("/api/reconciliation/status", "/api/reconciliation/health", f"{ADMIN}/reports"),
            *(f"{ADMIN}/status", f"{ADMIN}/dead-letters"),
            *(f"{ADMIN}/exceptions/{each['id']}" for each in shown),
            *(f"{ADMIN}/keys/{each['rule']}/{quote(each['key'])}" for each in shown),
        ]
        answers += [await _get(app, path) for path in paths]
    return b"\n".join(answer.body for answer in answers)


async def _get(app: FastAPI, path: str) -> Any:
    answer = await ask(app, path, headers={"X-API-Key": KEY})
    assert answer.status == 200, (path, answer.body)
    return answer

"""`driftwatch api` on a real database and broker: its records, its flows, and what a fuzzer makes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase

from app.native.child import free_port
from app.settings import Settings
from connectors.kafka.topics import ensure_topics
from connectors.postgres.desk_api.pool import open_pool
from connectors.postgres.desk_api.records import DeskRecords
from schemas.topics import REQUESTS
from tests.support.commands import Running, run_command, running_command
from tests.support.desk_contract import RecordsContract
from tests.support.desk_database import PostgresDesk, connect, migrated_database, put
from tests.support.desk_rows import CREDIT, dead_letter, episode, run, status, transition
from tests.support.kafka import read_all
from tests.support.services import Services
from tests.support.waiting import eventually

KEY = "a key of the environment"
ADMIN = "/api/admin/reconciliation"
EXAMPLES = 12
"""So many requests does the fuzzer make of each kind and route."""


@pytest.fixture(name="dsn", scope="module")
def _dsn(services: Services) -> Iterator[str]:
    with migrated_database(services.database, f"api_{free_port()}") as dsn:
        yield dsn


class TestRecordsOfPostgres(RecordsContract):
    """What the API reads is what memory keeps (tests/unit/api/test_memory.py)."""

    @pytest.fixture(name="desk")
    async def _desk(self, dsn: str) -> AsyncIterator[PostgresDesk]:
        connection = await connect(dsn)
        async with open_pool(Settings(desk_database=dsn).desk_dsn) as pool:
            yield await PostgresDesk.open(DeskRecords(pool), connection)
        await connection.close()


@dataclass
class Api:
    """The process, and how to ask it."""

    running: Running
    url: str
    session: aiohttp.ClientSession

    async def ask(
        self, method: str, path: str, *, key: str | None = KEY, body: object = None
    ) -> tuple[int, Any, Any]:
        """(Status, headers, body)."""
        headers = {} if key is None else {"X-API-Key": key}
        async with self.session.request(method, self.url + path, json=body, headers=headers) as answer:
            text = await answer.text()
            return answer.status, answer.headers, json.loads(text) if text else None


@asynccontextmanager
async def opened_api(environment: dict[str, str], folder: Path) -> AsyncIterator[Api]:
    port = free_port()
    said = {"DRIFTWATCH_API_PORT": str(port), "DRIFTWATCH_API_METRICS_PORT": str(free_port())}
    ready = int(said["DRIFTWATCH_API_METRICS_PORT"])
    log = folder / "api.log"
    async with (
        running_command("api", environment=environment | said, log=log, port=ready) as running,
        aiohttp.ClientSession() as session,
    ):
        await running.until_ready(30)
        yield Api(running, f"http://127.0.0.1:{port}", session)


@pytest.fixture(name="environment")
async def _environment(services: Services, dsn: str) -> dict[str, str]:
    prefix = f"api{free_port()}."
    await ensure_topics(Settings(kafka=services.kafka, topic_prefix=prefix, partitions=2))
    return {
        "DRIFTWATCH_KAFKA": services.kafka,
        "DRIFTWATCH_TOPIC_PREFIX": prefix,
        "DRIFTWATCH_PARTITIONS": "2",
        "DRIFTWATCH_DATABASE": services.database,
        "DRIFTWATCH_DESK_DATABASE": dsn,
        "DRIFTWATCH_API_KEY": KEY,
        "DRIFTWATCH_API_TRIGGERS_PER_MINUTE": "1",
        "CREDIT_CONTRACT_ID": "CDB6WN753Y3ZKX74YJKIK5VVPHAPZZQIZIRMV6UUN6TW33QXVVTGIIQB",
    }


async def fill(dsn: str) -> dict[str, Any]:
    """An open exception, its transition, a run, a status and a dead letter."""
    drift = episode("GA")
    connection = await connect(dsn)
    try:
        await PostgresDesk.open(DeskRecords(None), connection)  # type: ignore[arg-type] # it only empties
        await put(connection, "episodes", drift)
        await put(connection, "transitions", transition(drift))
        await put(connection, "runs", run(1))
        await put(connection, "status", status(0))
        await put(connection, "dead_letters", dead_letter(1))
    finally:
        await connection.close()
    return drift


async def test_a_person_sees_asks_resolves_and_is_recorded(
    environment: dict[str, str], dsn: str, tmp_path: Path
) -> None:
    drift = await fill(dsn)
    made = await run_command("api", "keys", "add", "eve", "--role", "viewer", environment=environment)
    assert made.code == 0, made.err
    viewer = made.out.split()[-1]
    async with opened_api(environment, tmp_path) as api:
        code, headers, _ = await api.ask("GET", f"{ADMIN}/exceptions", key=None)
        assert (code, headers["content-type"]) == (401, "application/problem+json")
        code, headers, found = await api.ask("GET", f"{ADMIN}/exceptions")
        assert (code, [item["key"] for item in found["items"]]) == (200, ["GA"])
        assert headers["x-content-type-options"] == "nosniff"
        code, _, report = await api.ask("GET", f"{ADMIN}/reports/{run(1)['run']}")
        assert (code, report["rule"]) == (200, CREDIT)
        code, _, told = await api.ask("GET", f"{ADMIN}/keys/{CREDIT}/GA")
        assert code == 200, told
        said = {"resolved_by": "Ada", "notes": "row corrected"}
        code, _, _ = await api.ask(
            "PUT", f"{ADMIN}/exceptions/{drift['episode']}/resolve", key=viewer, body=said
        )
        assert code == 403
        code, _, done = await api.ask("PUT", f"{ADMIN}/exceptions/{drift['episode']}/resolve", body=said)
        assert (code, done["status"]) == (200, "resolved_by_hand")
        code, _, asked = await api.ask("POST", "/api/reconciliation/trigger", body={"rule": CREDIT})
        assert code == 202, asked
        code, headers, _ = await api.ask("POST", "/api/reconciliation/trigger", body={"rule": CREDIT})
        assert code == 429
        assert int(headers["retry-after"]) >= 1
        topic = environment["DRIFTWATCH_TOPIC_PREFIX"] + REQUESTS
        requests = [
            json.loads(one.value) for one in await read_all(environment["DRIFTWATCH_KAFKA"], [topic], 2)
        ]
        assert [each["run"] for each in requests] == [asked["runs"][0]["run"]]
        assert "driftwatch_api_requests_total" in await api.running.metrics()
        assert await api.running.stop() == 0
    whole = await run_command("api", "audit", environment=environment)
    assert (whole.code, "the chain is whole" in whole.out) == (0, True), whole.err


async def test_without_a_database_it_answers_and_says_so(environment: dict[str, str], tmp_path: Path) -> None:
    nowhere = {"DRIFTWATCH_DESK_DATABASE": "postgresql://nobody@127.0.0.1:1/nothing"}
    port, ready = free_port(), free_port()
    said = {"DRIFTWATCH_API_PORT": str(port), "DRIFTWATCH_API_METRICS_PORT": str(ready)}
    log = tmp_path / "api.log"
    async with (
        running_command("api", environment=environment | nowhere | said, log=log, port=ready) as running,
        aiohttp.ClientSession() as session,
    ):
        api = Api(running, f"http://127.0.0.1:{port}", session)

        async def answers() -> bool:
            try:
                return (await api.ask("GET", "/healthz", key=None))[0] == 200
            except aiohttp.ClientError:
                return False

        await eventually(answers, 30)
        code, headers, problem = await api.ask("GET", f"{ADMIN}/exceptions")
        assert (code, "retry-after" in headers) == (503, True), problem
        assert "127.0.0.1:1" not in json.dumps(problem)
        assert await running.readiness() != "ok"


async def test_no_request_that_a_fuzzer_finds_breaks_the_contract(
    environment: dict[str, str], dsn: str, tmp_path: Path
) -> None:
    """Every answer is one that the document has, in its form, and none is a server error."""
    await fill(dsn)
    unlimited = {"DRIFTWATCH_API_RATE": "0", "DRIFTWATCH_API_TRIGGERS_PER_MINUTE": "0"}
    async with opened_api(environment | unlimited, tmp_path) as api:
        assert await asyncio.to_thread(fuzz, api.url) > 100


def fuzz(url: str) -> int:
    """How many requests were made."""
    count = 0
    for result in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations():
        operation = result.ok()

        @hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy())
        def probe(case: schemathesis.Case) -> None:
            nonlocal count
            count += 1
            case.call_and_validate(headers={"X-API-Key": KEY})

        probe()
    return count

"""`driftwatch api` on a real database and broker: its records, its flows, and what a fuzzer makes of it."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import Any

import aiohttp
import asyncpg
import pytest
from pydantic import SecretStr

import schemas
from app.api.bodies import EXAMPLE_ID
from app.api.keys import make_key
from app.api.server import listen
from app.cases import Act, Role, Scope, to_us
from app.errors import Fatal
from app.native.child import free_port
from app.settings import Settings
from connectors.kafka.topics import ensure_topics
from connectors.postgres.desk.store import DeskStore
from connectors.postgres.desk_api.keys import DeskKeys
from connectors.postgres.desk_api.pool import open_pool
from connectors.postgres.desk_api.records import DeskRecords
from schemas.topics import REQUESTS
from tests.support.commands import Running, run_command, running_command
from tests.support.desk_contract import RecordsContract
from tests.support.desk_database import PostgresDesk, connect, migrated_database, put
from tests.support.desk_rows import CREDIT, ESCROW, dead_letter, episode, minutes, run, status, transition
from tests.support.kafka import read_all
from tests.support.services import Services
from tests.support.waiting import eventually

KEY = "a key of the environment"
ADMIN = "/api/admin/reconciliation"
README = Path(__file__).parents[2] / "app" / "api" / "README.md"
EXAMPLES = 25
"""So many random requests does the fuzzer make of each operation, beside those of its systematic phase."""


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
    """An open exception with its transition, a run, a status, a dead letter; and, for the fuzzer, more of
    each, one of them under the id that the document gives as its example."""
    drift = episode("GA")
    connection = await connect(dsn)
    try:
        await PostgresDesk.open(DeskRecords(None), connection)  # type: ignore[arg-type] # it only empties
        await put(connection, "episodes", drift)
        await put(connection, "transitions", transition(drift))
        await put(connection, "runs", run(1))
        await put(connection, "status", status(0))
        await put(connection, "dead_letters", dead_letter(1))
        nowhere = {"topic": "drift.status", "partition": 0, "offset": 0}
        await put(connection, "dead_letters", dead_letter(2, "record", None, payload=nowhere))
        for number in range(10, 40):
            rule = ESCROW if number % 3 else CREDIT
            await put(connection, "episodes", episode(f"K{number}", -number, rule, severity="low"))
            await put(connection, "runs", run(-number, rule))
        await put(connection, "episodes", {**episode("X", -50, ESCROW), "episode": EXAMPLE_ID})
        await put(connection, "runs", {**run(-50), "run": EXAMPLE_ID})
        await put(connection, "dead_letters", {**dead_letter(-50), "id": EXAMPLE_ID})
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
        assert (code, found["items"][0]["key"]) == (200, "GA")
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
        code, _, again = await api.ask("POST", f"{ADMIN}/dead-letters/replay", body={"ids": ["record-2"]})
        assert (code, again["items"][0]["outcome"]) == (200, "refused")
        assert "recorder --rebuild" in again["items"][0]["reason"]
        topic = environment["DRIFTWATCH_TOPIC_PREFIX"] + REQUESTS
        requests = [
            json.loads(one.value) for one in await read_all(environment["DRIFTWATCH_KAFKA"], [topic], 2)
        ]
        assert [each["run"] for each in requests] == [asked["runs"][0]["run"]]
        assert "driftwatch_api_requests_total" in await api.running.metrics()
        assert await api.running.stop() == 0
    whole = await run_command("api", "audit", environment=environment)
    assert (whole.code, "the chain is whole" in whole.out) == (0, True), whole.err


async def test_every_line_of_the_readme_is_answered(
    environment: dict[str, str], dsn: str, tmp_path: Path
) -> None:
    await fill(dsn)
    connection = await connect(dsn)
    await put(connection, "episodes", episode("GAB2CB57"))
    await connection.close()
    asked = list(lines_of_the_readme())
    async with opened_api(environment | {"DRIFTWATCH_API_TRIGGERS_PER_MINUTE": "0"}, tmp_path) as api:
        codes = {path: (await api.ask(method, path, body=body))[0] for method, path, body in asked}
    assert len(codes) == len(asked) == 13
    assert {path: code for path, code in codes.items() if code not in (200, 202)} == {}


def lines_of_the_readme() -> Iterator[tuple[str, str, object]]:
    """(Method, path, body) as `ask` of the document hands them to curl."""
    text = README.read_text(encoding="utf-8")
    for line in re.findall(r"^ask (.*)$", text, re.MULTILINE):
        words = shlex.split(Template(line).substitute(ID=EXAMPLE_ID, RUN=EXAMPLE_ID), comments=True)
        said = dict(zip(words[1::2], words[2::2], strict=True))
        body = said.get("-d")
        method = said.get("-X", "GET" if body is None else "POST")
        yield method, f"/api/{words[0]}", None if body is None else json.loads(body)


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


async def test_what_has_begun_is_finished_before_it_ends(
    environment: dict[str, str], dsn: str, tmp_path: Path
) -> None:
    drift = await fill(dsn)
    connection = await connect(dsn)

    async def waits() -> bool:
        return bool(
            await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE application_name = 'driftwatch api' AND wait_event_type = 'Lock'"
            )
        )

    try:
        async with opened_api(environment, tmp_path) as api:
            path, said = f"{ADMIN}/exceptions/{drift['episode']}/resolve", {"resolved_by": "Ada"}
            async with connection.transaction():
                await connection.execute("SELECT FROM recon.episodes FOR UPDATE")
                resolving = asyncio.create_task(api.ask("PUT", path, body=said))
                await eventually(waits)
                ending = asyncio.create_task(api.running.stop())
                await eventually(lambda: refuses(api.url))
                assert not resolving.done()
            code, _, done = await resolving
            assert (code, done["status"]) == (200, "resolved_by_hand")
            assert await ending == 0
    finally:
        await connection.close()


async def refuses(url: str) -> bool:
    """Does nobody listen there any more?"""
    host, _, port = url.removeprefix("http://").partition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return True
    writer.close()
    await writer.wait_closed()
    return False


def test_an_answer_does_not_wait_for_more_to_send() -> None:
    with listen("127.0.0.1", 0) as bound:
        assert bound.proto == socket.IPPROTO_TCP, "asyncio sets TCP_NODELAY on nothing else"
        with pytest.raises(Fatal, match="DRIFTWATCH_API_PORT"):
            listen("127.0.0.1", bound.getsockname()[1])


async def test_a_key_is_made_shown_and_revoked(dsn: str) -> None:
    async with open_pool(Settings(desk_database=dsn).desk_dsn) as pool:
        keys, records = DeskKeys(pool), DeskRecords(pool)
        made = make_key("ada", Role.OPERATOR, Scope(frozenset({CREDIT})), minutes(0), minutes(60))
        await keys.add(made.record, "root")
        assert await records.find_key(made.record.id) == made.record
        again = make_key("ada", Role.VIEWER, Scope(), minutes(1)).record
        with pytest.raises(Fatal, match="a key has this name"):
            await keys.add(again, "root")

        await keys.revoke("ada", "root", minutes(2))
        with pytest.raises(Fatal, match="there is none"):
            await keys.revoke("ada", "root", minutes(3))
        await keys.add(again, "root")
        await keys.revoke(again.id, "root", minutes(4))

        mine = [key for key in await keys.list() if key.name == "ada"]
        assert mine == [
            replace(made.record, revoked_at=minutes(2)),
            replace(again, revoked_at=minutes(4)),
        ]


async def test_a_changed_audit_log_is_told(services: Services) -> None:
    async with (
        new_database(services.database) as dsn,
        open_pool(Settings(desk_database=dsn).desk_dsn) as pool,
    ):
        records, keys, connection = DeskRecords(pool), DeskKeys(pool), await connect(dsn)
        acts = [Act("ops", "sweep", f"rule-{number}", minutes(number), {}) for number in range(20)]
        await asyncio.gather(*map(records.record, acts))
        whole = await keys.check_audit()
        assert (whole.lines, whole.broken_at) == (20, None)

        assert await keys_after_forgetting(dsn, keys) == (21 - 3, 3, None)

        change = "UPDATE recon.audit SET who = 'nobody' WHERE number = 7"
        for refused in (change, "DELETE FROM recon.audit", "TRUNCATE recon.audit"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
                await connection.execute(refused)
        await connection.execute("ALTER TABLE recon.audit DISABLE TRIGGER ALL")
        await connection.execute("DELETE FROM recon.audit WHERE number = 11")
        assert (await keys.check_audit()).broken_at == 12, "it does not follow the line before it"
        await connection.execute(change)
        assert (await keys.check_audit()).broken_at == 7, "it is not what was written"
        await connection.close()


async def keys_after_forgetting(dsn: str, keys: DeskKeys) -> tuple[int, int, int | None]:
    """Lines, those that were deleted, and where the chain is broken, once the first three are old enough."""
    store = DeskStore(SecretStr(dsn))
    try:
        just_now = to_us(minutes(3))
        assert (await store.forget(just_now, 100, ()))["audit"] == 0, "there is not a day's worth of it"
        assert (await store.forget(to_us(minutes(3 + 24 * 60)), 3, ()))["audit"] == 3
    finally:
        await store.close()
    found = await keys.check_audit()
    return found.lines, found.forgotten, found.broken_at


@asynccontextmanager
async def new_database(server: str) -> AsyncIterator[str]:
    """As `migrated_database`, on this loop's behalf."""
    with ExitStack() as stack:
        held = migrated_database(server, f"api_{free_port()}")
        yield await asyncio.to_thread(stack.enter_context, held)
        await asyncio.to_thread(stack.close)


async def test_no_request_that_a_fuzzer_finds_breaks_the_contract(
    environment: dict[str, str], dsn: str, tmp_path: Path
) -> None:
    """Right and wrong requests by the document, each operation alone and in sequences: no server error, no
    answer that it does not have, no wrong request accepted, no right one refused, nothing without a key."""
    await fill(dsn)
    unlimited = {"DRIFTWATCH_API_RATE": "0", "DRIFTWATCH_API_TRIGGERS_PER_MINUTE": "0"}
    async with opened_api(environment | unlimited, tmp_path) as api:
        code, said = await fuzz(api.url, tmp_path)
    assert code == 0, said
    count = re.search(r"(\d+) generated, \1 passed", said)
    assert count is not None, said
    assert int(count[1]) > 500
    assert "Missing test data" not in said


async def fuzz(url: str, folder: Path) -> tuple[int, str]:
    """The fuzzer's exit code, and what it found."""
    document = str(schemas.FOLDER / "openapi.json")
    words = ("--url", url, "--header", f"X-API-Key: {KEY}", "--generation-deterministic", "--no-color")
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("schemathesis")), "run", document),
        *(*words, "--max-examples", str(EXAMPLES)),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, said.decode()

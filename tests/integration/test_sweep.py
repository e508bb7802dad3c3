"""`driftwatch sweeper` as a process on a real broker, a real database and a served chain."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from app.clock import SystemClock
from app.demo.chain import DemoChain
from app.demo.credit_contract import borrower_address
from app.demo.lines import STROOPS, Line
from app.native.child import free_port
from app.settings import Settings
from app.sweep.sweep_run import SweepRun
from connectors.kafka.requests import SweepRequest, ask_sweeps, send_requests
from connectors.kafka.seeding import SeedLog
from connectors.kafka.topics import ensure_topics
from tests.support.commands import Finished, Running, run_command, running_command
from tests.support.kafka import open_sender, read_all
from tests.support.services import Services
from tests.support.waiting import eventually

NETWORK = "sweep test network"
PARTITIONS = 3
RULE = "credit-line"
CREATE = (Path(__file__).parents[2] / "app" / "demo" / "sql" / "schema.sql").read_text(encoding="utf-8")
ROWS = (
    "INSERT INTO credit_lines (id, wallet_address, credit_limit, available_credit, interest_rate_bps, status)"
    " SELECT n, a, 1000, 1000, 500, 'active' FROM unnest($1::bigint[], $2::text[]) AS t(n, a)"
)
PARTS = ("in_sync", "drifting", "in_flight", "exempt", "unverifiable", "repaired", "errors")


@dataclass
class Place:
    """Two sides, topics, and the environment of the processes; nobody judges here."""

    connection: asyncpg.Connection[Any]
    chain: DemoChain
    settings: Settings
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    async def fill(self, numbers: range) -> None:
        """Rows and entries that agree."""
        await self.connection.execute(ROWS, list(numbers), [address(number) for number in numbers])
        for number in numbers:
            self.chain.write(address(number), Line(1000 * STROOPS, 0, 500), "opened")
        self.chain.close(SystemClock().now_us())

    def sweeper(self, **environment: str) -> AbstractAsyncContextManager[Running]:
        port = free_port()
        settings = self.environment | environment | {"DRIFTWATCH_SWEEPER_PORT": str(port)}
        return running_command("sweeper", environment=settings, log=self.folder / "sweeper.log", port=port)

    async def command(self, *words: str) -> Finished:
        return await run_command(*words, environment=self.environment)

    async def runs(self) -> list[dict[str, Any]]:
        """The records of all runs, as they were told, one after the other."""
        return [
            json.loads(record.value)
            for record in await self.records("drift.status")
            if record.key.startswith(b"run|")
        ]

    async def records(self, topic: str) -> list[Any]:
        return await read_all(self.settings.kafka, [self.settings.topic(topic)], PARTITIONS)

    async def until_state(self, state: str, within: float = 60.0) -> dict[str, Any]:
        """The newest record once it says so."""

        async def last() -> dict[str, Any] | None:
            runs = await self.runs()
            return runs[-1] if runs and runs[-1]["state"] == state else None

        found = await eventually(last, within=within)
        assert isinstance(found, dict)
        return found


def address(number: int) -> str:
    return borrower_address(99, number)


@pytest.fixture
async def place(services: Services, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    name = f"sweep_{abs(hash(request.node.name)) % 10**8}"
    async with opened(services, name, tmp_path) as found:
        yield found


@asynccontextmanager
async def opened(services: Services, name: str, folder: Path) -> AsyncIterator[Place]:
    clock = SystemClock()
    admin = await asyncpg.connect(services.database)
    await admin.execute(f"CREATE DATABASE {name}")
    dsn = urlsplit(services.database)._replace(path=f"/{name}").geturl()
    connection = await asyncpg.connect(dsn)
    await connection.execute(CREATE)
    settings = Settings(kafka=services.kafka, partitions=PARTITIONS, topic_prefix=f"{name}.", app_id=name)
    await ensure_topics(settings)
    try:
        async with DemoChain(NETWORK, clock) as chain:
            environment = {
                "DRIFTWATCH_KAFKA": services.kafka,
                "DRIFTWATCH_DATABASE": dsn,
                "DRIFTWATCH_PARTITIONS": str(PARTITIONS),
                "DRIFTWATCH_TOPIC_PREFIX": f"{name}.",
                "DRIFTWATCH_APP_ID": name,
                "DRIFTWATCH_SESSION_TIMEOUT_S": "6",
                "RECONCILIATION_INTERVAL_MS": "0",
                "SOROBAN_RPC_URL": chain.url,
                "STELLAR_NETWORK_PASSPHRASE": NETWORK,
                "CREDIT_CONTRACT_ID": chain.contract_id,
                "DRIFTWATCH_RULES": str(quick_rule(folder)),
            }
            yield Place(connection, chain, settings, folder, environment)
    finally:
        await connection.close()
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


def quick_rule(folder: Path) -> Path:
    """The shipped rule with a window that a test can wait for."""
    shipped = Path(__file__).parents[2] / "app" / "rules" / "credit.yaml"
    text = shipped.read_text(encoding="utf-8").replace(
        "{lag: 30s, lead: 10s, skew: 2s}", "{lag: 100ms, lead: 100ms, skew: 10ms}"
    )
    path = folder / "credit.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def parts_of(run: dict[str, Any]) -> dict[str, int]:
    assert sum(run[part] for part in PARTS) == run["checked"]
    return {part: run[part] for part in PARTS if run[part]}


async def judge_all(place: Place) -> None:
    """What a worker tells that has judged everything."""
    status = {"rule": RULE, "verified_through": "2100-01-01T00:00:00Z", "state": "live"}
    async with open_sender(place.settings.kafka, PARTITIONS) as sender:
        topic = place.settings.topic("drift.status")
        await sender.place(
            (
                topic,
                one,
                b"status|%s|%d" % (RULE.encode(), one),
                json.dumps(status | {"partition": one}).encode(),
            )
            for one in range(PARTITIONS)
        )


async def test_a_person_asks_follows_and_is_told_what_was_found(place: Place) -> None:
    await place.fill(range(1, 401))
    await place.connection.execute("UPDATE credit_lines SET credit_limit = 1 WHERE id = 7")
    await place.connection.execute("DELETE FROM credit_lines WHERE id = 8")
    await judge_all(place)
    async with place.sweeper(DRIFTWATCH_SWEEP_PAGE="100") as sweeper:
        await sweeper.until_ready()
        followed = await place.command("sweep", RULE, "--follow", "--json")
        metrics = await sweeper.metrics()
    assert followed.code == 0, followed.err
    last = json.loads(followed.out.splitlines()[-1])
    assert (last["state"], last["cause"], last["kind"]) == ("done", "person", "sweep")
    assert parts_of(last) == {"in_sync": 398, "in_flight": 2}
    assert 'driftwatch_sweep_runs_total{rule="credit-line",state="done"} 1.0' in metrics
    told = [json.loads(record.value) for record in await place.records("drift.observations")]
    assert sum("seeded" in one for one in told) == 2 * PARTITIONS
    assert {one["origin"] for one in told if "seeded" not in one} == {"sweep"}
    gone = [one for one in told if one.get("key") == address(8) and one["side"] == "left"]
    assert [(one["row"], one["value"]) for one in gone] == [(None, None)]


async def test_a_sweeper_that_was_killed_is_followed_by_one_that_goes_on_at_the_page(place: Place) -> None:
    await place.fill(range(1, 1201))
    await judge_all(place)
    slow = {"DRIFTWATCH_SWEEP_PAGE": "20", "DRIFTWATCH_SWEEP_RATE": "200"}
    async with place.sweeper(**slow) as sweeper:
        await sweeper.until_ready()
        await ask_sweeps(place.settings, [RULE], "drill", SystemClock().now_us())

        async def is_on_its_way() -> bool:
            runs = await place.runs()
            return bool(runs) and runs[-1]["checked"] >= 400

        await eventually(is_on_its_way, within=60)
        await sweeper.stop(signal.SIGKILL)
    before = (await place.runs())[-1]
    async with place.sweeper(DRIFTWATCH_SWEEP_PAGE="100"):
        done = await place.until_state("done")
    assert done["run"] == before["run"]
    assert done["started_at"] == before["started_at"]
    assert parts_of(done) == {"in_sync": 1200}
    rows = [
        body["key"]
        for record in await place.records("drift.observations")
        for body in [json.loads(record.value)]
        if body.get("side") == "left" and "key" in body
    ]
    assert len(set(rows)) == 1200
    assert len(rows) < 1200 + 700, "what was told before is not told again"


async def test_two_sweepers_share_the_work_and_one_sweep_of_a_rule_runs_at_a_time(place: Place) -> None:
    await place.fill(range(1, 101))
    await judge_all(place)
    other = place.environment | {"DRIFTWATCH_SWEEPER_PORT": str(free_port())}
    log = place.folder / "other.log"
    async with place.sweeper(), running_command("sweeper", environment=other, log=log):
        for cause in ("slot", "truncate", "retention"):
            await ask_sweeps(place.settings, [RULE], cause, SystemClock().now_us())
        done = await place.until_state("done")
    assert parts_of(done) == {"in_sync": 100}
    assert len({run["run"] for run in await place.runs()}) == 1


async def test_a_request_in_another_partition_is_sent_home_and_nonsense_is_refused(place: Place) -> None:
    await place.fill(range(1, 11))
    await judge_all(place)
    topic = place.settings.topic("drift.requests")
    request = json.dumps({"request": "sweep", "rule": RULE, "run": "r1", "cause": "offsets"}).encode()
    unknown = json.dumps({"request": "sweep", "rule": "no-such", "run": "r2", "cause": "x"}).encode()
    confirm = json.dumps({"request": "confirm", "rule": RULE, "key": "k"}).encode()
    async with open_sender(place.settings.kafka, PARTITIONS) as sender:
        await sender.place(
            (topic, one, b"k", body)
            for one in range(PARTITIONS)
            for body in (b"{no json", confirm, unknown, request)
        )
    other = place.environment | {"DRIFTWATCH_SWEEPER_PORT": str(free_port())}
    async with place.sweeper(), running_command("sweeper", environment=other, log=place.folder / "other.log"):
        done = await place.until_state("done")
    assert (done["run"], done["cause"]) == ("r1", "offsets")


async def test_a_sweep_stands_still_while_somebody_wants_that(place: Place) -> None:
    await place.fill(range(1, 301))
    await judge_all(place)
    async with place.sweeper(DRIFTWATCH_SWEEP_PAGE="20", DRIFTWATCH_SWEEP_RATE="100") as sweeper:
        await sweeper.until_ready()
        asked = await place.command("sweep", RULE)
        assert asked.code == 0
        await eventually(lambda: "sweep_asked" in sweeper.log.read_text(), within=30)
        assert (await place.command("sweep", RULE, "--pause")).code == 0
        paused = await place.until_state("paused")
        assert paused["checked"] < 300
        await send_requests(place.settings, [SweepRequest(RULE, "", "person", "resume")])
        assert parts_of(await place.until_state("done")) == {"in_sync": 300}


async def test_rows_and_entries_that_cannot_be_read_are_counted_and_the_run_goes_on(place: Place) -> None:
    await place.fill(range(1, 51))
    await place.connection.execute("ALTER TABLE credit_lines ALTER COLUMN wallet_address DROP NOT NULL")
    await place.connection.execute("UPDATE credit_lines SET wallet_address = NULL WHERE id = 3")
    await place.connection.execute("UPDATE credit_lines SET wallet_address = 'not an address' WHERE id = 4")
    await judge_all(place)
    async with place.sweeper(RECONCILIATION_RUN_IMMEDIATELY="true"):
        done = await place.until_state("done")
    assert done["cause"] == "start"
    assert parts_of(done) == {"in_sync": 48, "in_flight": 3, "errors": 1}


async def test_a_table_that_is_gone_fails_the_run_with_its_reason(place: Place) -> None:
    await place.connection.execute("DROP TABLE credit_lines")
    async with place.sweeper(RECONCILIATION_RUN_IMMEDIATELY="true"):

        async def is_tried_again() -> bool:
            return any(run["attempt"] == 2 for run in await place.runs())

        await eventually(is_tried_again, within=60)
    runs = {run["run"]: run for run in await place.runs()}
    assert sorted(run["state"] for run in runs.values()) == ["failed", "waiting"]
    assert any("no such table" in (run["why"] or "") for run in runs.values())


async def test_a_dead_letter_of_very_many_mismatches_is_one_that_the_broker_takes(place: Place) -> None:
    many = [
        {"key": address(number), "severity": "critical", "differences": ["…" * 100]} for number in range(9)
    ]
    log = SeedLog(place.settings, "n")
    run = SweepRun.asked(RULE, "person", 1_795_000_000_000_000, "r1").record()
    try:
        await log.bury_run(run, many * 1000)
    finally:
        await log.close()
    [letter] = await place.records("drift.dead-letters")
    body = json.loads(letter.value)
    assert body["run"]["run"] == "r1"
    assert 500_000 < len(letter.value) < 600_000
    assert body["mismatches"][:9] == many

"""`driftwatch compare` on a real database and a served chain: nothing else is there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from app.clock import SystemClock
from app.demo.chain import DemoChain
from app.demo.credit_contract import borrower_address
from app.demo.lines import STROOPS, Line
from tests.support.commands import Finished, run_command, running_command
from tests.support.services import Services
from tests.support.waiting import eventually

NETWORK = "compare test network"
CREATE = (Path(__file__).parents[2] / "app" / "demo" / "sql" / "schema.sql").read_text(encoding="utf-8")
INSERT = (
    "INSERT INTO credit_lines (id, wallet_address, credit_limit, available_credit, interest_rate_bps, status)"
    " VALUES ($1, $2, $3::text::numeric, $3::text::numeric, 500, $4)"
)


@dataclass
class Place:
    """Two sides and a command."""

    connection: asyncpg.Connection[Any]
    chain: DemoChain
    environment: Mapping[str, str]

    async def row(self, number: int, limit: str, status: str = "active", key: int | None = None) -> None:
        await self.connection.execute(INSERT, number, address(number if key is None else key), limit, status)

    def entry(self, number: int, limit: int) -> None:
        self.chain.write(address(number), Line(limit * STROOPS, 0, 500), "opened")

    async def compare(self, *words: str) -> Finished:
        return await run_command("compare", *words, environment=self.environment)


def address(number: int) -> str:
    return borrower_address(77, number)


@pytest.fixture
async def place(services: Services, request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async with opened(services.database, f"compare_{abs(hash(request.node.name)) % 10**8}") as found:
        yield found


@asynccontextmanager
async def opened(database: str, name: str) -> AsyncIterator[Place]:
    """A database of its own and a chain of its own."""
    clock = SystemClock()
    admin = await asyncpg.connect(database)
    await admin.execute(f"CREATE DATABASE {name}")
    dsn = urlsplit(database)._replace(path=f"/{name}").geturl()
    connection = await asyncpg.connect(dsn)
    await connection.execute(CREATE)
    try:
        async with DemoChain(NETWORK, clock) as chain:
            environment = {
                "DRIFTWATCH_KAFKA": "127.0.0.1:1",
                "DRIFTWATCH_DATABASE": dsn,
                "SOROBAN_RPC_URL": chain.url,
                "STELLAR_NETWORK_PASSPHRASE": NETWORK,
                "CREDIT_CONTRACT_ID": chain.contract_id,
            }
            yield Place(connection, chain, environment)
    finally:
        await connection.close()
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


def lines(finished: Finished) -> list[dict[str, Any]]:
    return [json.loads(line) for line in finished.out.splitlines()]


async def test_equal_sides_are_in_sync_and_the_exit_code_is_0(place: Place) -> None:
    for number in range(1, 8):
        await place.row(number, "1000")
        place.entry(number, 1000)
    place.chain.close(SystemClock().now_us())
    found = await place.compare("--page-size", "3", "--json")
    assert (found.code, found.err) == (0, "")
    assert lines(found) == [
        {
            "rule": "credit-line",
            "counts": {
                "checked": 7,
                "in_sync": 7,
                "different": 0,
                "exempt": 0,
                "unsettled": 0,
                "unverifiable": 0,
                "unreadable": 0,
                "refused": 0,
            },
        }
    ]


async def test_each_kind_of_difference_is_told_by_its_key_and_the_exit_code_is_1(place: Place) -> None:
    await place.row(1, "1000")
    await place.row(2, "999")
    await place.row(3, "1000")
    await place.row(5, "1000")
    await place.connection.execute("UPDATE credit_lines SET deleted_at = now() WHERE id = 5")
    for number in (1, 2, 4, 5):
        place.entry(number, 1000)
    place.chain.close(SystemClock().now_us())
    found = await place.compare("--json", "--wait", "100ms")
    assert found.code == 1
    told = {one["key"]: one["differences"] for one in lines(found)[:-1]}
    assert {
        key: [(one["field"], one["left"], one["right"]) for one in each] for key, each in told.items()
    } == {
        address(2): [("creditLimit", "999", "1000"), ("availableCredit", "999", "1000")],
        address(3): [("existence", "present", "absent")],
        address(4): [("existence", "absent", "present")],
        address(5): [("existence", "absent", "present")],
    }
    assert lines(found)[-1]["counts"]["checked"] == 5
    as_text = await place.compare("--wait", "100ms")
    assert as_text.code == 1
    assert address(2) in as_text.out
    assert "creditLimit" in as_text.out
    assert "5 checked, 1 in sync, 4 different" in as_text.out


async def test_two_rows_under_a_key_are_a_duplicate_wherever_they_stand(place: Place) -> None:
    await place.connection.execute("DROP INDEX credit_lines_wallet_address")
    for number, key in ((1, 1), (2, 2), (3, 3), (9, 1)):
        await place.row(number, "1000", key=key)
    for number in (1, 2, 3):
        place.entry(number, 1000)
    place.chain.close(SystemClock().now_us())
    found = await place.compare("--json", "--wait", "100ms", "--page-size", "2")
    assert found.code == 1
    [told, counts] = lines(found)
    assert (told["key"], told["differences"][0]["left"]) == (address(1), "duplicate")
    assert (counts["counts"]["checked"], counts["counts"]["in_sync"]) == (3, 2)


async def test_what_is_repaired_between_the_reads_is_no_difference(place: Place, tmp_path: Path) -> None:
    await place.row(1, "999")
    place.entry(1, 1000)
    place.chain.close(SystemClock().now_us())
    log, words = tmp_path / "log", ("compare", "--json", "--wait", "3s")
    async with running_command(*words, environment=place.environment, log=log) as comparing:
        await eventually(lambda: "1 keys differ" in log.read_text(), within=30)
        await place.connection.execute("UPDATE credit_lines SET credit_limit = 1000, available_credit = 1000")
        assert await comparing.process.wait() == 0
    assert json.loads(log.read_text().splitlines()[-1])["counts"]["in_sync"] == 1


async def test_what_cannot_be_read_and_who_does_not_answer_are_trouble(place: Place) -> None:
    unreachable = {**place.environment, "DRIFTWATCH_DATABASE": "postgresql://nobody@127.0.0.1:1/none"}
    await place.connection.execute("ALTER TABLE credit_lines DROP COLUMN status")
    found = await place.compare()
    assert found.code == 2
    assert "status" in found.err
    found = await run_command("compare", "no-such-rule", environment=unreachable)
    assert found.code == 2
    assert "rules are: credit-line" in found.err

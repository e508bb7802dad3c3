"""What a person configured wrong, or what is not there: one clear line, and nothing half-done."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from app.demo.rows import SCHEMA
from app.native.child import free_port
from tests.support.commands import run_command
from tests.support.services import Services
from tests.support.soroban_node import CONTRACT, PASSPHRASE, Node, running_node


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with running_node() as found:
        found.close()
        yield found


@pytest.fixture
async def environment(services: Services, node: Node) -> dict[str, str]:
    """Everything right, but for a database of its own that has no table yet."""
    name = f"bad_input_{free_port()}"
    connection = await asyncpg.connect(services.database)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return {
        "DRIFTWATCH_KAFKA": services.kafka,
        "DRIFTWATCH_DATABASE": services.database.rpartition("/")[0] + f"/{name}",
        "DRIFTWATCH_TOPIC_PREFIX": f"{name}.",
        "DRIFTWATCH_APP_ID": name,
        "DRIFTWATCH_SLOT": name,
        "SOROBAN_RPC_URL": node.url,
        "STELLAR_NETWORK_PASSPHRASE": PASSPHRASE,
        "CREDIT_CONTRACT_ID": CONTRACT,
    }


def line_of(text: str, subject: str) -> str:
    """The line that `driftwatch check` wrote about a subject."""
    [found] = [line for line in text.splitlines() if line[6:].startswith(subject)]
    return found


async def make_table(environment: dict[str, str], *more: str) -> None:
    connection = await asyncpg.connect(environment["DRIFTWATCH_DATABASE"])
    for statement in (SCHEMA, *more):
        await connection.execute(statement)
    await connection.close()


async def test_check_is_all_right_once_the_administrator_has_run_what_it_asks_for(
    environment: dict[str, str],
) -> None:
    await make_table(environment)
    before = await run_command("check", environment=environment)
    assert before.code == 1
    assert "driftwatch connect --create-slot" in line_of(before.out, "slot ")
    asked = await run_command("check", "--sql", environment=environment)
    wanted = [line for line in asked.out.splitlines() if line.startswith(("CREATE PUB", "SELECT pg_create"))]
    await make_table_ready(environment, wanted)
    after = await run_command("check", environment=environment)
    to_mend = [line for line in after.out.splitlines() if line.startswith("FIX")]
    assert to_mend == [line_of(after.out, "ledger clock")], "the node's ledgers are of another day"
    assert line_of(after.out, "table public.credit_lines").startswith("ok")


async def make_table_ready(environment: dict[str, str], statements: list[str]) -> None:
    connection = await asyncpg.connect(environment["DRIFTWATCH_DATABASE"])
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def test_a_table_that_is_not_there_is_named(environment: dict[str, str]) -> None:
    result = await run_command("check", environment=environment)
    assert result.code == 1
    assert line_of(result.out, "table public.credit_lines").startswith("FIX")
    assert "there is no such table" in result.out


async def test_a_column_that_is_not_there_is_named_with_those_that_are(environment: dict[str, str]) -> None:
    await make_table(environment, "ALTER TABLE public.credit_lines DROP COLUMN status")
    line = line_of((await run_command("check", environment=environment)).out, "table public.credit_lines")
    assert line.startswith("FIX")
    assert "it has no column status" in line
    assert "interest_rate_bps" in line


async def test_a_key_outside_the_replica_identity_is_refused_with_the_statement(
    environment: dict[str, str],
) -> None:
    await make_table(environment, "ALTER TABLE public.credit_lines REPLICA IDENTITY DEFAULT")
    refused = await run_command("connect", "--create-slot", environment=environment)
    assert refused.code == 2
    assert "does not cover the key column wallet_address" in refused.err
    assert "ALTER TABLE public.credit_lines REPLICA IDENTITY FULL" in refused.err


async def test_the_connector_is_not_started_without_its_slot(environment: dict[str, str]) -> None:
    await make_table(environment, "CREATE PUBLICATION driftwatch FOR TABLE public.credit_lines")
    refused = await run_command("connect", environment=environment)
    assert refused.code == 2
    assert f"slot {environment['DRIFTWATCH_SLOT']}: it is missing" in refused.err
    assert "--create-slot" in refused.err


async def test_a_node_of_another_network_is_refused_by_both_names(environment: dict[str, str]) -> None:
    wrong = environment | {"STELLAR_NETWORK_PASSPHRASE": "another network"}
    refused = await run_command("poller", environment=wrong)
    assert refused.code == 2
    assert PASSPHRASE in refused.err
    assert "another network" in refused.err
    assert "FIX   network passphrase" in (await run_command("check", environment=wrong)).out


async def test_services_that_do_not_answer_are_each_named_at_once(environment: dict[str, str]) -> None:
    wrong = environment | {
        "DRIFTWATCH_KAFKA": "127.0.0.1:1",
        "DRIFTWATCH_DATABASE": "postgresql://postgres@127.0.0.1:1/postgres",
        "SOROBAN_RPC_URL": "http://127.0.0.1:1",
    }
    result = await run_command("check", environment=wrong)
    assert result.code == 1
    for subject, remedy in (
        ("kafka", "is the broker up?"),
        ("database", "is PostgreSQL up"),
        ("rpc", "SOROBAN_RPC_URL"),
    ):
        assert remedy in line_of(result.out, subject)


async def test_a_password_is_never_shown(environment: dict[str, str]) -> None:
    secret = "postgresql://postgres:hunter2-secret@127.0.0.1:1/postgres"
    wrong = environment | {"DRIFTWATCH_DATABASE": secret}
    shown = await run_command("check", environment=wrong)
    assert "is PostgreSQL up" in shown.out
    assert "hunter2-secret" not in shown.out + shown.err


async def test_the_worker_refuses_topics_with_another_partition_count(environment: dict[str, str]) -> None:
    made = await run_command("topics", environment=environment | {"DRIFTWATCH_PARTITIONS": "2"})
    assert made.code == 0
    refused = await run_command("worker", environment=environment | {"DRIFTWATCH_PARTITIONS": "3"})
    assert refused.code == 2
    assert "has 2 partitions instead of 3" in refused.err


async def test_every_problem_of_a_rule_file_is_named_at_once(tmp_path: Path) -> None:
    rule = tmp_path / "broken.yaml"
    rule.write_text("rule: Bad Name\nversion: 0\nkind: stat\nleft: {tabel: x}\nfields: {}\n")
    result = await run_command("rules", "check", str(rule))
    assert result.code == 1
    for path in ("rule:", "version:", "kind:", "left.tabel:", "right:"):
        assert path in result.out


async def test_settings_that_are_wrong_are_named_together(environment: dict[str, str]) -> None:
    wrong = environment | {"DRIFTWATCH_PARTITIONS": "none", "DRIFTWATCH_HEARTBEAT_MS": "1"}
    refused = await run_command("worker", environment=wrong)
    assert refused.code == 2
    assert "partitions" in refused.err
    assert "heartbeat_ms" in refused.err


@pytest.mark.parametrize("command", ["worker", "poller", "sweeper", "connect"])
async def test_a_port_that_somebody_else_has_is_named_with_its_setting(
    environment: dict[str, str], command: str
) -> None:
    await make_table(environment)
    setting = f"DRIFTWATCH_{command.upper()}_PORT"
    assert (await run_command("topics", environment=environment)).code == 0
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = await run_command(command, environment=environment | {setting: str(port)})
    assert refused.code == 2
    assert f"127.0.0.1:{port}" in refused.err
    assert f"set {setting}" in refused.err

"""A rule for a table and a contract of one's own, from nothing to a verdict, on a real database."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from stellar_sdk import StrKey, xdr

from app.clock import SystemClock
from app.demo.rpc.server import Server
from connectors.soroban import keys
from tests.support import wasm
from tests.support.chain_world import PASSPHRASE
from tests.support.commands import Finished, run_command
from tests.support.services import Services
from tests.support.token_world import EXAMPLE, TOKEN, TokenWorld, holder

LENDING = StrKey.encode_contract(b"lending contract of the test 001")
LOANS = """
CREATE TABLE public.loans (
    id bigint PRIMARY KEY,
    wallet_address text NOT NULL,
    principal numeric(27, 7) NOT NULL,
    repaid numeric(27, 7) NOT NULL,
    rate_bps integer NOT NULL,
    loan_state text NOT NULL,
    opened_at timestamptz NOT NULL,
    deleted_at timestamptz
)
"""
LOAN = (
    "INSERT INTO loans VALUES ($1, $2, $3::text::numeric, 0, 500, 'active', to_timestamp(1795000000), NULL)"
)


@dataclass
class Place:
    connection: asyncpg.Connection[Any]
    world: TokenWorld
    environment: dict[str, str]

    async def run(self, *words: str) -> Finished:
        return await run_command(*words, environment=self.environment)


@asynccontextmanager
async def opened(services: Services, name: str, folder: Path) -> AsyncIterator[Place]:
    """A database and a network of its own, told by a configuration file in `folder`."""
    admin = await asyncpg.connect(services.database)
    await admin.execute(f"CREATE DATABASE {name}")
    dsn = urlsplit(services.database)._replace(path=f"/{name}").geturl()
    connection = await asyncpg.connect(dsn)
    world = TokenWorld()
    world.clock.at_us = SystemClock().now_us() // 1_000_000 * 1_000_000
    try:
        async with Server(world.node) as server:
            config = folder / "driftwatch.yaml"
            config.write_text(
                f"database: ${{THE_DATABASE}}\nrpc_url: {server.url}\nnetwork_passphrase: {PASSPHRASE}\n"
                "rules:\n  - rules/*.yaml\n",
                encoding="utf-8",
            )
            environment = {"DRIFTWATCH_CONFIG": str(config), "THE_DATABASE": dsn}
            environment |= {name: "" for name in ("DRIFTWATCH_DATABASE", "DRIFTWATCH_RULES")}
            yield Place(connection, world, environment)
    finally:
        await connection.close()
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


async def test_a_scaffold_of_an_unknown_contract_compares_at_once(services: Services, tmp_path: Path) -> None:
    async with opened(services, "own_loans", tmp_path) as place:
        await place.connection.execute(LOANS)
        place.world.put(*wasm.deployed(LENDING, wasm.LOANS))
        for number in (1, 2, 3):
            under = keys.variant("Loan", keys.address_value(holder(number)))
            place.world.put(wasm.stored(LENDING, under, wasm.loan(holder(number), 1000 * 10_000_000)))
            await place.connection.execute(LOAN, number, holder(number), "1000" if number != 2 else "999")
        place.world.close()
        rules = tmp_path / "rules"

        made = await place.run("rules", "scaffold", LENDING, "loans", "--to", str(rules))
        assert made.code == 0, made.err
        assert {path.name for path in rules.iterdir()} == {"loan.yaml", "loan_decoder.py"}
        checked = await place.run("rules", "check")
        assert (checked.code, checked.err) == (0, "")
        assert "ok    loan version 1: existence and 6 fields, public.loans by wallet_address" in checked.out
        compared = await place.run("compare", "--json", "--wait", "10ms")
        assert compared.code == 1, compared.err
        [told, counts] = [json.loads(line) for line in compared.out.splitlines()]
        assert (told["key"], [one["field"] for one in told["differences"]]) == (holder(2), ["principal"])
        assert (counts["counts"]["checked"], counts["counts"]["in_sync"]) == (3, 2)
        again = await place.run("rules", "scaffold", LENDING, "loans", "--to", str(rules))
        assert again.code == 2
        assert "it is there already" in again.err


async def test_contracts_and_tables_without_a_rule_in_them_are_told_apart(
    services: Services, tmp_path: Path
) -> None:
    async with opened(services, "own_none", tmp_path) as place:
        await place.connection.execute(LOANS)
        asset = xdr.ContractExecutable(xdr.ContractExecutableType.CONTRACT_EXECUTABLE_STELLAR_ASSET)
        instance = xdr.SCContractInstance(asset, xdr.SCMap([]))
        held = xdr.SCVal(xdr.SCValType.SCV_CONTRACT_INSTANCE, instance=instance)
        place.world.put(wasm.stored(TOKEN, xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE), held))
        place.world.close()
        for contract, table, told in (
            (TOKEN, "loans", "app/rules/examples/token-balance"),
            (LENDING, "loans", "no such contract on this network"),
            (LENDING, "nothing", "there is no such table"),
            ("CABC", "loans", "no contract id"),
        ):
            found = await place.run("rules", "scaffold", contract, table, "--to", str(tmp_path))
            assert found.code == 2
            assert told in found.err


async def test_the_token_example_finds_what_differs(services: Services, tmp_path: Path) -> None:
    async with opened(services, "own_tokens", tmp_path) as place:
        readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
        await place.connection.execute(readme.split("```sql\n")[1].split("```")[0])
        insert = "INSERT INTO token_balances VALUES ($1, $2::text::numeric)"
        for number, balance in ((1, "7"), (2, "3.5"), (3, "1")):
            await place.connection.execute(insert, holder(number), balance)
        place.world.set_balance(holder(1), 70_000_000)
        place.world.set_balance(holder(2), 30_000_000, as_map=True)
        place.world.close()
        place.environment |= {"TOKEN_CONTRACT_ID": TOKEN, "DRIFTWATCH_RULES": str(EXAMPLE / "rule.yaml")}
        found = await place.run("compare", "--json", "--wait", "10ms")
        assert found.code == 1, found.err
        told = [json.loads(line) for line in found.out.splitlines()]
        assert {each["key"]: [one["field"] for one in each["differences"]] for each in told[:-1]} == {
            holder(2): ["balance"],
            holder(3): ["existence"],
        }
        assert told[-1]["counts"]["in_sync"] == 1

"""A mapping table: which contract each key has, all of them or some."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
from pydantic import SecretStr

from app.errors import Fatal, Transient
from app.rules import ContractTable
from connectors.postgres.table import sql

_COMMAND_TIMEOUT_S = 60.0


class ContractReader:
    """Reads mapping tables of one database; one connection, opened when it is needed and after each failure,
    used by one call at a time."""

    def __init__(self, database: SecretStr) -> None:
        self._database = database
        self._connection: asyncpg.Connection[Any] | None = None
        self._statements: dict[tuple[ContractTable, bool], str] = {}
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, table: ContractTable, keys: Sequence[str] | None = None) -> Mapping[str, str]:
        """Contract by key, of one statement; `keys`: of these alone. Keys without one are left out.

        Raises `Transient` for trouble with the connection, and `Fatal` for a table or a column that is not
        there.
        """
        async with self._one_at_a_time:
            try:
                connection = await self._open()
                statement = await self._statement(connection, table, is_keyed=keys is not None)
                found = await connection.fetch(statement, *([] if keys is None else [list(keys)]))
            except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
                hint = "check right.mapping in the rule"
                raise Fatal("reading the table", table.table, error, hint) from error
            except (
                OSError,
                TimeoutError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,
            ) as error:
                await self.close()
                raise Transient("reading the table", table.table, type(error).__name__) from error
        return {record["key"]: record["contract"] for record in found}

    async def close(self) -> None:
        """Close the connection; the reader may be used again afterwards."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _open(self) -> asyncpg.Connection[Any]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._database.get_secret_value(),
                command_timeout=_COMMAND_TIMEOUT_S,
                server_settings={"application_name": "driftwatch mapping"},
            )
        return self._connection

    async def _statement(
        self, connection: asyncpg.Connection[Any], table: ContractTable, *, is_keyed: bool
    ) -> str:
        """The statement for this table; all quoting is the server's."""
        statement = self._statements.get((table, is_keyed))
        if statement is None:
            schema, _, name = table.table.rpartition(".")
            template = sql("contracts_of" if is_keyed else "contracts")
            statement = await connection.fetchval(
                template, table.key, table.contract, schema or "public", name
            )
            self._statements[table, is_keyed] = statement = str(statement)
        return statement

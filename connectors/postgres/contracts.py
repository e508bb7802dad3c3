"""A mapping table as a whole: which contract each key has."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg
from pydantic import SecretStr

from app.errors import Fatal, Transient
from app.rules import ContractTable
from connectors.postgres.table import sql


async def read_contracts(database: SecretStr, table: ContractTable) -> Mapping[str, str]:
    """Contract by key, of one statement. Raises `Transient` for trouble with the connection, and `Fatal` for
    a table or a column that is not there."""
    schema, _, name = table.table.rpartition(".")
    try:
        connection = await asyncpg.connect(database.get_secret_value(), command_timeout=60)
        try:
            statement = await connection.fetchval(
                sql("contracts"), table.key, table.contract, schema or "public", name
            )
            found = await connection.fetch(statement)
        finally:
            await connection.close()
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        raise Fatal("reading the table", table.table, error, "check right.mapping in the rule") from error
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Transient("reading the table", table.table, type(error).__name__) from error
    return {record["key"]: record["contract"] for record in found}

"""The columns of a table as the catalogue tells them, for whoever writes a rule."""

from __future__ import annotations

import asyncpg
from pydantic import SecretStr

from app.errors import Fatal, Transient
from app.rules.scaffold import Column
from connectors.postgres.table import sql


async def read_columns(database: SecretStr, table: str) -> tuple[Column, ...]:
    """In the order of the table. Raises `Transient` for trouble with the connection, and `Fatal` where there
    is no such table."""
    schema, _, name = table.rpartition(".")
    try:
        connection = await asyncpg.connect(database.get_secret_value(), command_timeout=60)
        try:
            found = await connection.fetch(sql("columns"), schema or "public", name)
        finally:
            await connection.close()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        cause = f"{type(error).__name__} {error}".strip()
        raise Transient("reading the table", table, cause, "check DRIFTWATCH_DATABASE") from error
    if not found:
        raise Fatal(
            "reading the table", table, "there is no such table", "schema.table, such as public.loans"
        )
    return tuple(
        Column(
            row["name"], row["type"], row["key_place"], row["form"] is not None and not row["is_generated"]
        )
        for row in found
    )

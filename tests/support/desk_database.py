"""A database with schema recon in it, and rows for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import orjson
from pydantic import SecretStr

from app.cases import Act
from connectors.postgres.desk_api.records import DeskRecords
from connectors.postgres.migrations.upgrading import upgrade

KEYS = {
    "episodes": "episode",
    "transitions": "ce_id",
    "runs": "rule, run",
    "status": "rule, partition",
    "dead_letters": "id",
}
DERIVED = ("episodes", "transitions", "runs", "status", "dead_letters", "exceptions_work")


@contextmanager
def migrated_database(server: str, name: str) -> Iterator[str]:
    """The DSN of a new database at the newest revision; it is dropped afterwards."""

    async def create() -> str:
        admin = await asyncpg.connect(server)
        await admin.execute(f"CREATE DATABASE {name}")
        await admin.close()
        dsn = urlsplit(server)._replace(path=f"/{name}").geturl()
        await upgrade(SecretStr(dsn))
        return dsn

    async def drop() -> None:
        admin = await asyncpg.connect(server)
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await admin.close()

    try:
        yield asyncio.run(create())
    finally:
        asyncio.run(drop())


async def connect(dsn: str) -> asyncpg.Connection[Any]:
    """A connection that takes and gives jsonb as values."""
    connection = await asyncpg.connect(dsn)
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: orjson.dumps(value).decode(),
        decoder=orjson.loads,
    )
    return connection


async def put(connection: asyncpg.Connection[Any], table: str, *rows: Mapping[str, Any]) -> None:
    """Write rows; one with the same key is replaced."""
    for row in rows:
        names = list(row)
        places = ", ".join(f"${number}" for number in range(1, len(names) + 1))
        changes = ", ".join(f"{name} = excluded.{name}" for name in names)
        await connection.execute(
            f"INSERT INTO recon.{table} ({', '.join(names)}) VALUES ({places}) "  # noqa: S608 - test data
            f"ON CONFLICT ({KEYS[table]}) DO UPDATE SET {changes}",
            *row.values(),
        )


class PostgresDesk:
    """Records of a real database, empty at first."""

    def __init__(self, records: DeskRecords, connection: asyncpg.Connection[Any], first_line: int) -> None:
        self.records, self._connection, self._first_line = records, connection, first_line

    @classmethod
    async def open(cls, records: DeskRecords, connection: asyncpg.Connection[Any]) -> PostgresDesk:
        """Forget what was there, but for the audit log, which forgets nothing."""
        await connection.execute(f"TRUNCATE {', '.join(f'recon.{table}' for table in DERIVED)}")
        lines = await connection.fetchval("SELECT count(*) FROM recon.audit")
        return cls(records, connection, lines + 1)

    async def put(self, table: str, *rows: Mapping[str, Any]) -> None:
        """See `put`."""
        await put(self._connection, table, *rows)

    async def audit(self) -> Sequence[Act]:
        """The lines of this test."""
        lines = await self._connection.fetch(
            "SELECT who, what, subject, at, detail FROM recon.audit WHERE number >= $1 ORDER BY number",
            self._first_line,
        )
        return [Act(*line) for line in lines]

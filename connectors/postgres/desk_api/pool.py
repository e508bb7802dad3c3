"""A few connections to the desk's database, and what their failures mean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, Final, TypeAlias

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy
from pydantic import SecretStr

from app.errors import DriftwatchError, Fatal, Transient

_SQL: Final = files("connectors.postgres.desk_api") / "sql"
_PASSING: Final = ("08", "40", "53", "55", "57")
"""SQLSTATE classes of trouble that ends by itself."""
_MISSING: Final = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidSchemaNameError,
)
_TROUBLE: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_MOST: Final = 8
_WAIT_S: Final = 5.0

Connection: TypeAlias = "PoolConnectionProxy[Any]"


def sql(name: str) -> str:
    """A statement of this package."""
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")


class DeskPool:
    """At most eight connections, opened when they are needed; it starts without a database.

    A block inside `use` raises `Transient` for trouble that may pass, `Fatal` for a schema that is not there.
    """

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    @asynccontextmanager
    async def use(self, operation: str) -> AsyncIterator[Connection]:
        """A connection for one short piece of work."""
        try:
            async with self._pool.acquire(timeout=_WAIT_S) as connection:
                yield connection
        except _TROUBLE as error:
            raise _meaning(operation, error) from error


@asynccontextmanager
async def open_pool(database: SecretStr) -> AsyncIterator[DeskPool]:
    """The pool; its connections are closed afterwards, within a few seconds."""
    pool = asyncpg.create_pool(
        database.get_secret_value(),
        min_size=0,
        max_size=_MOST,
        timeout=_WAIT_S,
        command_timeout=_WAIT_S,
        max_inactive_connection_lifetime=60.0,
        init=_prepare,
        # a filter that is not used must cost nothing: plans are made for the parameters at hand
        server_settings={"application_name": "driftwatch api", "plan_cache_mode": "force_custom_plan"},
    )
    await pool
    try:
        yield DeskPool(pool)
    finally:
        try:
            await asyncio.wait_for(pool.close(), _WAIT_S)
        except (TimeoutError, *_TROUBLE):
            pool.terminate()


async def _prepare(connection: asyncpg.Connection[Any]) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: orjson.dumps(value).decode(),
        decoder=orjson.loads,
    )


def _meaning(operation: str, error: Exception) -> DriftwatchError:
    state = getattr(error, "sqlstate", None)
    if isinstance(error, _MISSING):
        return Fatal(operation, "schema recon", error, "run `driftwatch migrate`")
    if state is None or state[:2] in _PASSING:
        return Transient(operation, "the desk's database", f"{type(error).__name__} {error}".strip())
    return Fatal(
        operation, "the desk's database", f"{state} {error}", "check the role of DRIFTWATCH_DESK_DATABASE"
    )

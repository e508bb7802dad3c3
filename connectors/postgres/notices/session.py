"""One connection of the outbox, opened when it is needed and after each failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from typing import Any, Final

import asyncpg
from pydantic import SecretStr

from app.errors import DriftwatchError, Fatal, Transient

_SUBJECT: Final = "schema recon"
_COMMAND_TIMEOUT_S: Final = 30.0
_PASSING: Final = ("08", "25", "40", "53", "55", "57")
"""SQLSTATE classes of trouble that ends by itself: connection, a server that only reads, rollback, resources,
in use, intervention."""
_UNMADE: Final = ("3F000", "42P01", "42703")
_TROUBLE: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


@cache
def sql(name: str) -> str:
    """A statement of the outbox."""
    return (files("connectors.postgres.notices") / "sql" / f"{name}.sql").read_text(encoding="utf-8")


class Session:
    """A transaction at a time. Raises `Transient` for trouble that may pass, and `Fatal` for the rest."""

    def __init__(self, database: SecretStr) -> None:
        self._database = database
        self._connection: asyncpg.Connection[Any] | None = None
        self._turn = asyncio.Lock()

    @property
    def connection(self) -> object:
        """The open connection, None where there is none: what it holds ends with it."""
        connection = self._connection
        return None if connection is None or connection.is_closed() else connection

    async def close(self) -> None:
        """Close the connection; it may be used again afterwards."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    @asynccontextmanager
    async def transaction(self, operation: str) -> AsyncIterator[asyncpg.Connection[Any]]:
        """One transaction, committed where the block ends well."""
        async with self._turn:
            try:
                connection = await self._open()
                async with connection.transaction():
                    yield connection
            except _TROUBLE as error:
                await self.close()
                raise _told(operation, error) from error
            except asyncio.CancelledError:
                await self.close()
                raise

    async def _open(self) -> asyncpg.Connection[Any]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._database.get_secret_value(),
                command_timeout=_COMMAND_TIMEOUT_S,
                server_settings={
                    "application_name": "driftwatch notifier",
                    "tcp_keepalives_idle": "10",
                    "tcp_keepalives_interval": "5",
                    "tcp_keepalives_count": "3",
                },
            )
        return self._connection


def _told(operation: str, error: Exception) -> DriftwatchError:
    state = getattr(error, "sqlstate", None)
    if state is None or state[:2] in _PASSING:
        return Transient(operation, _SUBJECT, f"{type(error).__name__} {error}".strip())
    hint = "run driftwatch migrate" if state in _UNMADE else "check DRIFTWATCH_DESK_DATABASE and its role"
    return Fatal(operation, _SUBJECT, f"{state} {error}", hint)

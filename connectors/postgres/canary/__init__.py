"""The canary's table: rows that are planted, and taken away again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import asyncpg
from pydantic import SecretStr

from app.errors import Fatal, Transient

_SQL: Final = Path(__file__).parent / "sql"
_TROUBLE: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
_HINT: Final = "make it with `driftwatch canary --create`, and add it to the publication"


def statement(name: str) -> str:
    """A statement of this package; `create` is what an administrator runs."""
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")


class CanaryTable:
    """Implements `app.desk.canary.Planting`; one connection, opened when it is needed and after each
    failure."""

    def __init__(self, database: SecretStr) -> None:
        self._database = database
        self._connection: asyncpg.Connection[Any] | None = None

    async def close(self) -> None:
        """Close the connection; the table may be used again afterwards."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def create(self) -> None:
        """The table is there afterwards. Raises `Transient`."""
        await self._run("create")

    async def plant(self, name: str) -> None:
        """The row is committed when this returns. Raises `Transient`, and `Fatal` without the table."""
        await self._run("plant", name)

    async def heal(self, name: str) -> None:
        """It is gone."""
        await self._run("heal", name)

    async def heal_all(self) -> None:
        """So are all that a canary before us has left."""
        await self._run("heal_all")

    async def _run(self, name: str, *values: str) -> None:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await asyncpg.connect(
                    self._database.get_secret_value(),
                    command_timeout=10,
                    server_settings={"application_name": "driftwatch canary"},
                )
            await self._connection.execute(statement(name), *values)
        except asyncpg.UndefinedTableError as error:
            raise Fatal("planting in", "public.driftwatch_canary", error, _HINT) from error
        except _TROUBLE as error:
            await self.close()
            raise Transient("planting in", "public.driftwatch_canary", error) from error

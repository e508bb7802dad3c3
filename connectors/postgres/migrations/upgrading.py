"""Brings schema `recon` to the newest revision, or prints how.

Alembic orders the revisions, keeps the version and writes the statements; asyncpg executes them: neither a
second driver nor a thread is needed, and what is printed is what is executed.
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any, Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from pydantic import SecretStr

from app.errors import Fatal, Transient
from connectors.postgres.migrations.statements import sql

_HINT: Final = "is the database up, and may this role create a schema in it?"


async def upgrade(database: SecretStr) -> tuple[str | None, str]:
    """The revision before and after; all of it is one transaction, and one at a time.

    Raises `Transient` without a connection, and `Fatal` where the database refuses a statement or was
    migrated by a newer version of this program.
    """
    try:
        connection = await asyncpg.connect(database.get_secret_value(), command_timeout=600)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Transient("connecting to", "the desk's database", error, _HINT) from error
    try:
        async with connection.transaction():
            await connection.execute(sql("lock"))
            before = await _version(connection)
            if before != newest():
                await connection.execute(statements(before))
            return before, newest()
    except asyncpg.PostgresError as error:
        raise Fatal("migrating", "schema recon", error, _HINT) from error
    finally:
        await connection.close()


async def _version(connection: asyncpg.Connection[Any]) -> str | None:
    if not await connection.fetchval(sql("has_versions")):
        return None
    found: str | None = await connection.fetchval(sql("version"))
    return found


def newest() -> str:
    """The last revision of this program."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise Fatal("looking for", "revisions", "there is none", "install the package again")
    return head


def statements(after: str | None = None, *, is_transactional: bool = False) -> str:
    """The SQL from a revision (None: from nothing) to the newest; no database is needed.

    `is_transactional`: with BEGIN and COMMIT. Raises `Fatal` for a revision that is not known.
    """
    written = StringIO()
    config = _config()
    config.output_buffer = written
    config.attributes["is_transactional"] = is_transactional
    try:
        command.upgrade(config, "head" if after is None else f"{after}:head", sql=True)
    except CommandError as error:
        raise Fatal(
            "migrating",
            "schema recon",
            error,
            "it was migrated by a newer version of driftwatch: use that one",
        ) from error
    return written.getvalue()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config

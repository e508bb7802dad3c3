"""API keys and the audit log, as the command line keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg

from app.cases import KeyRecord, Role, Row, Scope
from app.errors import Fatal
from connectors.postgres.desk_api.pool import DeskPool, sql

_OPERATION: Final = "keeping API keys"


@dataclass(frozen=True, slots=True)
class AuditState:
    """`forgotten`: so many lines were deleted before the first one that is left. `broken_at`: the first line
    that is not what was written, or does not follow the one before it."""

    lines: int
    forgotten: int
    broken_at: int | None
    last_hash: str | None


class DeskKeys:
    """Each change and its line in the audit log are one transaction. Raises what the pool raises."""

    def __init__(self, pool: DeskPool) -> None:
        self._pool = pool

    async def add(self, key: KeyRecord, who: str) -> None:
        """Keep a new key. Raises `Fatal` where a good key has its name."""
        rules = None if key.scope.rules is None else sorted(key.scope.rules)
        detail: Row = {"id": key.id, "role": key.role, "rules": rules}
        try:
            async with self._pool.use(_OPERATION) as connection, connection.transaction():
                kept = (key.id, key.name, key.hash, key.role, rules, key.created_at, key.expires_at)
                await connection.execute(sql("add_key"), *kept)
                await connection.execute(
                    sql("append_audit"), key.created_at, who, "add key", key.name, detail
                )
        except Fatal as error:
            if isinstance(error.__cause__, asyncpg.UniqueViolationError):
                hint = "revoke it first, or take another name"
                raise Fatal("adding the key", key.name, "a key has this name", hint) from error
            raise

    async def list(self) -> Sequence[KeyRecord]:
        """All there ever were, oldest first."""
        async with self._pool.use(_OPERATION) as connection:
            return [read_key(row) for row in await connection.fetch(sql("list_keys"))]

    async def revoke(self, name: str, who: str, at: datetime) -> None:
        """From now on it opens nothing. `name`: or the key's id. Raises `Fatal` where no good key has it."""
        async with self._pool.use(_OPERATION) as connection, connection.transaction():
            found = await connection.fetchval(sql("revoke_key"), name, at)
            if found is not None:
                await connection.execute(sql("append_audit"), at, who, "revoke key", name, {"id": found})
        if found is None:
            raise Fatal("revoking the key", name, "there is none", "`driftwatch api keys list` shows them")

    async def check_audit(self) -> AuditState:
        """Read the whole audit log, and compute every hash anew."""
        async with self._pool.use("checking the audit log") as connection:
            row: Any = await connection.fetchrow(sql("check_audit"), timeout=600)
        return AuditState(row["lines"], row["forgotten"], row["broken_at"], row["last_hash"])


def read_key(row: Mapping[str, Any]) -> KeyRecord:
    """A key out of its record."""
    rules = row["rules"]
    return KeyRecord(
        row["id"],
        row["name"],
        row["hash"],
        Role(row["role"]),
        Scope(None if rules is None else frozenset(rules)),
        row["created_at"],
        row["expires_at"],
        row["revoked_at"],
    )

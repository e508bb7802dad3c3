"""Reads a rule's rows in pages, each in the snapshot of one short transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from pydantic import SecretStr

from app.detector.model import ABSENT, UNKNOWN, RowAsOf, Snapshot, Value
from app.errors import DriftwatchError, Fatal, Poison, Transient
from app.readings import Place, RowPage, read_snapshot
from app.rules import LeftMapping, LoadedRule
from app.telemetry import get_logger
from connectors.postgres.joined import Found, JoinedTables
from connectors.postgres.table import Table, describe, sql

log = get_logger(__name__)

LARGEST_PAGE: Final = 1000
_COMMAND_TIMEOUT_S: Final = 60.0
_PASSING: Final = ("08", "40", "53", "55", "57")
"""SQLSTATE classes of trouble that ends by itself: connection, rollback, resources, in use, intervention."""
_TOLD: Final = 10
_TROUBLE: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what a connection that the server has closed may answer (asyncpg 0.32)
)


class RowReader:
    """Reads tables of one database; one connection, opened when it is needed and after each failure.

    A call raises `Transient` for trouble that may pass, and `Fatal` for what a person must mend.
    """

    def __init__(self, database: SecretStr, source: str, slot: str) -> None:
        self._database, self._source, self._slot = database, source, slot
        self._connection: asyncpg.Connection[Any] | None = None
        self._tables: dict[tuple[str, str], Table] = {}
        self._refused = 0

    async def close(self) -> None:
        """Close the connection; the reader may be used again afterwards."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def has_slot(self) -> bool:
        """Is the replication slot there? From then on no change is lost, whether anyone reads or not."""
        try:
            connection = await self._open()
            return bool(await connection.fetchval(sql("slot"), self._slot))
        except _TROUBLE as error:
            raise await self._trouble("looking for the slot", self._slot, error) from error

    async def read_page(
        self, loaded: LoadedRule, after: Place | None, size: int, until: Place | None = None
    ) -> RowPage:
        """The next rows behind `after` in the order of the primary key, at most `size` (1 to 1,000), none
        behind `until`.

        Rows and snapshot are of one REPEATABLE READ transaction; `read_at` is the database's clock inside it,
        never before the snapshot.
        """
        size = min(max(size, 1), LARGEST_PAGE)
        if loaded.left.join is not None:
            return await self._read_joined(
                loaded, lambda tables, open_: tables.page(open_, after, size, until)
            )
        try:
            table = await self._table(await self._open(), loaded, loaded.left)
            statement = table.page(size, is_first=after is None, is_bounded=until is not None)
            async with self._snapshot(loaded) as (connection, seen):
                found = await connection.fetch(statement, *(after or ()), *(until or ()))
        except _TROUBLE as error:
            raise await self._trouble("reading the table", loaded.left.table, error) from error
        rows, unreadable = self._read_all(loaded, (loaded.left, table), found, seen)
        behind = table.place(found[-1]) if len(found) == size else None
        return RowPage(seen[1], rows, behind, unreadable)

    async def read_keys(self, loaded: LoadedRule, keys: Sequence[str]) -> RowPage:
        """All rows under these keys (at most 1,000), as of one snapshot. Each key is told completely: its
        rows, and then a read without a row, which says that there are none but those."""
        if len(keys) > LARGEST_PAGE:
            raise ValueError(f"{len(keys)} keys, at most {LARGEST_PAGE} are allowed")
        if loaded.left.join is not None:
            return await self._read_joined(loaded, lambda tables, open_: tables.keyed(open_, keys), keys)
        try:
            table = await self._table(await self._open(), loaded, loaded.left)
            async with self._snapshot(loaded) as (connection, seen):
                found = await connection.fetch(table.keyed(), list(keys))
        except _TROUBLE as error:
            raise await self._trouble("reading the table", loaded.left.table, error) from error
        rows, unreadable = self._read_all(loaded, (loaded.left, table), found, seen)
        by_key: dict[str, list[RowAsOf]] = {key: [] for key in keys}
        for row in rows:
            by_key.setdefault(row.key, []).append(row)
        return RowPage(seen[1], _complete(loaded, by_key, seen), None, unreadable)

    async def _read_joined(
        self,
        loaded: LoadedRule,
        read: Callable[[JoinedTables, Any], Awaitable[Found]],
        keys: Sequence[str] = (),
    ) -> RowPage:
        """What `read` finds in both tables, in one snapshot. Each key that has a row, and each of `keys`, is
        told completely: its rows, and that there is no other one."""
        own, joined = loaded.left.tables
        try:
            opened = await self._open()
            tables = JoinedTables(
                await self._table(opened, loaded, own), await self._table(opened, loaded, joined)
            )
            async with self._snapshot(loaded) as (connection, seen):
                found = await read(tables, connection)
        except _TROUBLE as error:
            raise await self._trouble("reading the tables", f"{own.table}, {joined.table}", error) from error
        for _ in range(found.keyless):
            self._refuse(own.table, "no key: it is null")
        mine, _ = self._read_all(loaded, (own, tables.own), found.own, seen)
        theirs, _ = self._read_all(loaded, (joined, tables.joined), found.joined, seen)
        rows: dict[str, list[RowAsOf]] = {key: [] for key in keys}
        for row in (*mine, *theirs):
            rows.setdefault(row.key, []).append(row)
        return RowPage(seen[1], _complete(loaded, rows, seen), found.after, found.keyless)

    @asynccontextmanager
    async def _snapshot(self, loaded: LoadedRule) -> AsyncIterator[tuple[Any, tuple[Snapshot, int]]]:
        """A transaction, the snapshot that it sees, and the database's clock after that was taken."""
        connection = await self._open()
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            # The first statement of the transaction takes its snapshot.
            head = await connection.fetchrow(sql("snapshot"))
            if head is None:
                raise Transient("reading the table", loaded.left.table, "no answer")
            yield connection, (read_snapshot(head["snapshot"]), int(head["read_at"]))

    def _read_all(
        self,
        loaded: LoadedRule,
        place: tuple[LeftMapping, Table],
        found: Sequence[Any],
        seen: tuple[Snapshot, int],
    ) -> tuple[tuple[RowAsOf, ...], int]:
        left, table = place
        reads = [self._read(loaded, left, table.row(record), seen) for record in found]
        rows = tuple(read for read in reads if read is not None)
        return rows, len(reads) - len(rows)

    async def _open(self) -> asyncpg.Connection[Any]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._database.get_secret_value(),
                command_timeout=_COMMAND_TIMEOUT_S,
                server_settings={"application_name": "driftwatch reader", "DateStyle": "ISO"},
            )
        return self._connection

    async def _table(
        self, connection: asyncpg.Connection[Any], loaded: LoadedRule, left: LeftMapping
    ) -> Table:
        place = (loaded.rule.id, left.table)
        table = self._tables.get(place)
        if table is None:
            if left.source not in (None, self._source):
                cause = f"it belongs to the source {left.source}, this database is {self._source}"
                raise Fatal("reading the table", left.table, cause, "set DRIFTWATCH_SOURCE")
            schema, _, name = left.table.rpartition(".")
            found = await connection.fetch(sql("columns"), schema or "public", name)
            table = self._tables[place] = describe(loaded.rule.id, left, found)
        return table

    def _read(
        self, loaded: LoadedRule, left: LeftMapping, row: dict[str, object], seen: tuple[Snapshot, int]
    ) -> RowAsOf | None:
        """A row through the rule's eyes; None without a key, and UNKNOWN where the rule cannot read it."""
        if row[left.key] is None:
            self._refuse(left.table, f"no key: {left.key} is null")
            return None
        value: Value = UNKNOWN
        try:
            value = left.read(row)
        except Poison as error:
            self._refuse(left.table, str(error))
        key, row_id = left.key_of(row), left.row_id(row)
        return RowAsOf(loaded.rule.id, key, row_id, value, *seen)

    def _refuse(self, table: str, reason: str) -> None:
        self._refused += 1
        if self._refused <= _TOLD:
            log.warning("A row cannot be read", event_name="row_refused", table=table, reason=reason)

    async def _trouble(self, operation: str, subject: str, error: Exception) -> DriftwatchError:
        """What a failure means; the connection is not used again."""
        await self.close()
        state = getattr(error, "sqlstate", None)
        if state is None or state[:2] in _PASSING:
            return Transient(operation, subject, f"{type(error).__name__} {error}".strip())
        hint = "check DRIFTWATCH_DATABASE, and that its role may read the table"
        return Fatal(operation, subject, f"{state} {error}", hint)


def _complete(
    loaded: LoadedRule, by_key: Mapping[str, Sequence[RowAsOf]], seen: tuple[Snapshot, int]
) -> tuple[RowAsOf, ...]:
    """The rows of each key, and that it has no other one."""
    found: list[RowAsOf] = []
    for key, rows in by_key.items():
        besides = tuple(row.row for row in rows if row.row is not None)
        found += [*rows, RowAsOf(loaded.rule.id, key, None, ABSENT, *seen, besides)]
    return tuple(found)

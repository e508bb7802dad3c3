"""Writes of the demo's tables: in order per key, each when it is due; the table of the credit lines."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import count
from typing import Any

import asyncpg

from app.clock import Clock
from app.demo.lines import Row, decimal_of
from app.demo.scenario import Table
from app.demo.world import SECOND_US, Borrower
from connectors.soroban.times import micros_of

_SQL = files("app.demo") / "sql"
WRITE = (_SQL / "write_row.sql").read_text(encoding="utf-8")
TOUCH = (_SQL / "touch_row.sql").read_text(encoding="utf-8")
DELETE = (_SQL / "delete_row.sql").read_text(encoding="utf-8")
NOW = (_SQL / "now.sql").read_text(encoding="utf-8")
SCHEMA = (_SQL / "schema.sql").read_text(encoding="utf-8")


@dataclass(order=True, slots=True)
class _Write:
    at_us: int
    number: int
    subject: Any = field(compare=False)
    row: Any = field(compare=False)
    touch: bool = field(compare=False)


class CreditLines:
    """The table of the credit system."""

    async def write(self, connection: asyncpg.Connection, subject: Borrower, row: Row | None) -> int:
        """Make the row this; None: delete it. The time of the database just before it committed (µs)."""
        if row is None:
            return micros_of(await connection.fetchval(DELETE, subject.address))
        return micros_of(await connection.fetchval(WRITE, *arguments(subject, row)))

    async def touch(self, connection: asyncpg.Connection, subject: Borrower) -> None:
        """A write that changes nothing that any rule compares."""
        await connection.execute(TOUCH, subject.address)


@dataclass(slots=True)
class Lane:
    """One connection that writes the rows of its keys, one after the other; each write is in the history of
    its key."""

    connection: asyncpg.Connection
    clock: Clock
    table: Table = field(default_factory=CreditLines)
    written: int = 0
    _due: list[_Write] = field(default_factory=list)
    _last_us: dict[int, int] = field(default_factory=dict)
    _numbers: Iterable[int] = field(default_factory=count)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, subject: Any, row: Any, at_us: int, *, touch: bool = False) -> None:
        """Write `row` (None: delete) at `at_us`, never before an earlier write of the same key."""
        at_us = max(at_us, self._last_us.get(subject.index, 0)) if not touch else at_us
        if not touch:
            self._last_us[subject.index] = at_us
        heapq.heappush(self._due, _Write(at_us, next(iter(self._numbers)), subject, row, touch))
        self._woken.set()

    async def run(self) -> None:
        """Write until cancelled; a write that has begun is finished first."""
        while True:
            now = self.clock.now_us()
            if self._due and self._due[0].at_us <= now:
                await asyncio.shield(self._write(heapq.heappop(self._due)))
                continue
            self._woken.clear()
            pause_s = (self._due[0].at_us - now) / SECOND_US if self._due else 1.0
            try:
                await asyncio.wait_for(self._woken.wait(), pause_s)
            except TimeoutError:
                continue

    async def _write(self, write: _Write) -> None:
        if write.touch:
            await self.table.touch(self.connection, write.subject)
        else:
            at_us = await self.table.write(self.connection, write.subject, write.row)
            write.subject.rows.add(at_us, write.row)
        self.written += 1


def arguments(borrower: Borrower, row: Row) -> tuple[object, ...]:
    """The columns in the order of the statement and of the table."""
    return (
        borrower.index + 1,
        borrower.address,
        decimal_of(row.credit_limit),
        decimal_of(row.available),
        row.rate_bps,
        row.status,
    )


async def create_table(connection: asyncpg.Connection) -> None:
    """The table as the credit system has it, empty."""
    await connection.execute(SCHEMA)


async def insert_rows(connection: asyncpg.Connection, rows: Iterable[tuple[Borrower, Row]]) -> None:
    """The rows that are there before driftwatch starts, in one COPY; their histories begin with it."""
    listed = list(rows)
    async with connection.transaction():
        at = micros_of(await connection.fetchval(NOW))
        await connection.copy_records_to_table(
            "credit_lines",
            schema_name="public",
            records=[arguments(borrower, row) for borrower, row in listed],
            columns=(
                "id",
                "wallet_address",
                "credit_limit",
                "available_credit",
                "interest_rate_bps",
                "status",
            ),
        )
    for borrower, row in listed:
        borrower.rows.add(at, row)

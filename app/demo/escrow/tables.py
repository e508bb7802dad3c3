"""The tables of the escrow system: invoices, what was funded of them, and their contracts."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files

import asyncpg

from app.demo.escrow.books import Books
from app.demo.escrow.world import DECOY, Invoice
from app.demo.lines import decimal_of
from connectors.soroban.times import micros_of

_SQL = files("app.demo.escrow") / "sql"
SCHEMA, WRITE, DELETE, TOUCH, NOW = (
    (_SQL / f"{name}.sql").read_text(encoding="utf-8")
    for name in ("schema", "write", "delete", "touch", "now")
)


class EscrowTables:
    """The three tables; all rows of an invoice are written in one transaction."""

    async def write(self, connection: asyncpg.Connection, subject: Invoice, row: Books | None) -> int:
        """Make the rows this; None: delete the invoice, and leave its summary behind. The time of the
        database just before it committed (µs). A contract that moves takes the key's entry along."""
        if row is None:
            return micros_of(await connection.fetchval(DELETE, subject.key))
        before = subject.rows.states[-1] if subject.rows.states else None
        arguments = (row.status, row.sme, row.issuer, row.is_deleted)
        total = None if row.total is None else decimal_of(row.total)
        at_us = micros_of(await connection.fetchval(WRITE, subject.key, *arguments, total, row.contract))
        if before is not None and before.contract != row.contract:
            subject.entries.add(at_us, DECOY if row.contract == DECOY.contract else None)
        return at_us

    async def touch(self, connection: asyncpg.Connection, subject: Invoice) -> None:
        """A write that changes nothing that the rule compares."""
        await connection.execute(TOUCH, subject.key)


async def insert_all(connection: asyncpg.Connection, rows: Iterable[tuple[Invoice, Books]]) -> None:
    """The rows that are there before driftwatch starts; their histories begin with it."""
    listed = list(rows)
    async with connection.transaction():
        at = micros_of(await connection.fetchval(NOW))
        invoices = [(each.key, row.status, row.sme, row.issuer) for each, row in listed]
        sums = [(each.key, decimal_of(row.total)) for each, row in listed if row.total is not None]
        contracts = [(each.key, row.contract) for each, row in listed if row.contract is not None]
        for table, columns, records in (
            ("invoices", ("id", "status", "sme_address", "issuer"), invoices),
            ("escrow_summaries", ("invoice_id", "total_funded"), sums),
            ("escrow_contracts", ("invoice_id", "contract_id"), contracts),
        ):
            await connection.copy_records_to_table(
                table, schema_name="public", records=records, columns=columns
            )
    for each, row in listed:
        each.rows.add(at, row)

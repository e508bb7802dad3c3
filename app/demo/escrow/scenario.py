"""How the escrow system is made before driftwatch comes, and what the demo changes in its rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg

from app.clock import Clock
from app.demo.escrow.books import Books, Escrow
from app.demo.escrow.chain import EscrowChain
from app.demo.escrow.planting import plan_steps, spoil
from app.demo.escrow.tables import SCHEMA, EscrowTables, insert_all
from app.demo.escrow.world import DECOY, EscrowWorld, Plant
from app.demo.rpc.config import NodeConfig
from app.demo.steps import Delays, Step

PARTIES: Final = {
    "smeAddress": {
        "left": "sme_address",
        "right": "sme_address",
        "type": "address",
        "severity": "high",
        "sensitive": "hash",
    },
    "issuer": {
        "left": "issuer",
        "right": "admin",
        "type": "address",
        "severity": "high",
        "sensitive": "omit",
    },
}
"""Fields that the demo compares beside those of the shipped rule: persons, who must not be told of."""


class EscrowScenario:
    """Invoices and their escrows."""

    def __init__(self, world: EscrowWorld) -> None:
        self.world, self.table = world, EscrowTables()

    def steps_of(self, plant: Plant, ledger_us: int) -> Sequence[Step]:
        """All that a plant does to both sides."""
        return plan_steps(self.world, plant, Delays.of(self.world.shape.window, ledger_us))

    async def prepare(self, connection: asyncpg.Connection, chain: EscrowChain, now_us: int) -> None:
        """The world as it was before driftwatch came: half of the invoices have their escrows, some of them
        drifting; the others are drafts."""
        await connection.execute(SCHEMA)
        rows, spoilt = [], 0
        chain.write("DECOY", DECOY, "escrow_initialized")
        for invoice in self.world.early:
            escrow = invoice.escrow
            entry: Escrow | None = escrow
            books = Books.of(escrow)
            if invoice.plan is not None and invoice.plan.is_from_before:
                entry, books = spoil(spoilt, escrow)
                spoilt += 1
            rows.append((invoice, books))
            if entry is not None:
                chain.write(invoice.key, entry, "escrow_initialized")
                invoice.entries.add(now_us, entry)
        drafts = [(each, Books.of(each.escrow)) for each in self.world.late if each.is_known]
        rows += [(each, books._replace(status="draft", total=None)) for each, books in drafts]
        chain.close(now_us)
        await insert_all(connection, rows)


class EscrowSetting:
    """The shipped rule with two sensitive fields more, and a network of contracts that a table names."""

    rule_file: Final = "escrow.yaml"

    def change_rule(self, rule: dict[str, Any]) -> None:
        """Persons are compared as well."""
        rule["fields"] |= PARTIES

    def open_chain(self, passphrase: str, clock: Clock, config: NodeConfig) -> EscrowChain:
        """The network, to be entered."""
        return EscrowChain(passphrase, clock, config)

    def contracts(self, chain: EscrowChain) -> Mapping[str, str]:
        """Nothing in the environment names them."""
        return {}

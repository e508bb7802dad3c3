"""The demo's credit system: borrowers' rows against the credit lines of one contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg

from app.clock import Clock
from app.demo.chain import DemoChain
from app.demo.lines import Row
from app.demo.planting import plan_steps, spoil
from app.demo.rows import CreditLines, create_table, insert_rows
from app.demo.rpc.config import NodeConfig
from app.demo.steps import Delays, Step
from app.demo.world import Plant, Planted, World


class CreditScenario:
    """Borrowers and their lines."""

    def __init__(self, world: World) -> None:
        self.world, self.table = world, CreditLines()

    def steps_of(self, plant: Plant, ledger_us: int) -> Sequence[Step]:
        """All that a plant does to both sides."""
        return plan_steps(self.world, plant, Delays.of(self.world.shape.window, ledger_us))

    async def prepare(self, connection: asyncpg.Connection, chain: DemoChain, now_us: int) -> None:
        """The world as it was before driftwatch came: half of its borrowers, some of them drifting."""
        await create_table(connection)
        rows, spoilt = [], 0
        for borrower in self.world.early:
            if borrower.line is None:
                continue
            line, row = borrower.line, Row.of(borrower.line)
            entry: Any = line
            shown: Row | None = row
            if borrower.plan is not None and borrower.plan.kind is Planted.BEFORE_START:
                entry, shown = spoil(self.world, spoilt, line)
                spoilt += 1
            if shown is not None:
                rows.append((borrower, shown))
            if entry is not None:
                chain.write(borrower.address, entry, "opened")
                borrower.entries.add(now_us, entry)
        chain.close(now_us)
        await insert_rows(connection, rows)


class CreditSetting:
    """The shipped rule, and a network with one contract."""

    rule_file: Final = "credit.yaml"

    def change_rule(self, rule: dict[str, Any]) -> None:
        """It is compared as it is shipped."""

    def open_chain(self, passphrase: str, clock: Clock, config: NodeConfig) -> DemoChain:
        """The network, to be entered."""
        return DemoChain(passphrase, clock, config)

    def contracts(self, chain: DemoChain) -> Mapping[str, str]:
        """Which contract it is."""
        return {"CREDIT_CONTRACT_ID": chain.contract_id}

"""What a rule's scaffold is made of: a contract's interface and a table's columns, read once."""

from __future__ import annotations

from app.clock import Clock
from app.rules.scaffold import Column, ContractInterface
from app.settings import Settings
from connectors.postgres.columns import read_columns
from connectors.soroban.access import open_nodes
from connectors.soroban.allowance import Purpose
from connectors.soroban.interface import read_interface


async def read_both(
    settings: Settings, clock: Clock, contract: str, table: str
) -> tuple[ContractInterface, tuple[Column, ...]]:
    """Raises what either side raises."""
    columns = await read_columns(settings.database, table)
    rpc = open_nodes(settings, clock, Purpose.SWEEP)
    try:
        await rpc.check_passphrase(settings.network_passphrase)
        return await read_interface(rpc, contract), columns
    finally:
        await rpc.close()

"""Records in memory keep the promises that the API relies on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from app.api.memory import MemoryRecords
from app.cases import Act
from tests.support.desk_contract import RecordsContract


class MemoryDesk:
    """Rows into memory."""

    def __init__(self) -> None:
        self.records = MemoryRecords()

    async def put(self, table: str, *rows: Mapping[str, Any]) -> None:
        held = getattr(self.records, table)
        for row in rows:
            if isinstance(held, dict):
                held[row["episode" if table == "episodes" else "id"]] = dict(row)
            else:
                held.append(row)

    async def audit(self) -> Sequence[Act]:
        return self.records.audit


class TestMemory(RecordsContract):
    """The contract."""

    @pytest.fixture(name="desk")
    def _desk(self) -> MemoryDesk:
        return MemoryDesk()

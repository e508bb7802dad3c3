"""Entries of mapped contracts as of a ledger: by the mapping as it is then; keys that can have no entry."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
from pydantic import SecretStr

from app.demo.rpc.server import Server
from app.detector.model import ABSENT
from app.errors import Fatal, Transient
from app.readings import KeyPage
from app.rules import ContractTable, load_rules
from app.settings import RULES_FOLDER
from connectors.soroban.as_of import EntrySource
from connectors.soroban.rpc import Rpc
from tests.support.chain_world import PASSPHRASE
from tests.support.escrow_world import EscrowWorld, invoice, invoice_contract
from tests.support.waiting import CLOCK

[RULE] = load_rules([RULES_FOLDER / "escrow.yaml"], {})


class ChangingTable:
    """A mapping table that may change with every look at it."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.later: list[tuple[str, str]] = []
        self.asked: list[Sequence[str] | None] = []

    async def __call__(self, table: ContractTable, keys: Sequence[str] | None) -> Mapping[str, str]:
        assert table == RULE.right.contracts
        self.asked.append(keys)
        found = {key: value for key, value in self.rows.items() if keys is None or key in keys}
        if self.later:
            key, contract = self.later.pop(0)
            self.rows[key] = contract
        return found


class Place:
    def __init__(self, world: EscrowWorld, url: str) -> None:
        self.world, self.contracts = world, ChangingTable()
        self.rpc = Rpc(SecretStr(url), CLOCK)
        self.source = EntrySource(self.rpc, PASSPHRASE, self.contracts)

    async def read(self, *keys: str) -> dict[str, object]:
        page = await self.source.read(RULE, keys, 0)
        return {entry.key: entry.value for entry in page.entries}


@pytest.fixture(name="place")
async def _place() -> AsyncIterator[Place]:
    world = EscrowWorld()
    for number in (1, 2, 3):
        world.fund(number, number * 100)
    world.close()
    async with Server(world.node) as server:
        place = Place(world, server.url)
        yield place
        await place.rpc.close()


def held(number: int) -> tuple[str, int]:
    """What the rule reads of an escrow: the model's invoice is the first one's."""
    return (invoice(1), number * 100)


async def test_a_row_that_came_after_the_list_was_read_is_known(place: Place) -> None:
    assert await place.source.list_page(RULE, 0) == KeyPage((), None)
    place.contracts.rows[invoice(2)] = invoice_contract(2)
    assert await place.read(invoice(2)) == {invoice(2): held(2)}
    place.contracts.rows[invoice(2)] = invoice_contract(3)
    assert await place.read(invoice(2), invoice(9)) == {invoice(2): held(3), invoice(9): ABSENT}
    del place.contracts.rows[invoice(2)]
    assert await place.read(invoice(2)) == {invoice(2): ABSENT}
    assert place.contracts.asked[-1] == (invoice(2),)


async def test_a_contract_that_changes_while_it_is_read_is_read_again(place: Place) -> None:
    place.contracts.rows[invoice(2)] = invoice_contract(2)
    place.contracts.later.append((invoice(2), invoice_contract(3)))
    assert await place.read(invoice(2)) == {invoice(2): held(3)}
    place.contracts.later += [(invoice(2), invoice_contract(n)) for n in (1, 2, 3, 1, 2)]
    with pytest.raises(Transient, match="change all the time"):
        await place.read(invoice(2))


async def test_a_key_that_can_have_no_entry_is_absent_and_an_error_of_its_own(place: Place) -> None:
    rows = place.contracts.rows
    rows |= {invoice(1): invoice_contract(1), "INV-1": invoice_contract(2), "INV_4": "no contract"}
    page = await place.source.read(RULE, [invoice(1), "INV-1", "INV_4", "INV 5", "INV_6"], 0)
    values = {entry.key: entry.value for entry in page.entries}
    assert values == {invoice(1): held(1)} | dict.fromkeys(("INV-1", "INV_4", "INV 5", "INV_6"), ABSENT)
    assert set(page.refused) == {"INV-1", "INV_4", "INV 5"}
    assert "no contract can hold it" in page.refused["INV-1"]
    assert "is mapped to what is no contract" in page.refused["INV_4"]
    assert "it is no invoice id" in page.refused["INV 5"]
    alone = await place.source.read(RULE, ["INV-1"], 0)
    assert (len(alone.entries), set(alone.refused)) == (1, {"INV-1"})


async def test_without_a_way_to_read_the_table_it_is_said(place: Place) -> None:
    with pytest.raises(Fatal, match=r"no way to read right\.mapping"):
        await EntrySource(place.rpc, PASSPHRASE).read(RULE, [invoice(1)], 0)

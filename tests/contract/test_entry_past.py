"""What an entry was before it was read, out of the ledgers of a node that serves them as a real one does."""

from __future__ import annotations

from itertools import pairwise

import orjson
import pytest
from stellar_sdk import xdr

from app.demo.lines import STROOPS, Line
from app.demo.rpc.json_text import parse
from app.demo.rpc.node import Replica
from app.detector.detector import Detector
from app.detector.model import (
    ABSENT,
    INFINITY,
    Confirm,
    EntryAsOf,
    EntryEvent,
    EntryRead,
    Mark,
    RowAsOf,
    RowChange,
    Side,
    Snapshot,
)
from app.errors import DriftwatchError, Transient
from app.rules import LoadedRule, load_rules
from app.settings import RULES_FOLDER
from connectors.soroban.as_of import EntrySource
from tests.support.chain_world import PASSPHRASE, World, running_world
from tests.support.simulator import SECOND_US


def rule_of(world: World) -> LoadedRule:
    [found] = load_rules([RULES_FOLDER / "credit.yaml"], {"CREDIT_CONTRACT_ID": world.contract})
    return found


def write(world: World, limit: int) -> int:
    """The line of the first borrower gets another limit, and no event tells of it; the ledger."""
    world.chain.write(world.borrowers[0], Line(limit * STROOPS, 0, 500), None)
    return world.close()


async def trace(world: World, back_s: int = 600) -> list[EntryAsOf]:
    client = world.client()
    try:
        source, loaded = EntrySource(client, PASSPHRASE), rule_of(world)
        page = await source.read(loaded, [world.borrowers[0]], 0)
        return await source.trace(
            loaded, page.entries, {world.borrowers[0]: page.read_at - back_s * SECOND_US}
        )
    finally:
        await client.close()


async def test_every_value_is_told_with_the_ledgers_that_it_lasted_for_oldest_first() -> None:
    async with running_world() as world:
        first, second, third = write(world, 100), write(world, 150), write(world, 200)
        world.close()
        read = await trace(world)

    limits = [each.value if each.value == ABSENT else each.value[1] for each in read]
    assert limits[0] == ABSENT
    assert [each.read_ledger for each in read] == [first - 1, second - 1, third - 1, third + 1]
    assert [each.modified_ledger for each in read] == [-1, first, second, third]
    assert len({str(limit) for limit in limits}) == 4
    for old, new in pairwise(read):
        assert old.read_at + 1 == new.modified_at, "to the last instant before the change"
    assert read[-1].modified_at == read[-1].read_at - 5 * SECOND_US


async def test_what_lies_further_back_than_is_wanted_is_not_asked_for() -> None:
    async with running_world() as world:
        write(world, 100)
        for _ in range(3):
            second = write(world, 150)
            third = write(world, 200)
        read = await trace(world, back_s=7)

    assert [each.modified_ledger for each in read] == [third - 2, second, third]


async def test_a_ledger_that_is_not_held_any_more_ends_the_way_back() -> None:
    async with running_world(retention=2) as world:
        write(world, 100)
        second = write(world, 150)
        third = write(world, 200)
        read = await trace(world)
        assert [each.modified_ledger for each in read] == [second - 1, second, third][-len(read) :]
        world.close()
        world.close()
        with pytest.raises(DriftwatchError, match="holds ledgers"):
            await trace(world)


async def test_a_node_that_has_not_the_ledger_yet_is_worth_asking_again() -> None:
    async with running_world() as world:
        world.close()
        write(world, 100)
        client = world.client()
        try:
            source, loaded = EntrySource(client, PASSPHRASE), rule_of(world)
            page = await source.read(loaded, [world.borrowers[0]], 0)
            world.nodes[0].trouble.replicas = (Replica(behind=1),)
            with pytest.raises(Transient, match="behind"):
                await source.trace(loaded, page.entries, {world.borrowers[0]: page.read_at - SECOND_US})
        finally:
            await client.close()


async def test_nothing_is_asked_for_where_no_history_is_wanted() -> None:
    async with running_world() as world:
        third = write(world, 200)
        read = await trace(world, back_s=-INFINITY)
    assert [each.modified_ledger for each in read] == [third]


async def test_the_metadata_is_that_of_a_ledger_with_one_transaction() -> None:
    async with running_world() as world:
        write(world, 100)
        number = write(world, 150)
        request = {"startLedger": number, "pagination": {"limit": 1}}
        answer = await world.nodes[0].call("getLedgers", parse(orjson.dumps(request)))
    meta = xdr.LedgerCloseMeta.from_xdr(answer["ledgers"][0]["metadataXdr"])

    assert meta.v2 is not None
    assert meta.to_xdr() == answer["ledgers"][0]["metadataXdr"]
    [transaction] = meta.v2.tx_processing
    assert transaction.tx_apply_processing.v4 is not None


@pytest.mark.parametrize("is_traced", [True, False])
async def test_a_row_that_followed_a_change_without_event_is_no_drift(is_traced: bool) -> None:
    async with running_world() as world:
        ledgers = []
        for limit in (100, 150, 200):
            ledgers.append(write(world, limit))
            for _ in range(8):
                world.close()
        read = await trace(world)
        rule = rule_of(world).rule
    now = read[-1]
    closes = [each.modified_at or 0 for each in read[1:]]
    detector = Detector(rule, from_empty=True, confirmed="live")
    first = (rule.id, now.key)
    for each, ledger, closed in ((read[1], ledgers[0], closes[0]), (now, ledgers[2], closes[2])):
        event_id = f"{ledger}-0"
        detector.observe(EntryEvent(*first, ledger, closed, "tx", event_id))
        detector.observe(EntryRead(*first, each.value, ledger, closed, ledger, closed, event_id))
    for lsn, each in enumerate(read[1:], 1):
        at = (each.modified_at or 0) + SECOND_US
        detector.observe(RowChange(*first, 1, lsn, at, read[lsn - 1].value, each.value, lsn))

    def advance(ahead_s: int) -> list[object]:
        ledger, at = now.read_ledger + ahead_s // 5, now.read_at + ahead_s * SECOND_US
        effects = detector.advance(Mark(Side.RIGHT, None, at, None, ledger, ledger - 1))
        return [*effects, *detector.advance(Mark(Side.LEFT, None, at))]

    [asked] = [each for each in advance(0) if isinstance(each, Confirm)]
    assert (closes[1] + SECOND_US) - asked.history_from_us >= rule.window.lag_us
    seen = (Snapshot(9, 9, frozenset()), now.read_at + 5 * SECOND_US)
    entry = now._replace(read_ledger=now.read_ledger + 1, read_at=now.read_at + 5 * SECOND_US)
    detector.observe(RowAsOf(*first, 1, now.value, *seen))
    detector.observe(RowAsOf(*first, None, ABSENT, *seen, (1,)))
    for statement in (*(read[:-1] if is_traced else ()), entry):
        detector.observe(statement)
    told = [getattr(each, "ce_type", "") for ahead_s in (10, 20, 30) for each in advance(ahead_s)]

    assert ("drift.mismatch.opened" in told) is not is_traced
    assert detector.counts["withdrawn"] == int(is_traced)

"""The drills themselves: each plants one kind of loss and says what must be found of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import asyncpg
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from app.demo.credit_contract import borrower_address
from app.demo.drills.planted import Drill, Planted, is_declared, read_sql
from app.demo.drills.silent import silent_overwritten
from app.demo.drills.sources import backup_restored, clocks_apart, column_dropped
from app.demo.drills.stage import RULE, Stage
from app.demo.lines import Line, Row
from app.demo.load import Submitted
from app.demo.rows import arguments
from app.demo.rpc.node import Replica
from app.demo.score import parse_time
from app.demo.world import Borrower
from app.errors import Fatal
from connectors.kafka.requests import ask_sweeps
from connectors.soroban.times import micros_of
from schemas.topics import DB_CHANGES

COPIED: Final = 100_000
_RAISED: Final = 1_111_111
_FROZEN_S: Final = 15.0
_KEPT_LEDGERS: Final = 5
_BEHIND_LEDGERS: Final = 20
_STALE_S: Final = 6.0


async def records_deleted(stage: Stage) -> Planted:
    """The worker dies, and Kafka deletes records of a partition that nobody has read; among them a change
    that makes a row drift."""
    victim = stage.take(partition=0)
    stage.system.supervisor.kill("worker")
    stage.spoil_row(victim)
    await stage.clock.sleep(1.5)
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.system.kafka)
    await admin.start()
    try:
        end = RecordsToDelete(-1)
        await admin.delete_records({TopicPartition(DB_CHANGES, 0): end})
    finally:
        await admin.close()
    return Planted(frozenset({"offsets"}), frozenset({victim.address}))


async def silent_change(stage: Stage) -> Planted:
    """The contract changes an entry and tells nobody, the row follows, and with the next ledger the entry
    changes again: only that ledger knows what it was in between, and that the row was right."""
    victim = stage.take()
    line: Line = victim.line  # type: ignore[assignment] # every early borrower has one
    first = line._replace(credit_limit=line.credit_limit + _RAISED)
    second = first._replace(credit_limit=first.credit_limit + _RAISED)
    ledgers = stage.load.ledgers
    stage.load.submit(Submitted(victim, first, Row.of(first)), None)
    await stage.until("a ledger", lambda: stage.load.ledgers > ledgers)
    stage.load.submit(Submitted(victim, second, Row.of(second)), "risk_upd")
    return Planted(frozenset({"as_of"}))


async def truncate(stage: Stage) -> Planted:
    """TRUNCATE and the same rows again, in one transaction, but for three."""
    victims = [stage.take() for _ in range(3)]
    addresses = [victim.address for victim in victims]
    async with stage.connection.transaction():
        await stage.connection.execute(read_sql("truncate"))
        await stage.connection.execute(read_sql("restore"), addresses)
        at = micros_of(await stage.connection.fetchval(read_sql("now")))
    for victim in victims:
        victim.rows.add(at, None)
    return Planted(frozenset({"truncate"}), frozenset(addresses))


async def slot_dropped(stage: Stage) -> Planted:
    """The replication slot is dropped while rows change; one is spoilt and one deleted before there is a new
    one."""
    spoilt, deleted = stage.take(), stage.take()
    for _ in range(100):
        await stage.connection.execute(read_sql("free_slot"), stage.settings.slot)
        with suppress(asyncpg.ObjectInUseError):
            await stage.connection.execute(read_sql("drop_slot"), stage.settings.slot)
            break
        await stage.clock.sleep(0.02)
    else:
        raise Fatal("dropping", f"slot {stage.settings.slot}", "somebody streams it all the time")
    stage.spoil_row(spoilt)
    stage.delete_row(deleted)
    return Planted(frozenset({"slot"}), frozenset({spoilt.address, deleted.address}))


async def poller_beyond_retention(stage: Stage) -> Planted:
    """The poller stands still while the chain goes on, and the node forgets the ledgers in between; one line
    changes in them, and its row does not follow."""
    victim = stage.take()
    trouble = stage.system.chain.node.trouble
    with stage.frozen("poller"):
        await stage.clock.sleep(1.5)
        stage.change_entry(victim)
        await stage.clock.sleep(_FROZEN_S)
        trouble.replicas = (Replica(kept=_KEPT_LEDGERS),)
    await stage.until("the gap", lambda: is_declared(stage, "retention"))
    trouble.replicas = ()
    return Planted(frozenset({"retention"}), frozenset({victim.address}))


async def stale_rpc(stage: Stage) -> Planted:
    """The address falls over, twice, to a replica that is twenty ledgers behind, while a sweep reads."""
    victim = stage.take()
    trouble = stage.system.chain.node.trouble
    stage.spoil_row(victim)
    try:
        for _ in range(2):
            trouble.replicas = (Replica(behind=_BEHIND_LEDGERS),)
            await ask_sweeps(stage.settings, [RULE], "drill", stage.clock.now_us())
            await stage.clock.sleep(_STALE_S)
            trouble.replicas = ()
            await stage.clock.sleep(_STALE_S)
    finally:
        trouble.replicas = ()
    await stage.until("the sweep", stage.sweeps_are_over)
    return Planted(frozenset(), frozenset({victim.address}))


async def alter_type(stage: Stage) -> Planted:
    """ALTER TYPE rounds the amounts of every row, and no change tells of it; then a few rows are touched."""
    await stage.pause_load()
    async with stage.connection.transaction():
        await stage.connection.execute(read_sql("alter_type"))
        at = micros_of(await stage.connection.fetchval(read_sql("now")))
    drifting = set()
    for borrower in stage.world.borrowers:
        row = borrower.rows.at(at)
        if row is not None:
            rounded = row._replace(credit_limit=_round(row.credit_limit), available=_round(row.available))
            borrower.rows.add(at, rounded)
            if rounded != row:
                drifting.add(borrower.address)
    for borrower in stage.world.live[:20]:
        stage.load.touch_row(borrower)
    return Planted(frozenset({"continuity"}), frozenset(drifting))


def _round(stroops: int) -> int:
    """PostgreSQL's round of seven decimals to two: half away from zero."""
    return (stroops + 50_000) // 100_000 * 100_000


async def copy_restart(stage: Stage) -> Planted:
    """COPY of 100,000 rows that the chain knows nothing of, Connect killed while they are streamed; then they
    are deleted again."""
    found = Planted()
    rows = _copied_rows(stage)
    addresses = {str(row[1]) for row in rows}
    stage.strangers |= addresses
    before = await stage.taken_in()
    started = stage.clock.now_us()
    await stage.connection.copy_records_to_table("credit_lines", records=rows, columns=_COLUMNS)
    await stage.until("the first rows", lambda: _has_taken(stage, before + COPIED // 20))
    stage.system.supervisor.kill("connect")
    is_told = lambda: len(addresses & stage.open_keys()) == COPIED  # noqa: E731 - asked again and again
    await stage.until("all copied rows", is_told, 300.0)
    opened = [event for event in stage.events if event.key in addresses and event.transition == "opened"]
    if len(opened) != COPIED or any(_since_us(event.value) < started for event in opened):
        found.problems.append(f"{len(opened)} episodes of {COPIED} rows")
    await stage.connection.execute(read_sql("delete_copied"), _FIRST_ID)
    await stage.until("their end", lambda: not addresses & stage.open_keys(), 300.0)
    return found


_COLUMNS: Final = ("id", "wallet_address", "credit_limit", "available_credit", "interest_rate_bps", "status")
_FIRST_ID: Final = 10_000_000


def _copied_rows(stage: Stage) -> list[tuple[object, ...]]:
    row = Row.of(Line(10_000_000, 0, 500))
    return [
        arguments(
            Borrower(_FIRST_ID + n, borrower_address(stage.world.shape.seed, _FIRST_ID + n), False), row
        )
        for n in range(COPIED)
    ]


async def _has_taken(stage: Stage, count: float) -> bool:
    return await stage.taken_in() >= count


def _since_us(value: Mapping[str, object]) -> int:
    return parse_time(str(value["since"]))


DRILLS: Final[Mapping[str, Drill]] = {
    "records_deleted": records_deleted,
    "silent_change": silent_change,
    "silent_overwritten": silent_overwritten,
    "truncate": truncate,
    "slot_dropped": slot_dropped,
    "poller_beyond_retention": poller_beyond_retention,
    "stale_rpc": stale_rpc,
    "copy_restart": copy_restart,
    "clocks_apart": clocks_apart,
    "column_dropped": column_dropped,
    "backup_restored": backup_restored,
    "alter_type": alter_type,
}
"""In the order in which `all` plays them; the last one changes the table for good."""

"""Drills in which a source itself becomes another one: its clock, its columns, its history."""

from __future__ import annotations

from typing import Final

from app.demo.drills.planted import Planted, is_declared, read_sql
from app.demo.drills.stage import RULE, Stage
from app.demo.lines import Row
from app.demo.world import SECOND_US, Borrower
from app.errors import Fatal
from connectors.soroban.times import micros_of

_APART_S: Final = 60
_TOUCHED: Final = 20
_ON_ITS_WAY_S: Final = 8.0
"""Longer than any row of the load follows."""


async def clocks_apart(stage: Stage) -> Planted:
    """The network's clock is a minute ahead for a while, under load; one line changes meanwhile, and its row
    does not follow. Then it is set right: no ledger closes until the time has come past the last one."""
    victim = stage.take()
    found = Planted(frozenset({"clock"}), frozenset({victim.address}))
    stage.contract.ahead_us = _APART_S * SECOND_US
    try:
        await stage.until("the blindness", lambda: stage.status.states(RULE) == {("blind", "clock")})
        stage.change_entry(victim)
        await stage.clock.sleep(_ON_ITS_WAY_S)
        await stage.pause_load()
        await stage.clock.sleep(_ON_ITS_WAY_S)
    finally:
        stage.contract.ahead_us = 0
    await stage.clock.sleep(_APART_S)
    stage.resume_load()
    return found


async def column_dropped(stage: Stage) -> Planted:
    """A column that the rule reads is dropped, later another one is renamed; rows change meanwhile, and a
    line to which its row will not follow. Then all is put right again, with the old values."""
    victim, connection = stage.take(), stage.connection
    await stage.pause_load()
    await stage.clock.sleep(_ON_ITS_WAY_S)
    known = [(each.address, row) for each in stage.world.borrowers if (row := _row_of(each)) is not None]
    await connection.execute(read_sql("drop_column"))
    stage.change_entry(victim)
    _touch_some(stage)
    await stage.until("the incident", lambda: is_declared(stage, "schema"))
    await stage.until("the status", lambda: ("unverifiable", "schema") in stage.status.states(RULE))
    async with connection.transaction():
        await connection.execute(read_sql("add_column"))
        rates = [row.rate_bps for _, row in known]
        await connection.execute(read_sql("fill_column"), [address for address, _ in known], rates)
    await connection.execute(read_sql("rename_column"))
    _touch_some(stage)
    await stage.clock.sleep(2.0)
    await connection.execute(read_sql("rename_back"))
    stage.resume_load()
    return Planted(frozenset({"schema"}), frozenset({victim.address}))


def _touch_some(stage: Stage) -> None:
    for borrower in stage.world.live[:_TOUCHED]:
        stage.load.touch_row(borrower)


def _row_of(borrower: Borrower) -> Row | None:
    return borrower.rows.states[-1] if borrower.rows.states else None


async def backup_restored(stage: Stage) -> Planted:
    """The database goes back to a copy that was made before the last rows changed: its rows, its log and its
    replication slot."""
    postgres = stage.system.postgres
    if postgres is None:
        raise Fatal("restoring", "a backup", "the database is not ours", "unset DRIFTWATCH_DATABASE")
    await stage.pause_load()
    await stage.clock.sleep(_ON_ITS_WAY_S)
    await postgres.back_up()
    copied = {each.address: _row_of(each) for each in stage.world.borrowers}
    await stage.reconnect()
    await stage.system.supervisor.until_ready("connect", 60.0)
    stage.resume_load()
    await stage.clock.sleep(_ON_ITS_WAY_S)
    await stage.pause_load()
    await stage.clock.sleep(_ON_ITS_WAY_S)
    at = micros_of(await stage.connection.fetchval(read_sql("now")))
    await postgres.restore()
    drifting = {each.address for each in stage.world.borrowers if _goes_back(each, at, copied[each.address])}
    await stage.reconnect()
    return Planted(frozenset({"epoch"}), frozenset(drifting))


def _goes_back(borrower: Borrower, at: int, row: Row | None) -> bool:
    """The borrower's row is the copy's again; does it drift from now on?"""
    if row == _row_of(borrower):
        return False
    borrower.rows.add(at, row)
    return row != (None if borrower.line is None else Row.of(borrower.line))

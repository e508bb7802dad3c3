"""Schema recon on a real PostgreSQL: what becomes of records in any order, and what people read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from app.desk.recorder_counts import BOUNDS_S
from app.desk.recorder_records import read_record
from app.errors import Fatal, Poison, Transient
from app.native.child import free_port
from app.recording import Kept, Number, Place, Position
from connectors.postgres.desk.store import DeskStore
from connectors.postgres.migrations.upgrading import newest, statements, upgrade
from tests.support.desk_database import connect, migrated_database
from tests.support.recording import (
    EPISODE,
    RULE,
    Message,
    buried_run,
    example,
    opened,
    run_record,
    status_record,
    story,
)
from tests.support.services import Services

PLACE = Place("drift.mismatches", 0)
CHECKS = {RULE: ("existence", "creditLimit", "availableCredit", "status")}
AFTERWARDS_MS = 1_900_000_000_000
FAR_US = 4_000_000_000_000_000


def kept(messages: Sequence[Message]) -> list[Kept]:
    found = [read_record(message) for message in messages]
    return [each for each in found if isinstance(each, Kept)]


@dataclass
class Desk:
    """A store, empty at first, and a connection to look."""

    store: DeskStore
    connection: asyncpg.Connection[Any]
    dsn: str

    async def record(self, *messages: Message) -> None:
        assert await self.store.record(kept(messages), {}, await self.generation())

    async def generation(self) -> int:
        return (await self.store.read_positions()).generation

    async def one(self, query: str) -> dict[str, Any]:
        [row] = await self.connection.fetch(query)
        return dict(row)

    async def count(self, table: str) -> int:
        found: int = await self.connection.fetchval(f"SELECT count(*) FROM recon.{table}")  # noqa: S608
        return found


@pytest.fixture(scope="module", name="dsn")
def _dsn(services: Services) -> Iterator[str]:
    with migrated_database(services.database, f"recorder_{free_port()}") as dsn:
        yield dsn


@pytest.fixture(name="desk")
async def _desk(dsn: str) -> AsyncIterator[Desk]:
    store, connection = DeskStore(SecretStr(dsn)), await connect(dsn)
    await store.rebuild()
    await connection.execute("DELETE FROM recon.dead_letters; DELETE FROM recon.positions")
    yield Desk(store, connection, dsn)
    await store.close()
    await connection.close()


async def test_an_episode_is_what_its_last_transition_says(desk: Desk) -> None:
    told = story()
    await desk.record(*told[:2])
    row = await desk.one("SELECT * FROM recon.episodes")
    assert (row["state"], row["sequence"], row["resolved_at"]) == ("open", 1, None)
    amounts = await desk.connection.fetch(
        "SELECT field, left_value, difference FROM recon.differences ORDER BY field"
    )
    assert [tuple(each) for each in amounts] == [
        ("availableCredit", "1000", -400),
        ("creditLimit", "1000", -500),
    ]
    await desk.record(*told[2:])
    row = await desk.one("SELECT * FROM recon.episodes")
    assert (row["state"], row["sequence"], row["flaps"], row["cause"]) == ("resolved", 4, 1, "left_moved")
    assert str(row["resolved_at"]) == "2026-08-01 10:04:00.500000+00:00"
    assert str(row["opened_at"]) == "2026-08-01 10:00:37+00:00"
    assert [each["difference"] for each in row["differences"]] == ["100", "100"]


async def test_the_order_and_the_number_of_arrivals_mean_nothing(desk: Desk) -> None:
    told = story()
    await desk.record(*told)
    wanted = await desk.one("SELECT * FROM recon.episodes")
    differences = await desk.connection.fetch("SELECT * FROM recon.differences ORDER BY field")
    await desk.store.rebuild()
    for each in reversed(told):
        await desk.record(each)
        await desk.record(each)
    assert await desk.one("SELECT * FROM recon.episodes") == wanted
    assert await desk.connection.fetch("SELECT * FROM recon.differences ORDER BY field") == differences
    assert await desk.count("transitions") == 5


async def test_two_recorders_may_write_the_same_records_at_once(desk: Desk) -> None:
    other = DeskStore(SecretStr(desk.dsn))
    many = kept([opened(str(number), number) for number in range(300)])
    generation = await desk.generation()
    ends = {PLACE: Position(300, 300), Place("drift.status", 0): Position(1, 1)}
    stored = [store.record(many, ends, generation) for store in (desk.store, other) for _ in range(3)]
    try:
        assert await asyncio.gather(*stored) == [True] * 6
    finally:
        await other.close()
    assert await desk.count("episodes") == 300
    assert (await desk.store.read_positions()).by_place == ends


async def test_nothing_is_kept_where_there_was_a_rebuild_meanwhile(desk: Desk) -> None:
    generation = await desk.generation()
    await desk.store.record(kept(story()), {PLACE: Position(5, 5)}, generation)
    await desk.store.rebuild()
    assert not await desk.store.record(kept(story()), {}, generation)
    assert await desk.count("transitions") == 0
    assert (await desk.store.read_positions()).by_place == {PLACE: Position(0, 5)}


async def test_a_run_that_is_over_stays_over_and_its_checks_are_what_was_open_at_its_end(desk: Desk) -> None:
    await desk.record(*story()[:1], run_record("r", finished_at="2026-08-01T10:00:50Z", state="failed"))
    await desk.record(run_record("r", state="running", finished_at=None))
    await desk.record(*story()[1:])
    assert await desk.store.unsettled() == [(RULE, "r")]
    await desk.store.settle([(RULE, "r")], CHECKS)
    assert await desk.store.unsettled() == []
    found = await desk.connection.fetch("SELECT * FROM recon.reconciliation_checks ORDER BY check_type")
    assert [(row["check_type"], row["passed"], row["exceptions"]) for row in found] == [
        ("availableCredit", False, 1),
        ("creditLimit", False, 1),
        ("existence", True, 0),
        ("status", True, 0),
    ]
    report = await desk.one("SELECT * FROM recon.reconciliation_reports")
    assert (report["status"], report["checks_total"], report["checks_failed"]) == ("failed", 4, 2)


async def test_a_check_of_what_could_not_be_read_neither_passes_nor_fails(desk: Desk) -> None:
    await desk.record(run_record("r", unverifiable=3))
    await desk.store.settle([(RULE, "r")], CHECKS)
    assert {row["passed"] for row in await desk.connection.fetch("SELECT passed FROM recon.checks")} == {None}


async def test_the_views_have_the_columns_that_people_know(desk: Desk) -> None:
    await desk.record(*story()[:1], run_record("r", finished_at="2026-08-01T10:00:50Z", errors=2))
    run = await desk.one(
        "SELECT id, rule, total, matches, mismatches, errors, results, reconciled_at "
        "FROM public.reconciliation_runs"
    )
    assert (run["id"], run["total"], run["mismatches"], run["errors"]) == ("r", 120, 1, 2)
    assert run["total"] == run["matches"] + run["mismatches"] + run["errors"]
    assert [each["episode"] for each in run["results"]] == [EPISODE]
    exception = await desk.one(
        "SELECT id, rule, key, check_type, severity, status, resolved_at, resolved_by, notes, created_at "
        "FROM public.reconciliation_exceptions WHERE resolved_at IS NULL AND severity = 'critical'"
    )
    assert (exception["id"], exception["status"]) == (EPISODE, "open")
    assert exception["check_type"] == "creditLimit,availableCredit"


async def test_a_table_of_somebody_else_is_never_replaced(services: Services) -> None:
    with_own = f"own_{free_port()}"
    admin = await asyncpg.connect(services.database)
    await admin.execute(f"CREATE DATABASE {with_own}")
    dsn = services.database.rpartition("/")[0] + f"/{with_own}"
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("CREATE TABLE public.reconciliation_runs (mine integer)")
        assert await asyncio.gather(upgrade(SecretStr(dsn)), upgrade(SecretStr(dsn))) in (
            [(None, newest()), (newest(), newest())],
            [(newest(), newest()), (None, newest())],
        )
        assert await connection.fetch("SELECT mine FROM public.reconciliation_runs") == []
        assert await connection.fetch("SELECT total FROM recon.reconciliation_runs") == []
        assert await connection.fetch("SELECT passed FROM public.reconciliation_checks") == []
    finally:
        await connection.close()
        await admin.execute(f"DROP DATABASE {with_own} WITH (FORCE)")
        await admin.close()


async def test_status_and_incidents_move_forward_only(desk: Desk) -> None:
    status = example("status.v1", "status")
    later = status | {"updated_at": "2026-08-01T10:06:00Z", "state": "blind", "cause": "silent"}
    incident = example("status.v1", "incident")
    await desk.record(status_record("status|credit-line|0", later), status_record("incident|x", incident))
    await desk.record(
        status_record("status|credit-line|0", status),
        status_record("incident|x", incident | {"state": "open", "until": None}),
    )
    assert (await desk.one("SELECT state FROM recon.status"))["state"] == "blind"
    assert (await desk.one("SELECT state FROM recon.incidents"))["state"] == "closed"


async def test_what_a_person_did_about_a_dead_letter_stays(desk: Desk) -> None:
    await desk.record(buried_run("r"))
    await desk.connection.execute("UPDATE recon.dead_letters SET replayed_at = now()")
    await desk.record(buried_run("r"))
    await desk.store.rebuild()
    row = await desk.one("SELECT kind, reference, attempts, replayed_at FROM recon.dead_letters")
    assert (row["kind"], row["reference"], row["attempts"]) == ("run", "r", 3)
    assert row["replayed_at"] is not None


async def test_a_value_that_no_table_takes_is_poison_and_a_nul_is_none(desk: Desk) -> None:
    generation = await desk.generation()
    with pytest.raises(Poison):
        await desk.store.record(kept([opened("one", since="no time")]), {}, generation)
    assert await desk.count("transitions") == 0
    await desk.record(opened("a\0b"))
    assert (await desk.one("SELECT key FROM recon.episodes"))["key"] == "a\ufffdb"


async def test_it_counts_runs_checks_what_is_open_and_for_how_long(desk: Desk) -> None:
    await desk.record(
        *story()[:1],
        opened("other", severity="low", differences=[]),
        run_record("r", started_at="2026-08-01T10:00:40Z", finished_at="2026-08-01T10:00:50Z"),
        replace(buried_run("q"), timestamp=AFTERWARDS_MS),
    )
    await desk.store.settle([(RULE, "r")], CHECKS)
    found = await desk.store.count(FAR_US, BOUNDS_S)
    assert Number("runs", RULE, "completed", "", 1) in found
    assert Number("checks", RULE, "creditLimit", "failed", 1) in found
    assert Number("checks", RULE, "existence", "passed", 1) in found
    assert Number("open", RULE, "critical", "", 1) in found
    assert Number("open", RULE, "low", "", 1) in found
    assert Number("persistent", RULE, "", "", 1) in found
    assert Number("amount", RULE, "creditLimit", "", 500) in found
    assert Number("amounts", RULE, "creditLimit", "", 1) in found
    assert Number("seconds", RULE, "", "", 10) in found
    assert Number("letters", RULE, "run", "", 1) in found
    [bucket] = [int(each.label) for each in found if each.name == "duration"]
    assert bucket == len([bound for bound in BOUNDS_S if bound >= 10])
    young = await desk.store.count(0, BOUNDS_S)
    assert "persistent" not in {each.name for each in young}


async def test_a_sweep_that_is_done_makes_an_earlier_one_good_and_a_failed_one_does_not(desk: Desk) -> None:
    await desk.record(buried_run("q"))
    late = "2100-01-01T00:00:00Z"
    for name, state, resolved in (("a", "failed", False), ("b", "done", True)):
        await desk.record(run_record(name, state=state, started_at=late, finished_at=late))
        await desk.store.settle([(RULE, name)], CHECKS)
        found = await desk.one("SELECT resolved_at IS NOT NULL AS is_resolved FROM recon.dead_letters")
        assert found["is_resolved"] == resolved


async def test_what_is_over_for_long_enough_is_deleted_and_stays_counted(desk: Desk) -> None:
    first, second, third = (f"2026-08-0{day}T10:00:00Z" for day in (1, 2, 3))
    await desk.record(
        *story(),
        opened("still open"),
        *(
            run_record(name, started_at=at, finished_at=at)
            for name, at in zip("abc", (first, second, third), strict=True)
        ),
        replace(buried_run("q"), timestamp=AFTERWARDS_MS),
    )
    await desk.connection.execute(
        "UPDATE recon.episodes SET state = 'resolved', resolved_at = '2026-08-01' WHERE key <> 'still open'"
    )
    await desk.store.settle([(RULE, "a"), (RULE, "b"), (RULE, "c")], CHECKS)
    before = counters(await desk.store.count(FAR_US, BOUNDS_S))
    whole = await desk.store.forget(FAR_US, 1, BOUNDS_S)
    assert whole == {"episodes": 1, "runs": 1, "incidents": 0, "dead_letters": 0, "audit": 0}
    assert (await desk.store.forget(FAR_US, 100, BOUNDS_S))["runs"] == 1
    assert (await desk.one("SELECT run FROM recon.runs"))["run"] == "c", "the newest of a rule stays"
    assert (await desk.one("SELECT key FROM recon.episodes"))["key"] == "still open"
    assert await desk.count("transitions") == 1
    assert await desk.count("dead_letters") == 1, "nobody has seen to it"
    assert counters(await desk.store.count(FAR_US, BOUNDS_S)) == before

    await desk.connection.execute("UPDATE recon.dead_letters SET replayed_at = now()")
    assert (await desk.store.forget(FAR_US, 100, BOUNDS_S))["dead_letters"] == 1
    assert set((await desk.store.forget(FAR_US, 100, BOUNDS_S)).values()) == {0}


def counters(found: Sequence[Number]) -> dict[tuple[str, ...], float]:
    sums: dict[tuple[str, ...], float] = {}
    for each in found:
        if each.name in ("runs", "checks", "duration", "seconds"):
            place = (each.name, each.rule, each.label, each.sublabel)
            sums[place] = sums.get(place, 0.0) + each.value
    return sums


async def test_without_a_database_it_is_worth_waiting_and_without_a_schema_a_person_is_needed(
    services: Services,
) -> None:
    nobody = DeskStore(SecretStr(f"postgresql://postgres@127.0.0.1:{free_port()}/postgres"))
    with pytest.raises(Transient):
        await nobody.read_positions()
    await nobody.close()
    bare = DeskStore(SecretStr(services.database))
    with pytest.raises(Fatal, match="driftwatch migrate"):
        await bare.read_positions()
    await bare.close()


def test_the_statements_are_printed_without_any_database() -> None:
    printed = statements(is_transactional=True)
    assert printed.startswith("BEGIN;")
    assert printed.rstrip().endswith("COMMIT;")
    assert "CREATE TABLE recon.transitions" in printed
    assert "::timestamptz" in printed
    with pytest.raises(Fatal, match="newer version"):
        statements("9999")

"""Rows of a real PostgreSQL: pages, snapshots, odd names, what is refused, what is survived."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr

from app.detector.model import ABSENT, OUT, RowAsOf
from app.errors import Fatal, Transient
from app.readings import RowPage
from app.rules import LoadedRule, load_rules
from connectors.postgres.reader import RowReader
from tests.support.services import Services


@dataclass
class Database:
    """A database of one test, with a connection and a reader."""

    dsn: str
    connection: asyncpg.Connection[Any]
    reader: RowReader
    folder: Path

    def rule(self, column: str, kind: str = "text", **left: object) -> LoadedRule:
        """A rule over one column."""
        stated = {
            "rule": "one",
            "version": 1,
            "kind": "state",
            "left": {"table": "public.held", "key": "k", **left},
            "right": {"contract": "C", "entry": "e"},
            "fields": {"value": {"left": column, "right": "x", "type": kind}},
        }
        path = self.folder / "one.yaml"
        path.write_text(json.dumps(stated), encoding="utf-8")
        return load_rules([path], {})[0]

    async def pages(self, rule: LoadedRule, size: int) -> list[RowPage]:
        found = [await self.reader.read_page(rule, None, size)]
        while found[-1].after is not None:
            found.append(await self.reader.read_page(rule, found[-1].after, size))
        return found


@pytest.fixture
async def database(
    services: Services, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Database]:
    name = f"rows_{abs(hash(request.node.name)) % 10**8}"
    admin = await asyncpg.connect(services.database)
    await admin.execute(f"CREATE DATABASE {name}")
    dsn = urlsplit(services.database)._replace(path=f"/{name}").geturl()
    connection = await asyncpg.connect(dsn)
    reader = RowReader(SecretStr(dsn), "db", "none")
    yield Database(dsn, connection, reader, tmp_path)
    await reader.close()
    await connection.close()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


def rows_of(pages: list[RowPage]) -> list[RowAsOf]:
    return [row for page in pages for row in page.rows]


async def test_pages_hold_every_row_once_in_the_order_of_the_primary_key(database: Database) -> None:
    await database.connection.execute("CREATE TABLE held (id int PRIMARY KEY, k text, v text)")
    await database.connection.execute(
        "INSERT INTO held SELECT (n * 7919) % 1000, 'k' || n, n FROM generate_series(0, 24) n"
    )
    for size in (1, 7, 25, 26, 5000):
        rows = rows_of(await database.pages(database.rule("v"), size))
        assert len(rows) == 25
        assert [row.row for row in rows] == sorted(row.row for row in rows)  # type: ignore[type-var]
    assert {row.key for row in rows} == {f"k{n}" for n in range(25)}


async def test_names_and_keys_of_any_spelling_are_quoted(database: Database) -> None:
    table, key, value = "Held", "K e'y", 'V"al %s {keys} $1'
    quoted = [
        await database.connection.fetchval("SELECT quote_ident($1)", name) for name in (table, key, value)
    ]
    await database.connection.execute(
        f'CREATE TABLE {quoted[0]} ("A" timestamptz, b char(4), {quoted[1]} text, {quoted[2]} text, '
        'PRIMARY KEY (b, "A"))'
    )
    for n, (b, at) in enumerate((("x", "infinity"), ("x", "2026-01-01"), ("%s", "epoch"), ("'", "epoch"))):
        await database.connection.execute(
            'INSERT INTO "Held" VALUES ($1::text::timestamptz, $2, $3, $4)', at, b, f"k{n}", "v"
        )
    rule = database.rule(value, table=f"public.{table}", key=key, primary_key=["b", "A"])
    rows = rows_of(await database.pages(rule, 1))
    assert {row.key: row.row for row in rows} == {
        "k0": '["x   ","infinity"]',
        "k1": '["x   ","2026-01-01T00:00:00.000000Z"]',
        "k2": '["%s  ","1970-01-01T00:00:00.000000Z"]',
        "k3": '["\'   ","1970-01-01T00:00:00.000000Z"]',
    }
    assert len(rows) == 4


async def test_a_snapshot_names_the_transactions_that_it_does_not_see(database: Database) -> None:
    connection = database.connection
    await connection.execute("CREATE TABLE held (id int PRIMARY KEY, k text, v text)")
    other = await asyncpg.connect(database.dsn)
    open_one = other.transaction()
    await open_one.start()
    await other.execute("INSERT INTO held VALUES (1, 'open', 'x')")
    running = await other.fetchval("SELECT pg_current_xact_id()::text::bigint")
    await connection.execute("INSERT INTO held VALUES (2, 'done', 'x')")
    before = await connection.fetchval("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
    page = await database.reader.read_page(database.rule("v"), None, 10)
    await open_one.commit()
    await other.close()
    (row,) = page.rows
    assert row.key == "done"
    assert running in row.snapshot.running
    assert row.snapshot.xmin <= running < row.snapshot.xmax
    assert before <= row.read_at == page.read_at
    after = await database.reader.read_page(database.rule("v"), None, 10)
    assert {one.key for one in after.rows} == {"open", "done"}


async def test_rows_out_of_scope_are_told_and_rows_without_a_key_counted(database: Database) -> None:
    await database.connection.execute("CREATE TABLE held (id int PRIMARY KEY, k text, v text, gone bool)")
    await database.connection.execute(
        "INSERT INTO held VALUES (1, 'in', 'x', NULL), (2, 'out', 'x', true), (3, NULL, 'x', NULL)"
    )
    scope = {"scope": {"gone": None}}
    page = await database.reader.read_page(database.rule("v", **scope), None, 10)
    assert {row.key: row.value for row in page.rows} == {"in": ("x",), "out": OUT}
    assert page.unreadable == 1
    absent = await database.reader.read_page(database.rule("v", **scope, out_of_scope="absent"), None, 10)
    assert {row.key: row.value for row in absent.rows} == {"in": ("x",), "out": ABSENT}


async def test_an_empty_table_is_one_empty_page_with_its_time(database: Database) -> None:
    await database.connection.execute("CREATE TABLE held (id int PRIMARY KEY, k text, v text)")
    (page,) = await database.pages(database.rule("v"), 10)
    assert page.rows == ()
    assert page.read_at > 0


@pytest.mark.parametrize(
    ("table", "cause"),
    [
        ("CREATE TABLE other (id int)", "there is no such table"),
        ("CREATE VIEW held AS SELECT 1 AS id, 'k' AS k, 'v' AS v", "there is no such table"),
        ("CREATE TABLE held (id int, k text, v text)", "it has no primary key"),
        ("CREATE TABLE held (id int PRIMARY KEY, k text)", r"needs the column\(s\) v"),
        ("CREATE TABLE held (id int PRIMARY KEY, k text, v pg_lsn)", "column v has the type pg_lsn"),
        ("CREATE TABLE held (id int PRIMARY KEY, k text, v int GENERATED ALWAYS AS (1) STORED)", "generated"),
    ],
)
async def test_a_table_that_cannot_be_read_as_the_stream_tells_it_is_refused(
    database: Database, table: str, cause: str
) -> None:
    await database.connection.execute(table)
    with pytest.raises(Fatal, match=rf"public\.held: .*{cause}"):
        await database.reader.read_page(database.rule("v"), None, 10)


async def test_a_rule_of_another_source_is_refused(database: Database) -> None:
    with pytest.raises(Fatal, match="source elsewhere"):
        await database.reader.read_page(database.rule("v", source="elsewhere"), None, 10)


async def test_a_broken_connection_passes_and_the_next_call_goes_on(database: Database) -> None:
    await database.connection.execute("CREATE TABLE held (id int PRIMARY KEY, k text, v text)")
    await database.connection.execute("INSERT INTO held SELECT n, n, n FROM generate_series(1, 4) n")
    rule = database.rule("v")
    first = await database.reader.read_page(rule, None, 2)
    await database.connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'driftwatch reader' AND datname = current_database()"
    )
    with pytest.raises(Transient, match=r"public\.held"):
        await database.reader.read_page(rule, first.after, 2)
    second = await database.reader.read_page(rule, first.after, 2)
    assert [row.key for row in (*first.rows, *second.rows)] == ["1", "2", "3", "4"]


async def test_a_database_that_refuses_is_fatal_and_says_what_to_check(database: Database) -> None:
    await database.connection.execute("CREATE TABLE held (id int PRIMARY KEY, k text, v text)")
    await database.connection.execute("DROP ROLE IF EXISTS driftwatch_nobody")
    await database.connection.execute("CREATE ROLE driftwatch_nobody LOGIN PASSWORD 'secret-of-nobody'")
    place = urlsplit(database.dsn)
    port = f"{place.hostname}:{place.port}"
    nobody = place._replace(netloc=f"driftwatch_nobody:secret-of-nobody@{port}").geturl()
    missing = place._replace(path="/no_such_database").geturl()
    for dsn, cause in ((nobody, "permission denied"), (missing, "does not exist")):
        reader = RowReader(SecretStr(dsn), "db", "none")
        with pytest.raises(Fatal, match=rf"{cause}.*DRIFTWATCH_DATABASE") as refused:
            await reader.read_page(database.rule("v"), None, 10)
        await reader.close()
        assert "secret" not in str(refused.value)
    closed = RowReader(SecretStr("postgresql://postgres@127.0.0.1:1/postgres"), "db", "none")
    with pytest.raises(Transient):
        await closed.read_page(database.rule("v"), None, 10)
    await database.connection.execute("DROP ROLE driftwatch_nobody")


@pytest.mark.parametrize(
    ("declared", "given", "spelled"),
    [
        ("numeric(27,7)", "12.34", "12.3400000"),
        ("numeric", "NaN", "NAN"),
        ("timestamptz", "2026-05-06 07:08:09+02", "2026-05-06T05:08:09.000000Z"),
        ("timestamptz(0)", "2026-05-06 07:08:09+02", "2026-05-06T05:08:09.000000Z"),
        ("timestamptz(3)", "2026-01-02 03:04:05.678901+00", "2026-01-02T03:04:05.679Z"),
        ("timestamp", "2026-05-06 07:08:00", "2026-05-06T07:08:00Z"),
        ("timestamp", "2026-05-06 07:08:09.600", "2026-05-06T07:08:09.6Z"),
        ("date", "0044-03-15 BC", "-0043-03-15Z"),
        ("timetz", "03:04:05.678901+02", "01:04:05.678901Z"),
        ("bytea", "\\x" + "00" * 60, "A" * 80),
        ("inet", "10.0.0.1", "10.0.0.1"),
        ("amount", "5", "5.00"),
        ("char(5)", "ab", "ab   "),
        ("numeric(9,2)[]", "{1.5,NULL}", '["1.50",null]'),
        ("int[]", "{1,NULL,3}", "[1,null,3]"),
        ("boolean", "t", "true"),
        ("real", "0.1", "0.1"),
        ("bigint", "9223372036854775807", "9223372036854775807"),
        ("float8", "-Infinity", "-Infinity"),
        ("jsonb", '{"k": 1e3}', '{"k": 1000}'),
        ("interval", "1 year 2 mons 3 days 04:05:06.789", "P1Y2M3DT4H5M6.789S"),
    ],
)
async def test_a_column_is_spelled_as_the_connector_spells_it(
    database: Database, declared: str, given: str, spelled: str
) -> None:
    await database.connection.execute("CREATE DOMAIN amount AS numeric(9,2)")
    literal = await database.connection.fetchval("SELECT quote_literal($1)", given)
    await database.connection.execute("CREATE TABLE held (id int PRIMARY KEY, k text, v text)")
    await database.connection.execute("INSERT INTO held VALUES (1, 'k', NULL), (2, 'n', NULL)")
    await database.connection.execute(
        f"ALTER TABLE held ALTER v TYPE {declared} USING CASE id WHEN 1 THEN {literal}::{declared} END"
    )
    page = await database.reader.read_page(database.rule("v"), None, 10)
    assert {row.key: row.value for row in page.rows} == {"k": (spelled,), "n": (None,)}


@pytest.mark.parametrize("kind", ["text", "varchar(40)", "char(40)", "uuid"])
async def test_rows_are_read_by_key_and_a_key_without_a_row_is_told(database: Database, kind: str) -> None:
    await database.connection.execute(f"CREATE TABLE held (id int PRIMARY KEY, k {kind}, v text)")
    keys = [f"{n:08d}-0000-0000-0000-000000000000" for n in range(4)]
    stored = [key.ljust(40) if kind.startswith("char") else key for key in keys]
    insert = "INSERT INTO held VALUES ($1, $2::text::kind, 'v')".replace("kind", kind)
    for n, key in enumerate((keys[0], keys[1], keys[1], keys[2])):
        await database.connection.execute(insert, n, key)
    page = await database.reader.read_keys(database.rule("v"), [stored[1], stored[3], stored[0]])
    assert [(row.key, row.row, row.value, row.besides) for row in page.rows] == [
        (stored[1], 1, ("v",), ()),
        (stored[1], 2, ("v",), ()),
        (stored[1], None, ABSENT, (1, 2)),
        (stored[3], None, ABSENT, ()),
        (stored[0], 0, ("v",), ()),
        (stored[0], None, ABSENT, (0,)),
    ]
    assert {row.read_at for row in page.rows} == {page.read_at}
    with pytest.raises(ValueError, match="at most 1000"):
        await database.reader.read_keys(database.rule("v"), ["k"] * 1001)


async def test_pages_end_at_a_place_wherever_rows_came_and_went(database: Database) -> None:
    await database.connection.execute("CREATE TABLE held (a int, b text, k text, v text, PRIMARY KEY (a, b))")
    await database.connection.execute(
        "INSERT INTO held SELECT n / 3, n % 3, 'k' || n, 'v' FROM generate_series(0, 8) n"
    )
    rule = database.rule("v", primary_key=["a", "b"])
    place = (await database.reader.read_page(rule, None, 5)).after
    assert place == ("1", "1")
    await database.connection.execute("DELETE FROM held WHERE k = 'k4'")
    await database.connection.execute("INSERT INTO held VALUES (0, '9', 'new', 'v')")
    first = await database.reader.read_page(rule, None, 3, place)
    rest = await database.reader.read_page(rule, first.after, 3, place)
    assert [row.key for row in (*first.rows, *rest.rows)] == ["k0", "k1", "k2", "new", "k3"]
    assert rest.after is None


async def test_pages_of_two_joined_tables_say_everything_about_each_of_their_keys(database: Database) -> None:
    await database.connection.execute("CREATE TABLE held (k uuid PRIMARY KEY, v text)")
    await database.connection.execute("CREATE TABLE sums (id int PRIMARY KEY, held text, total numeric)")
    keys = [f"00000000-0000-0000-0000-{n:012d}" for n in range(9)]
    await database.connection.executemany("INSERT INTO held VALUES ($1, 'v')", [(key,) for key in keys[:6]])
    sums = [(n, keys[k], n) for n, k in enumerate((5, 4, 4, 8, 7))]
    await database.connection.executemany("INSERT INTO sums VALUES ($1, $2, $3)", [*sums, (9, None, 9)])
    rule = database.rule(
        "total", "integer", join={"table": "public.sums", "on": {"k": "held"}, "missing": {"total": 0}}
    )
    expected = {
        keys[0]: {f"row:{keys[0]}": (0,)},
        keys[4]: {f"row:{keys[4]}": (0,), "join:1": (1,), "join:2": (2,)},
        keys[5]: {f"row:{keys[5]}": (0,), "join:0": (0,)},
        keys[7]: {"join:4": (4,)},
        keys[8]: {"join:3": (3,)},
    }
    for size in (1, 2, 3, 6, 1000):
        pages = await database.pages(rule, size)
        found: dict[str, dict[object, object]] = {}
        for row in rows_of(pages):
            found.setdefault(row.key, {})[row.row] = row.besides if row.row is None else row.value
        for key, rows in found.items():
            assert set(rows.pop(None)) == set(rows), "the read that ends a key names its rows"  # type: ignore[call-overload]
            assert rows == expected.get(key, {f"row:{key}": (0,)})
        assert set(found) == {*keys[:6], keys[7], keys[8]}
        assert sum(page.unreadable for page in pages) == 1
        for page in pages[:-1]:
            bounded = [await database.reader.read_page(rule, None, size, page.after)]
            while bounded[-1].after is not None:
                bounded.append(await database.reader.read_page(rule, bounded[-1].after, size, page.after))
            upto = pages[: pages.index(page) + 1]
            assert {row.key for row in rows_of(bounded)} == {row.key for row in rows_of(upto)}
    page = await database.reader.read_keys(rule, [keys[7], keys[6]])
    assert [(row.key, row.row, row.besides) for row in page.rows] == [
        (keys[7], "join:4", ()),
        (keys[7], None, ("join:4",)),
        (keys[6], None, ()),
    ]

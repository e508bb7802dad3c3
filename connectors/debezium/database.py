"""The database's side of the capture: what it must be like; slot and publication where we may make them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import asyncpg

from app.errors import Fatal, Transient
from app.ports import Finding
from connectors.debezium.capture import CapturedTable

_SQL: Final = files("connectors.debezium") / "sql"
_SERVER, _TABLE, _PUBLICATION, _SLOT = (
    (_SQL / f"{name}.sql").read_text(encoding="utf-8") for name in ("server", "table", "publication", "slot")
)
_PLACE: Final = (_SQL / "place.sql").read_text(encoding="utf-8")
_MAKE_SLOT, _DROP_SLOT, _MAKE_PUBLICATION, _EXTEND_PUBLICATION, _NAME_GENERATION, _ADMINISTRATOR = (
    (_SQL / f"{name}.sql").read_text(encoding="utf-8").strip()
    for name in (
        "make_slot",
        "drop_slot",
        "make_publication",
        "extend_publication",
        "name_generation",
        "administrator",
    )
)
_GENERATION: Final = re.compile(r"driftwatch generation (\S+)")
_CONNECT_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class SlotState:
    """The replication slot as the server sees it. `kept_bytes`: WAL held back for it."""

    is_active: bool
    wal_status: str
    behind_bytes: int
    kept_bytes: int
    confirmed: str | None
    plugin: str
    database: str

    @property
    def is_lost(self) -> bool:
        """Its WAL is gone: what was committed meanwhile can never be streamed."""
        return self.wal_status == "lost"


@dataclass(frozen=True, slots=True)
class Names:
    """Slot and publication."""

    slot: str
    publication: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server's log stands. `history`: system identifier and timeline; positions of one history
    only grow. `at_us`: the server's clock."""

    history: str
    position: int
    at_us: int


class SourceDatabase:
    """One connection to the captured database. Every failure of the connection is `Transient`."""

    def __init__(self, connection: asyncpg.Connection, names: Names) -> None:
        self._connection, self.names = connection, names

    async def slot(self) -> SlotState | None:
        """None where there is no slot of that name."""
        row = await self._one(_SLOT, self.names.slot)
        if row is None:
            return None
        return SlotState(
            row["active"],
            row["wal_status"] or "lost",
            row["behind_bytes"] or 0,
            row["kept_bytes"] or 0,
            row["confirmed"],
            row["plugin"],
            row["database"],
        )

    async def generation(self) -> str:
        """What tells this slot from an earlier one of its name; "0" where nobody wrote it down."""
        row = await self._one(_PUBLICATION, self.names.publication)
        found = None if row is None else _GENERATION.search(row["comment"] or "")
        return "0" if found is None else found[1]

    async def place(self) -> Place:
        """Where the log stands now."""
        row = await self._one(_PLACE)
        if row is None:
            raise AssertionError("a SELECT without FROM has a row")
        return Place(row["history"], int(row["position"]), int(row["at_us"]))

    async def find_missing_columns(self, table: CapturedTable) -> list[str]:
        """Columns that rules read and the table has not; all of them where there is no table."""
        row = await self._one(_TABLE, table.schema, table.table)
        there = () if row is None else row["columns"]
        return [name for name in table.columns if name not in there]

    async def primary_keys(self, tables: Sequence[CapturedTable]) -> Mapping[str, Sequence[str]]:
        """By table, the columns of its primary key."""
        found: dict[str, Sequence[str]] = {}
        for table in tables:
            row = await self._one(_TABLE, table.schema, table.table)
            found[table.name] = [] if row is None else list(row["primary_key"])
        return found

    async def make_publication(self, tables: Sequence[CapturedTable]) -> None:
        """Create the publication, or add the tables that it lacks."""
        row = await self._one(_PUBLICATION, self.names.publication)
        covered = set() if row is None else set(row["tables"])
        lacking = [table for table in tables if table.name not in covered]
        if lacking:
            template = _MAKE_PUBLICATION if row is None else _EXTEND_PUBLICATION
            await self._run(_filled(template, self.names, lacking))

    async def make_slot(self) -> str:
        """Create the slot; its generation, written down as the publication's comment. A restored backup makes
        its slot at the same position as the last time, so the time is part of it."""
        row = await self._one(_MAKE_SLOT, self.names.slot)
        generation = "0" if row is None else str(row["generation"])
        await self._run(_filled(_NAME_GENERATION, self.names, ()).replace("{generation}", generation))
        return generation

    async def drop_slot(self) -> None:
        """Give up a slot whose WAL is gone."""
        await self._one(_DROP_SLOT, self.names.slot)

    # ---- findings

    async def find(self, tables: Sequence[CapturedTable]) -> list[Finding]:
        """Everything that must be right before the connector may run, in the order in which to mend it."""
        found = await self._find_server()
        for table in tables:
            found.append(await self._find_table(table))
        found.append(await self._find_publication(tables))
        found.append(await self._find_slot())
        return found

    async def _find_server(self) -> list[Finding]:
        row = await self._one(_SERVER)
        if row is None:
            raise AssertionError("a SELECT without FROM has a row")
        level, kept = row["wal_level"], row["max_slot_wal_keep_size"]
        bound = "ALTER SYSTEM SET max_slot_wal_keep_size = '20GB' and reload"
        return [
            Finding(
                "wal_level",
                level == "logical",
                level,
                "ALTER SYSTEM SET wal_level = 'logical' and restart PostgreSQL",
            ),
            Finding(
                "replication role",
                bool(row["may_replicate"]),
                row["role"],
                f'ALTER ROLE "{row["role"]}" REPLICATION',
            ),
            Finding(
                "max_slot_wal_keep_size",
                kept != "-1",
                "no bound: a connector that stays away fills the disk" if kept == "-1" else kept,
                bound,
                is_advice=True,
            ),
        ]

    async def _find_table(self, table: CapturedTable) -> Finding:
        subject = f"table {table.name}"
        row = await self._one(_TABLE, table.schema, table.table)
        if row is None:
            remedy = f"create it, or correct left.table of {', '.join(table.rules)}"
            return Finding(subject, False, "there is no such table", remedy)
        unknown = [name for name in table.columns if name not in row["columns"]]
        if unknown:
            remedy = f"its columns: {', '.join(row['columns'])}"
            return Finding(subject, False, f"it has no column {', '.join(unknown)}", remedy)
        if not row["primary_key"]:
            return Finding(subject, False, "it has no primary key", "give it one: rows need an identity")
        return Finding(subject, *_judge_identity(table, row))

    async def _find_publication(self, tables: Sequence[CapturedTable]) -> Finding:
        subject = f"publication {self.names.publication}"
        row = await self._one(_PUBLICATION, self.names.publication)
        if row is None:
            remedy = _filled(_MAKE_PUBLICATION, self.names, tables)
            return Finding(subject, False, "it is missing", remedy)
        lacking = [table for table in tables if table.name not in row["tables"]]
        if lacking:
            named = ", ".join(table.name for table in lacking)
            remedy = _filled(_EXTEND_PUBLICATION, self.names, lacking)
            return Finding(subject, False, f"it lacks {named}", remedy)
        whole = "SET (publish = 'insert, update, delete, truncate')"
        remedy = f"ALTER PUBLICATION {_name(self.names.publication)} {whole}"
        return Finding(subject, bool(row["is_whole"]), "covers all tables", remedy)

    async def _find_slot(self) -> Finding:
        subject, slot = f"slot {self.names.slot}", await self.slot()
        remedy = f"SELECT pg_create_logical_replication_slot('{self.names.slot}', 'pgoutput')"
        if slot is None:
            return Finding(subject, False, "it is missing", f"driftwatch connect --create-slot, or {remedy}")
        if slot.is_lost:
            dropped = f"SELECT pg_drop_replication_slot('{self.names.slot}')"
            return Finding(subject, False, "its WAL is gone (wal_status lost)", f"{dropped}; {remedy}")
        if slot.plugin != "pgoutput":
            return Finding(subject, False, f"its plugin is {slot.plugin}", "choose another DRIFTWATCH_SLOT")
        shown = f"{'active' if slot.is_active else 'inactive'}, {slot.kept_bytes / 1e6:.1f} MB of WAL kept"
        return Finding(subject, True, shown, "")

    # ---- queries

    async def clock_offset_ms(self, now_us: int) -> float:
        """How far the server's clock is ahead of ours, in milliseconds."""
        row = await self._one(_SERVER)
        if row is None:
            raise AssertionError("a SELECT without FROM has a row")
        return float(row["now"].timestamp() * 1000 - now_us / 1000)

    async def _one(self, sql: str, *arguments: object) -> Any:
        try:
            return await self._connection.fetchrow(sql, *arguments)
        except asyncpg.InsufficientPrivilegeError as error:
            raise Fatal("asking", "the database", error, "see driftwatch check --sql") from error
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise Transient("asking", "the database", error) from error
        except asyncpg.PostgresError as error:
            raise Fatal("asking", "the database", error, "see driftwatch check") from error

    async def _run(self, sql: str) -> None:
        try:
            await self._connection.execute(sql)
        except asyncpg.InsufficientPrivilegeError as error:
            hint = f"let an administrator run: {sql}"
            raise Fatal("preparing", "the database", error, hint) from error
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise Transient("preparing", "the database", error) from error


@asynccontextmanager
async def open_source(dsn: str, names: Names) -> AsyncIterator[SourceDatabase]:
    """A connection to the database. Raises `Transient` where it cannot be reached, `Fatal` where it refuses
    us; neither shows the password."""
    hint = "is PostgreSQL up at DRIFTWATCH_DATABASE?"
    try:
        connection = await asyncpg.connect(dsn, timeout=_CONNECT_TIMEOUT_S)
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        raise Fatal("connecting to", "the database", error, "check DRIFTWATCH_DATABASE") from error
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise Transient("connecting to", "the database", error, hint) from error
    except ValueError as error:
        raise Fatal("reading", "DRIFTWATCH_DATABASE", error, "postgresql://user@host:5432/name") from error
    try:
        yield SourceDatabase(connection, names)
    finally:
        await connection.close(timeout=5)


def administrator_sql(names: Names, tables: Sequence[CapturedTable], role: str) -> str:
    """Every statement that an administrator runs once, ready to be pasted."""
    columns = {
        "{role}": _name(role),
        "{grants}": ", ".join(_name(table.schema) + "." + _name(table.table) for table in tables),
        "{schemas}": ", ".join(sorted({_name(table.schema) for table in tables})),
        "{identities}": "\n".join(
            f"ALTER TABLE {_name(table.schema)}.{_name(table.table)} REPLICA IDENTITY FULL;"
            for table in tables
        ),
    }
    text = _filled(_ADMINISTRATOR, names, tables)
    for placeholder, value in columns.items():
        text = text.replace(placeholder, value)
    return text


def _judge_identity(table: CapturedTable, row: Mapping[str, Any]) -> tuple[bool, str, str]:
    """Under the wrong replica identity a delete comes with an empty key, in a wrong partition (measured)."""
    identity = row["identity"]
    full = f"ALTER TABLE {_name(table.schema)}.{_name(table.table)} REPLICA IDENTITY FULL"
    if identity == "f":
        return True, "replica identity full", ""
    covered = {"d": row["primary_key"], "i": row["identity_index"]}.get(identity, [])
    if table.key not in covered:
        return False, f"its replica identity does not cover the key column {table.key}", full
    if table.images_are_full:
        return False, "the rule says replica_identity: full, and it is not", full
    return True, f"replica identity covers {table.key}", ""


def _filled(template: str, names: Names, tables: Sequence[CapturedTable]) -> str:
    listed = ", ".join(_name(table.schema) + "." + _name(table.table) for table in tables)
    return (
        template.replace("{publication}", _name(names.publication))
        .replace("{slot}", names.slot)
        .replace("{tables}", listed)
    )


def _name(identifier: str) -> str:
    """An identifier, quoted where it must be."""
    if re.fullmatch(r"[a-z_][a-z0-9_]*", identifier):
        return identifier
    return '"' + identifier.replace('"', '""') + '"'

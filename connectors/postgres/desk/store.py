"""Writes what the recorder keeps into schema recon, and counts what is there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, Final

import asyncpg
import orjson
from pydantic import SecretStr

from app.errors import DriftwatchError, Fatal, Poison, Transient
from app.recording import FORGOTTEN, Kept, Kind, Number, Place, Position, Positions, latest_rows
from app.telemetry import get_logger
from connectors.postgres.migrations.upgrading import upgrade

log = get_logger(__name__)

_SQL: Final = files("connectors.postgres.desk") / "sql"
_SUBJECT: Final = "the desk's database"
_PASSING: Final = ("08", "25", "40", "53", "55", "57", "58")
"""SQLSTATE classes of trouble that ends by itself."""
_OF_THE_ROW: Final = ("22", "23")
"""SQLSTATE classes of a value that no table takes."""
_NUL: Final = b"\\u0000"


def sql(name: str) -> str:
    """A statement of this package."""
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")


class DeskStore:
    """Implements `app.desk.ports.Store`. Connects when it is needed, and again after each failure.

    `migrates`: bring the schema to the newest revision before the first statement.
    """

    def __init__(self, database: SecretStr, *, migrates: bool = False, application: str = "recorder") -> None:
        self._database, self._migrates = database, migrates
        self._application = f"driftwatch {application}"
        self._pool: asyncpg.Pool[Any] | None = None

    async def close(self) -> None:
        """Close all connections; the store may be used again afterwards."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()

    async def read_positions(self) -> Positions:
        async with self._transaction("reading the positions in") as connection:
            generation = await connection.fetchval(sql("generation"))
            found = await connection.fetch(sql("places"))
        return Positions(
            int(generation),
            {
                Place(row["topic"], row["partition"]): Position(row["next_offset"], row["told_offset"])
                for row in found
            },
        )

    async def record(
        self, kept: Sequence[Kept], positions: Mapping[Place, Position], generation: int
    ) -> bool:
        rows = latest_rows(kept)
        async with self._transaction("recording in") as connection:
            if await connection.fetchval(sql("generation")) != generation:
                return False
            await connection.execute(sql("take_places"), _json(_plain(positions)))
            for kind in Kind:
                if rows.get(kind):
                    await connection.execute(sql(kind.value), _json(rows[kind]))
            episodes = sorted({_without_nul(row["episode"]) for row in rows.get(Kind.TRANSITIONS, ())})
            if episodes:
                for name in ("episodes", "drop_differences", "differences"):
                    await connection.execute(sql(name), episodes)
        return True

    async def unsettled(self) -> Sequence[tuple[str, str]]:
        async with self._transaction("reading the runs in") as connection:
            return [(row["rule"], row["run"]) for row in await connection.fetch(sql("unsettled"))]

    async def settle(self, runs: Sequence[tuple[str, str]], checks: Mapping[str, Sequence[str]]) -> None:
        rules, names = [rule for rule, _ in runs], [run for _, run in runs]
        known = {rule: list(each) for rule, each in checks.items()}
        async with self._transaction("writing checks into") as connection:
            await connection.execute(sql("settle"), rules, names, _json(known))

    async def count(self, persistent_before_us: int, bounds_s: Sequence[float]) -> Sequence[Number]:
        falling = sorted(-bound for bound in bounds_s)
        async with self._transaction("counting in") as connection:
            found = await connection.fetch(sql("numbers"), persistent_before_us, falling)
        return [
            Number(
                row["name"], row["rule"] or "", row["label"] or "", row["sublabel"] or "", float(row["value"])
            )
            for row in found
        ]

    async def forget(self, before_us: int, most: int, bounds_s: Sequence[float]) -> Mapping[str, int]:
        falling = sorted(-bound for bound in bounds_s)
        found: dict[str, int] = {}
        for table in FORGOTTEN:
            more = (falling,) if table == "runs" else ()
            async with self._transaction("deleting from") as connection:
                found[table] = await connection.fetchval(sql(f"forget_{table}"), before_us, most, *more)
        return found

    async def rebuild(self) -> None:
        async with self._transaction("emptying") as connection:
            await connection.execute(sql("raise_generation"))
            await connection.execute(sql("rebuild"))

    # ---- connections

    @asynccontextmanager
    async def _transaction(self, doing: str) -> AsyncIterator[Any]:
        try:
            pool = await self._open()
            async with pool.acquire(timeout=10.0) as connection, connection.transaction():
                yield connection
        except DriftwatchError:
            raise
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise _understood(doing, error) from error
        except asyncpg.InternalClientError as error:  # what a closed connection may answer (asyncpg 0.32)
            raise Transient(doing, _SUBJECT, error) from error

    async def _open(self) -> asyncpg.Pool[Any]:
        if self._migrates:
            before, now = await upgrade(self._database)
            self._migrates = False
            if before != now:
                log.info("Schema recon was migrated", event_name="migrated", before=before, now=now)
        if self._pool is None:
            self._pool = await asyncpg.create_pool(
                self._database.get_secret_value(),
                min_size=0,
                max_size=3,
                timeout=10.0,
                command_timeout=60.0,
                server_settings={"application_name": self._application, "timezone": "UTC"},
            )
        return self._pool


def _understood(doing: str, error: Exception) -> DriftwatchError:
    state = getattr(error, "sqlstate", None) or ""
    if state.startswith(_OF_THE_ROW):
        return Poison(doing, _SUBJECT, error)
    if not state or state.startswith(_PASSING):
        return Transient(doing, _SUBJECT, f"{type(error).__name__} {error}".strip(), "is the database up?")
    return Fatal(doing, _SUBJECT, error, "run `driftwatch migrate`; may this role write in schema recon?")


def _plain(positions: Mapping[Place, Position]) -> Iterable[Mapping[str, object]]:
    return [
        {
            "topic": place.topic,
            "partition": place.partition,
            "next_offset": position.next,
            "told_offset": position.told,
        }
        for place, position in positions.items()
    ]


def _json(rows: object) -> str:
    """PostgreSQL has no NUL: U+FFFD stands for it."""
    text = orjson.dumps(rows, default=dict)
    if _NUL in text:
        text = orjson.dumps(_without_nul(orjson.loads(text)))
    return text.decode()


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_without_nul(each) for each in value]
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(each) for name, each in value.items()}
    return value

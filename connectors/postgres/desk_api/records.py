"""The recorder's tables, read in pages; resolutions and the audit log, written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from app.cases import (
    LARGEST_PAGE,
    Act,
    History,
    KeyRecord,
    Outcome,
    Page,
    Resolution,
    Row,
    Scope,
    Standing,
    Wanted,
)
from connectors.postgres.desk_api.keys import read_key
from connectors.postgres.desk_api.pool import Connection, DeskPool, sql

READING: Final = "reading the desk's records"
WRITING: Final = "writing to the desk's records"


class DeskRecords:
    """Every call is one short transaction. Raises what the pool raises."""

    def __init__(self, pool: DeskPool) -> None:
        self._pool = pool

    async def ping(self) -> None:
        """Is the database there, and the schema in it?"""
        await self._fetch("ping")

    # ---- exceptions

    async def list_exceptions(self, wanted: Wanted, page: Page) -> Sequence[Row]:
        """By creation, newest first."""
        filters = (wanted.rule, wanted.key, wanted.severity, wanted.status, wanted.since, wanted.until)
        return await self._fetch("list_exceptions", *_scope(wanted.scope), *filters, *_behind(page))

    async def find_exception(self, scope: Scope, episode: str) -> Row | None:
        """None as well where it is not in scope."""
        return _one(await self._fetch("find_exception", *_scope(scope), episode))

    async def resolve(self, scope: Scope, episode: str, resolution: Resolution) -> Outcome:
        """The episode is locked until the word about it is written: a transition that the recorder brings
        meanwhile comes after it, and ends it."""
        async with self._pool.use(WRITING) as connection, connection.transaction():
            found = await connection.fetchrow(sql("lock_episode"), *_scope(scope), episode)
            if found is None:
                return Outcome.UNKNOWN
            if found["state"] != "open":
                return Outcome.CLOSED
            if resolution.sequence not in (None, found["sequence"]):
                return Outcome.MOVED
            said = (resolution.resolved_by, resolution.notes, resolution.actor, resolution.at)
            if await connection.fetchval(sql("write_resolution"), episode, found["sequence"], *said):
                await append(
                    connection,
                    Act(
                        resolution.actor,
                        "resolve",
                        episode,
                        resolution.at,
                        {
                            "resolved_by": resolution.resolved_by,
                            "notes": resolution.notes,
                            "sequence": found["sequence"],
                        },
                    ),
                )
        return Outcome.DONE

    # ---- runs

    async def list_runs(self, wanted: Wanted, page: Page) -> Sequence[Row]:
        """By their start, newest first."""
        filters = (wanted.rule, wanted.status, wanted.since, wanted.until)
        return await self._fetch("list_runs", *_scope(wanted.scope), *filters, *_behind(page))

    async def find_run(self, scope: Scope, run: str) -> Row | None:
        """None as well where it is not in scope."""
        return _one(await self._fetch("find_run", *_scope(scope), run))

    async def latest_runs(self, scope: Scope) -> Sequence[Row]:
        """Sweeps only."""
        return await self._fetch("latest_runs", *_scope(scope))

    # ---- rules and keys

    async def standing(self, scope: Scope) -> Standing:
        """Both parts as of one moment."""
        async with self._pool.use(READING) as connection, connection.transaction(isolation="repeatable_read"):
            partitions = await connection.fetch(sql("partitions"), *_scope(scope))
            counts = await connection.fetch(sql("open_counts"), *_scope(scope))
        return Standing(_plain(partitions), _plain(counts))

    async def history(self, rule: str, key: str) -> History:
        """At most 1,000 episodes and transitions, the last ones."""
        async with self._pool.use(READING) as connection, connection.transaction(isolation="repeatable_read"):
            episodes = await connection.fetch(sql("key_episodes"), rule, key, LARGEST_PAGE)
            transitions = await connection.fetch(sql("key_transitions"), rule, key, LARGEST_PAGE)
        return History(_plain(episodes), _plain(transitions))

    # ---- dead letters

    async def list_dead_letters(self, wanted: Wanted, page: Page) -> Sequence[Row]:
        """By when they were given up, newest first."""
        filters = (wanted.rule, wanted.kind, wanted.since, wanted.until)
        return await self._fetch("list_dead_letters", *_scope(wanted.scope), *filters, *_behind(page))

    async def find_dead_letters(self, scope: Scope, ids: Sequence[str]) -> Sequence[Row]:
        """Those that are there and in scope, in any order."""
        return await self._fetch("find_dead_letters", *_scope(scope), list(ids))

    async def mark_replayed(self, ids: Sequence[str], at: datetime) -> None:
        """Says when they were sent again."""
        await self._fetch("mark_replayed", list(ids), at)

    # ---- people

    async def record(self, act: Act) -> None:
        """Add a line to the audit log."""
        async with self._pool.use(WRITING) as connection, connection.transaction():
            await append(connection, act)

    async def find_key(self, key_id: str) -> KeyRecord | None:
        """The key with this id, good or not."""
        row = _one(await self._fetch("find_key", key_id))
        return None if row is None else read_key(row)

    async def _fetch(self, name: str, *arguments: object) -> list[dict[str, Any]]:
        async with self._pool.use(READING) as connection:
            return _plain(await connection.fetch(sql(name), *arguments))


async def append(connection: Connection, act: Act) -> None:
    """One more line, inside the caller's transaction."""
    await connection.execute(sql("append_audit"), act.at, act.who, act.what, act.subject, dict(act.detail))


def _scope(scope: Scope) -> tuple[list[str] | None]:
    return (None if scope.rules is None else sorted(scope.rules),)


def _behind(page: Page) -> tuple[datetime | None, str | None, int]:
    if page.after is None:
        return None, None, page.size
    return page.after.at, page.after.id, page.size


def _plain(rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in rows]


def _one(rows: Sequence[Row]) -> Row | None:
    return rows[0] if rows else None

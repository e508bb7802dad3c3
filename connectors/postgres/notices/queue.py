"""The notices of one target, in the order in which it is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
import orjson
from pydantic import SecretStr

from app.cases import to_us
from app.notices import Burst, Depth, Fold, Grouping, Outcome, Queued, Settled, Severity, letter_id
from connectors.postgres.notices.outbox import add
from connectors.postgres.notices.session import Session, sql


class NoticeQueue:
    """One connection, whose advisory lock says that this process tells the target; the lock ends with it."""

    def __init__(self, database: SecretStr, target: str) -> None:
        self._session, self._target = Session(database), target
        self._holder: object = None

    async def close(self) -> None:
        await self._session.close()

    async def hold(self) -> bool:
        """Is this the process that tells the target?"""
        if self._holder is not None and self._holder is self._session.connection:
            return True
        async with self._session.transaction("taking a target in") as connection:
            is_held = bool(await connection.fetchval(sql("hold"), self._target))
        self._holder = self._session.connection if is_held else None
        return is_held

    async def close_windows(self, grouping: Grouping, fold: Fold) -> None:
        """Let go what windows that are over have held: one by one, or folded into one where it is much."""
        async with self._session.transaction("closing windows in") as connection:
            closing = await connection.fetch(sql("closing"), self._target, grouping.window_s)
        for row in closing:
            async with self._session.transaction("closing a window in") as connection:
                await connection.execute(sql("lock"))
                await self._close_window(connection, (row["rule"], row["until"]), grouping, fold)

    async def _close_window(
        self,
        connection: asyncpg.Connection[Any],
        window: tuple[str, datetime],
        grouping: Grouping,
        fold: Fold,
    ) -> None:
        which = (self._target, *window)
        counts = await connection.fetch(sql("counts"), *which)
        if sum(row["count"] for row in counts) <= grouping.over:
            await connection.execute(sql("release"), *which)
            return
        first = await connection.fetch(sql("first"), *which, grouping.listed)
        burst = Burst(
            self._target,
            window[0],
            first[0]["id"],
            {(row["type"], Severity(row["severity"])): row["count"] for row in counts},
            await connection.fetchval(sql("keys"), *which),
            to_us(min(row["since"] for row in counts)),
            to_us(max(row["until"] for row in counts)),
            [orjson.loads(row["payload"]) for row in first],
        )
        group = fold(burst)
        await connection.execute(sql("fold"), *which, group.id)
        await add(connection, [group])

    async def due(self, most: int) -> Sequence[Queued]:
        """Those whose turn has come, oldest first: none behind an earlier one of its key or rule."""
        async with self._session.transaction("reading notices in") as connection:
            found = await connection.fetch(sql("due"), self._target, most)
        return [Queued(row["id"], row["payload"], row["attempts"]) for row in found]

    async def settle(self, settled: Sequence[Settled]) -> None:
        """What became of attempts, in one transaction."""

        def of(outcome: Outcome) -> list[Settled]:
            return [each for each in settled if each.outcome is outcome]

        async with self._session.transaction("settling notices in") as connection:
            if told := [each.id for each in of(Outcome.DELIVERED)]:
                letters = [letter_id(self._target, each) for each in told]
                await connection.execute(sql("delivered"), self._target, told, letters)
            if again := of(Outcome.RETRY):
                await connection.execute(
                    sql("retry"),
                    self._target,
                    [each.id for each in again],
                    [each.again_in_s for each in again],
                    [each.error for each in again],
                )
            if dead := of(Outcome.DEAD):
                await connection.execute(
                    sql("dead"),
                    self._target,
                    [each.id for each in dead],
                    [letter_id(self._target, each.id) for each in dead],
                    [each.error for each in dead],
                )

    async def depth(self) -> Depth:
        """What the target has not been told."""
        async with self._session.transaction("counting notices in") as connection:
            row = await connection.fetchrow(sql("depth"), self._target)
        return Depth(row["waiting"], row["oldest_s"], row["dead"]) if row else Depth(0, 0.0, 0)

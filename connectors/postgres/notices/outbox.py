"""What targets are to be told, each once: rows that are committed before the topic's offset is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg
import orjson
from pydantic import SecretStr

from app.cases import to_time
from app.notices import Decide, DecideCalm, Decided, Flapping, Known, Lane, Notice, Transition
from connectors.postgres.notices.session import Session, sql


class NoticeOutbox:
    """Keeps notices. Transactions that add any take turns, also those of other processes: places are handed
    out in the order of commits."""

    def __init__(self, database: SecretStr) -> None:
        self._session = Session(database)

    async def close(self) -> None:
        await self._session.close()

    async def admit(self, arrived: Sequence[Transition], decide: Decide) -> int:
        """Keep what is decided about those that come for the first time; how many those were."""
        async with self._session.transaction("keeping notices in") as connection:
            await connection.execute(sql("lock"))
            added = await connection.fetch(sql("new_events"), [each.id for each in arrived])
            fresh = {row["id"] for row in added}
            new = list({each.id: each for each in reversed(arrived) if each.id in fresh}.values())[::-1]
            if new:
                await _write(connection, decide(new, await _known(connection, new)))
        return len(new)

    async def calm(self, decide: DecideCalm) -> int:
        """Let the keys that are calm by now be so; how many those were."""
        async with self._session.transaction("looking for calm keys in") as connection:
            await connection.execute(sql("lock"))
            states = _states(await connection.fetch(sql("calm")))
            if states:
                await _write(connection, decide(states))
        return len(states)

    async def forget(self) -> None:
        """Drop what is older than anything that the topic still holds."""
        async with self._session.transaction("tidying") as connection:
            await connection.execute(sql("forget_events"))
            await connection.execute(sql("forget_notices"))

    async def count_strangers(self, targets: Sequence[str]) -> Mapping[str, int]:
        """Notices that wait for targets other than these, by their names."""
        async with self._session.transaction("reading") as connection:
            found = await connection.fetch(sql("strangers"), list(targets))
        return {row["target"]: row["count"] for row in found}


async def add(connection: asyncpg.Connection[Any], notices: Sequence[Notice]) -> None:
    """Add notices in their order; one that is there already stays as it is."""
    await connection.execute(
        sql("add"),
        [each.id for each in notices],
        [each.target for each in notices],
        [each.kind.value for each in notices],
        [each.rule for each in notices],
        [each.lane for each in notices],
        [each.episode for each in notices],
        [each.severity.value for each in notices],
        [to_time(each.at_us) for each in notices],
        [each.payload for each in notices],
        [each.is_held for each in notices],
    )


async def _known(connection: asyncpg.Connection[Any], new: Sequence[Transition]) -> Known:
    told = await connection.fetch(sql("told"), list({each.episode for each in new}))
    lanes = {(each.rule, each.lane) for each in new}
    states = await connection.fetch(sql("flapping"), [rule for rule, _ in lanes], [lane for _, lane in lanes])
    return Known(frozenset((row["target"], row["episode"]) for row in told), _states(states))


def _states(found: Iterable[Any]) -> dict[Lane, Flapping]:
    return {
        (row["rule"], row["lane"]): Flapping(
            tuple(row["flaps_us"]),
            row["began"],
            tuple(row["told"]),
            row["quiet"],
            None if row["last"] is None else orjson.loads(row["last"]),
        )
        for row in found
    }


async def _write(connection: asyncpg.Connection[Any], decided: Decided) -> None:
    await add(connection, decided.notices)
    for (rule, lane), (state, calm_at_us) in decided.flapping.items():
        if state.is_empty:
            await connection.execute(sql("forget_key"), rule, lane)
        else:
            await connection.execute(
                sql("remember"),
                rule,
                lane,
                list(state.flaps_us),
                state.began,
                list(state.told),
                state.quiet,
                None if state.last is None else orjson.dumps(state.last).decode(),
                to_time(calm_at_us),
            )

"""Notices that were given up: listed, and told again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import SecretStr

from app.cases import to_us
from app.detector.values import format_time
from app.errors import Fatal
from app.notices import Letter
from connectors.postgres.notices.session import Session, sql

_MOST: Final = 10_000


class WebhookLetters:
    """The dead letters of kind `webhook`. Raises `Transient`, and `Fatal` where the tables are not there."""

    def __init__(self, database: SecretStr) -> None:
        self._session = Session(database)

    async def close(self) -> None:
        await self._session.close()

    async def list_letters(self) -> Sequence[Letter]:
        """Those that were not told since, oldest first, ten thousand at most."""
        async with self._session.transaction("reading dead letters in") as connection:
            found = await connection.fetch(sql("letters"), _MOST)
        return [_letter(row) for row in found]

    async def replay(self, ids: Sequence[str] | None) -> Sequence[str]:
        """Let these (None: all) be told again, by whatever notifier runs, under the ids that they had; the
        letters for which that is so. One that waits already, or was told since, is left alone. Raises `Fatal`
        where an id is no dead letter of a webhook: nothing is done then."""
        async with self._session.transaction("replaying dead letters in") as connection:
            if ids is not None:
                known = {row["id"] for row in await connection.fetch(sql("known_letters"), list(ids))}
                unknown = [each for each in ids if each not in known]
                if unknown:
                    hint = "driftwatch alert dead-letters lists them"
                    raise Fatal("replaying", ", ".join(unknown), "no dead letter of a webhook", hint)
            found = await connection.fetch(sql("replay"), None if ids is None else list(ids))
        return [row["id"] for row in found]

    async def resend(self, letters: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        """The same for records of `recon.dead_letters`; durable on return, none is refused."""
        await self.replay([str(letter["id"]) for letter in letters])
        return {}


def _letter(row: Mapping[str, Any]) -> Letter:
    target, _, notice = row["reference"].partition("/")
    replayed = row["replayed_at"]
    return Letter(
        row["id"],
        target,
        notice,
        row["rule"],
        row["reason"],
        row["attempts"],
        format_time(to_us(row["created_at"])),
        None if replayed is None else format_time(to_us(replayed)),
    )

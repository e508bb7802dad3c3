"""What the API needs of others: records of drift, API keys, somebody who sweeps, somebody who sends again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from app.cases import Act, History, KeyRecord, Outcome, Page, Resolution, Row, Scope, Standing, Wanted


class Records(Protocol):
    """What the recorder has kept. Lists are newest first. Every call raises `Transient` while the records
    cannot be reached, and `Fatal` where they were never set up."""

    async def ping(self) -> None: ...

    async def list_exceptions(self, wanted: Wanted, page: Page) -> Sequence[Row]: ...
    async def find_exception(self, scope: Scope, episode: str) -> Row | None: ...
    async def resolve(self, scope: Scope, episode: str, resolution: Resolution) -> Outcome:
        """The resolution and its line in the audit log are one transaction."""
        ...

    async def list_runs(self, wanted: Wanted, page: Page) -> Sequence[Row]: ...
    async def find_run(self, scope: Scope, run: str) -> Row | None: ...
    async def latest_runs(self, scope: Scope) -> Sequence[Row]:
        """Of each rule the newest run that is over, and the newest that is not."""
        ...

    async def standing(self, scope: Scope) -> Standing: ...
    async def history(self, rule: str, key: str) -> History: ...

    async def list_dead_letters(self, wanted: Wanted, page: Page) -> Sequence[Row]: ...
    async def find_dead_letters(self, scope: Scope, ids: Sequence[str]) -> Sequence[Row]: ...
    async def mark_replayed(self, ids: Sequence[str], at: datetime) -> None: ...

    async def record(self, act: Act) -> None:
        """Add a line to the audit log; durable on return."""
        ...


class Keys(Protocol):
    """API keys as they are kept."""

    async def find_key(self, key_id: str) -> KeyRecord | None: ...


class Sweeps(Protocol):
    """Asks for sweeps."""

    async def ask(self, rules: Sequence[str]) -> Mapping[str, str]:
        """The id of the run of each rule; the requests are durable on return. Raises `Transient`."""
        ...


class Resending(Protocol):
    """Sends dead letters of one kind again."""

    async def resend(self, letters: Sequence[Row]) -> Mapping[str, str]:
        """By their ids why some cannot be sent, and what to do instead; the others are sent, durable on
        return. One that comes twice does its receiver no harm. Raises `Transient`."""
        ...

"""What the notifier needs of others: the topic, a place to keep notices, and ways to carry them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.notices import (
    Answer,
    Decide,
    DecideCalm,
    Depth,
    Fold,
    Grouping,
    Message,
    Post,
    Queued,
    Settled,
    Transition,
)


class Feed(Protocol):
    """The transitions of `drift.mismatches`, in order per key, some of them more than once."""

    async def take(self, within_s: float) -> Sequence[Transition]:
        """What has come; raises `Transient`."""
        ...

    async def done(self) -> None:
        """All that `take` gave is kept: it is not given again after a restart."""
        ...


class Outbox(Protocol):
    """Keeps notices. Each call is one transaction; durable on return. Raises `Transient`, and `Fatal` where
    the tables are not there."""

    async def admit(self, arrived: Sequence[Transition], decide: Decide) -> int:
        """Keep what is decided about those that come for the first time; how many those were."""
        ...

    async def calm(self, decide: DecideCalm) -> int:
        """Let the keys that are calm by now be so; how many those were."""
        ...

    async def forget(self) -> None:
        """Drop what was settled and heard of so long ago that it cannot come again."""
        ...


class Queue(Protocol):
    """The notices of one target. Raises as `Outbox` does."""

    async def hold(self) -> bool:
        """Is this the process that tells the target? One is at a time; a standby asks again."""
        ...

    async def close_windows(self, grouping: Grouping, fold: Fold) -> None:
        """Let go what windows that are over have held: one by one, or folded into one where it is much."""
        ...

    async def due(self, most: int) -> Sequence[Queued]:
        """Those whose turn has come, oldest first: none behind an earlier one of its key or rule."""
        ...

    async def settle(self, settled: Sequence[Settled]) -> None: ...
    async def depth(self) -> Depth: ...
    async def close(self) -> None: ...


class Channel(Protocol):
    """Carries a message to one target. Tries once; every failure is an answer."""

    async def send(self, message: Message) -> Answer: ...


class Poster(Protocol):
    """Sends an HTTP request to one address. Tries once; every failure is an answer."""

    async def post(self, post: Post) -> Answer: ...

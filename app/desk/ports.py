"""What the recorder needs of others: a feed of the topics, and a store of what it keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from app.ports import Record
from app.recording import Kept, Number, Place, Position, Positions


class Feed(Protocol):
    """This process's share of the topics. A call raises `Transient` while the broker is away."""

    @property
    def held(self) -> frozenset[Place]:
        """The partitions that are read here, as of now."""
        ...

    async def take(self, within_s: float) -> Sequence[Record]:
        """What has come, each partition in order; waits for it at most `within_s`."""
        ...

    async def committed(self, place: Place) -> int | None: ...
    async def commit(self, offsets: Mapping[Place, int]) -> None:
        """The next offsets; one that cannot be committed any more is no error: it will be read again."""
        ...

    def seek(self, offsets: Mapping[Place, int]) -> None:
        """Read on from here, or from the first record behind it that there is."""
        ...

    async def ends(self, topic: str) -> Mapping[Place, int]:
        """The next offset of each partition of a topic that holds records; all partitions, not only ours."""
        ...

    def open_episodes(self) -> AsyncIterator[Record]:
        """The last transition of each episode that is open, or was not long ago."""
        ...


class Store(Protocol):
    """Where it is kept. A call raises `Transient` while the database is away, and `Fatal` where the schema is
    not that of this program."""

    async def read_positions(self) -> Positions: ...

    async def record(
        self, kept: Sequence[Kept], positions: Mapping[Place, Position], generation: int
    ) -> bool:
        """All of it in one transaction; recorded twice it is the same. False, and nothing was done, where
        there was a rebuild since `generation`. Raises `Poison` where a row cannot be kept."""
        ...

    async def unsettled(self) -> Sequence[tuple[str, str]]:
        """(rule, run) of sweeps that are over and have no checks yet."""
        ...

    async def settle(self, runs: Sequence[tuple[str, str]], checks: Mapping[str, Sequence[str]]) -> None:
        """Write the checks of runs; `checks` names those of each rule."""
        ...

    async def count(self, persistent_before_us: int, bounds_s: Sequence[float]) -> Sequence[Number]:
        """What there is. `bounds_s`: upper bounds of a histogram, rising."""
        ...

    async def forget(self, before_us: int, most: int, bounds_s: Sequence[float]) -> Mapping[str, int]:
        """Delete at most so many of each of `FORGOTTEN` that were over before that time, and nothing that is
        open or waits for somebody: how many, by table. What was counted (`count`) stays counted."""
        ...

    async def rebuild(self) -> None:
        """Forget all that topics can tell again; what people did, and what was logged, is kept."""
        ...

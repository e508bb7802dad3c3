"""How fast a sweep or a seed may be: at most its rate, and never so fast that alarms wait behind it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from app.clock import Clock
from app.detector.model import SECOND
from app.sweep.sweep_run import State

MOST_WAITING: Final = 6_000
"""Reads of a partition that no worker has taken in yet: more than that, and the answers of a live read, which
stand behind them, come too late. A worker takes in several thousand a second."""
_LOOK_EVERY_S: Final = 0.25
_LATER_S: Final = 2.0
"""So much older than is usual may `verified through` become before a sweep or a seed gives way."""
_LEARNS_S: Final = 6.0
"""What is usual goes up and down with the ledgers, which close every five seconds."""
_LOOKS_KEPT: Final = 10
_LOOKS_FIRST: Final = 6
_GIVES_WAY_S: Final = 8.0
"""For so long at a time: workers that are only behind have judged a ledger by then."""


class Judged(Protocol):
    """Up to when (µs) a rule is judged; None where nobody has said."""

    def verified_through(self, rule: str) -> int | None: ...


class Backlog(Protocol):
    """How many reads of one partition the workers have not taken in yet, where they are most; 0 where nobody
    has ever taken in any. Raises `Transient`."""

    async def count_waiting(self) -> int: ...


class Told(Judged, Protocol):
    """What is told on `drift.status` of all rules: which there are, and the records of the runs of one."""

    def rules(self) -> set[str]: ...
    def runs(self, rule: str) -> Sequence[Mapping[str, Any]]: ...


class RunningRules:
    """A `Judged` for what is not of one rule: how far the running rule is judged that is judged farthest.

    A worker takes in all rules of a partition one record after the other, so where it is behind even that one
    gets old; a rule of which a side stands still says nothing about the others. A rule runs from its first
    complete reading on, or `from_empty` from the beginning: before that nobody waits for its alarms, though
    the workers say how far it is judged.
    """

    def __init__(self, told: Told, *, from_empty: bool) -> None:
        self._told, self._from_empty = told, from_empty

    def verified_through(self, rule: str) -> int | None:
        """The same for every rule; None where none runs, or none is judged."""
        found = [self._told.verified_through(one) for one in self._told.rules() if self._is_running(one)]
        return max((at for at in found if at is not None), default=None)

    def _is_running(self, rule: str) -> bool:
        return self._from_empty or any(run["state"] == State.DONE for run in self._told.runs(rule))


@dataclass(frozen=True, slots=True)
class PaceOptions:
    """`rate`: most keys a second, None without a limit; `most_waiting`: reads of a partition that may be
    before the workers."""

    rate: float | None = None
    most_waiting: int = MOST_WAITING


class Pace:
    """Between two pages: `rest`."""

    def __init__(self, judged: Judged, backlog: Backlog, clock: Clock, options: PaceOptions) -> None:
        self._judged, self._backlog, self._clock, self._options = judged, backlog, clock, options
        self._gave_way: Callable[[float], object] = lambda _: None
        self._usual_s = self._learns_until_s = self._looked_s = 0.0
        self._stood_at: int | None = None
        self._ages_s: deque[float] = deque(maxlen=_LOOKS_KEPT)

    def look_around(self, rule: str) -> None:
        """Called about once a second while nothing is swept: how old `verified through` is when it is only
        the stream that is judged. Without it a sweep takes its own first seconds for that."""
        self._ages_s.append(self._verified_age_s(rule))

    async def look_first(self, rule: str) -> None:
        """Look around for as long as what is usual takes to show; not at all where nothing is judged."""
        for _ in range(_LOOKS_FIRST):
            if self._judged.verified_through(rule) is None:
                return
            self.look_around(rule)
            await self._clock.sleep(_LEARNS_S / _LOOKS_FIRST)

    def begin(self, gave_way: Callable[[float], object]) -> None:
        """A sweep or a seed begins. `gave_way` is told of the seconds that it stands still, as they pass."""
        self._gave_way = gave_way
        self._usual_s = max(self._ages_s, default=0.0)
        self._learns_until_s = self._clock.monotonic_s() + (0.0 if self._ages_s else _LEARNS_S)

    async def rest(self, rule: str, began_s: float, keys: int) -> None:
        """Wait until the next page may be read. The last one was begun at `began_s` (monotonic)."""
        if self._options.rate is not None:
            spent = self._clock.monotonic_s() - began_s
            await self._clock.sleep(max(0.0, keys / self._options.rate - spent))
        await self._give_way(rule)

    async def _give_way(self, rule: str) -> None:
        """Where the workers fall behind they judge first. Where nothing is judged at all, a side stands still
        or nobody works, and waiting would help nobody."""
        now = self._clock.monotonic_s()
        if now < self._learns_until_s:
            self._usual_s = max(self._usual_s, self._verified_age_s(rule))
        before = self._judged.verified_through(rule)
        if before == self._stood_at:
            return
        until = now + _GIVES_WAY_S
        while await self._is_behind(rule):
            if self._clock.monotonic_s() >= until:
                is_still = self._judged.verified_through(rule) == before
                self._stood_at = before if is_still else None
                return
            self._gave_way(_LOOK_EVERY_S)
            await self._clock.sleep(_LOOK_EVERY_S)

    async def _is_behind(self, rule: str) -> bool:
        if self._verified_age_s(rule) > self._usual_s + _LATER_S:
            return True
        now = self._clock.monotonic_s()
        if now - self._looked_s < _LOOK_EVERY_S:
            return False
        is_behind = await self._backlog.count_waiting() > self._options.most_waiting
        if not is_behind:
            self._looked_s = now
        return is_behind

    def _verified_age_s(self, rule: str) -> float:
        """How long ago the event time is up to which the rule is judged; 0 where nobody judges."""
        verified = self._judged.verified_through(rule)
        return 0.0 if verified is None else (self._clock.now_us() - verified) / SECOND

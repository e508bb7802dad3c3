"""The states of the keys of one rule in one partition: live, fetched on touch, and which of them changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from app.detector.past import Loss, lay_loss, lay_sweep, shorten
from app.detector.timeline import KeyState, LeftState, RightState
from app.detector.unverifiable import UnverifiableLog
from app.detector.watermark import Watermark

LIVE_STATES: Final = 10_000
"""How many decoded key states stay in memory between steps where they can be fetched again."""


class Held(NamedTuple):
    """Where states are held beside memory: `fetch` gives one (None where there is none), `keys` names all."""

    fetch: Callable[[str], KeyState | None]
    keys: Callable[[], Iterable[str]]


class Changed(NamedTuple):
    """Keys whose persisted parts changed since they were last taken."""

    left: set[str]
    right: set[str]
    records: set[str]


class Keys:
    """`live` holds decoded states; what was lost is laid over a state when it is next touched, once."""

    def __init__(self, left: Watermark, right: Watermark, held: Held | None) -> None:
        self.left, self.right, self.held = left, right, held
        self.live: dict[str, KeyState] = {}
        self.changed = Changed(set(), set(), set())
        self.counts: defaultdict[str, int] = defaultdict(int)
        self.log: UnverifiableLog | None = None
        self.open: dict[str, str] = {}
        """Severity by key of the episodes that are open."""

    def count(self, name: str, by: int = 1) -> None:
        """Count what happened, by a name of the closed list that `/metrics` shows."""
        self.counts[name] += by

    def find(self, key: str) -> KeyState | None:
        """The state of a key; None where nothing is held."""
        state = self.live.get(key)
        if state is None and self.held is not None:
            state = self.held.fetch(key)
            if state is not None:
                self.live[key] = state
        if state is not None and (self.left.past or self.right.past):
            if state.left is not None and state.left.laid < len(self.left.past):
                self._lay_left(state.left)
            if state.right is not None and state.right.laid < len(self.right.past):
                self._lay_right(state.right)
        return state

    def hold(self, key: str) -> KeyState:
        """The state of a key, made where there is none."""
        state = self.find(key)
        if state is None:
            state = self.live[key] = KeyState()
        return state

    def left_of(self, key: str) -> LeftState:
        """The left side of a key, made where it was never heard of."""
        state = self.live.get(key)
        if state is None or self.left.past or self.right.past:
            state = self.hold(key)
        if state.left is None:
            state.left = LeftState(laid=len(self.left.past))
        return state.left

    def right_of(self, key: str) -> RightState:
        """The right side of a key, made where it was never heard of."""
        state = self.live.get(key)
        if state is None or self.left.past or self.right.past:
            state = self.hold(key)
        if state.right is None:
            state.right = RightState(self.right.unheard[:], laid=len(self.right.past))
        return state.right

    def every(self) -> list[str]:
        """Every key of which something is held."""
        return list(self.live if self.held is None else {*self.live, *self.held.keys()})

    def drop(self, key: str) -> None:
        """Forget a key on both sides."""
        del self.live[key]
        self.changed.left.add(key)
        self.changed.right.add(key)
        self.count("forgotten")

    def let_go(self) -> None:
        """Free the decoded states when there are many and each can be fetched again; only when all are
        durable."""
        if self.held is not None and len(self.live) > LIVE_STATES:
            self.live.clear()

    def _lay_left(self, left: LeftState) -> None:
        """A row with a read that waits has been met by the sweep."""
        for event in self.left.past.since(left.laid):
            if isinstance(event, Loss):
                for row in left.rows.values():
                    row.versions = lay_loss(row.versions, event)
                    row.position = -1 if event.ends_epoch else row.position
                left.others = None if left.others is None else lay_loss(left.others, event)
                continue
            met = {read.row for read in left.waiting}
            for row_id, row in left.rows.items():
                if row_id not in met:
                    lay_sweep(row.versions, event.through)
            if left.others is not None:
                lay_sweep(left.others, event.since)
        left.others = None if left.others is None else shorten(left.others)
        left.laid = len(self.left.past)

    def _lay_right(self, right: RightState) -> None:
        for event in self.right.past.since(right.laid):
            if isinstance(event, Loss):
                right.versions = lay_loss(right.versions, event)
                right.position = -1 if event.ends_epoch else right.position
            elif not right.waiting:
                lay_sweep(right.versions, event.through)
        right.laid = len(self.right.past)

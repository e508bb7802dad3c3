"""The states of the keys of one rule in one partition: live, fetched on touch, and which of them changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from app.detector.timeline import KeyState, LeftState, RightState
from app.detector.watermark import Watermark, overlay_gaps

LIVE_STATES = 10_000
"""How many decoded key states stay in memory between steps where they can be fetched again."""


class Changed(NamedTuple):
    """Keys whose persisted parts changed since they were last taken."""

    left: set[str]
    right: set[str]
    records: set[str]


class Keys:
    """`live` holds decoded states; what a gap made unknown is laid over a state whenever it is touched."""

    def __init__(
        self, left: Watermark, right: Watermark, fetch: Callable[[str], KeyState | None] | None
    ) -> None:
        self.left, self.right, self.fetch = left, right, fetch
        self.live: dict[str, KeyState] = {}
        self.changed = Changed(set(), set(), set())
        self.counts: defaultdict[str, int] = defaultdict(int)
        self.open: dict[str, str] = {}
        """Severity by key of the episodes that are open."""

    def count(self, name: str, by: int = 1) -> None:
        """Count what happened, by a name of the closed list that `/metrics` shows."""
        self.counts[name] += by

    def find(self, key: str) -> KeyState | None:
        """The state of a key; None where nothing is held."""
        state = self.live.get(key)
        if state is None and self.fetch is not None:
            state = self.fetch(key)
            if state is not None:
                self.live[key] = state
        if state is not None and (self.left.gaps or self.right.gaps):
            self._apply_gaps(state)
        return state

    def hold(self, key: str) -> KeyState:
        """The state of a key, made where there is none."""
        state = self.find(key)
        if state is None:
            state = self.live[key] = KeyState()
        return state

    def left_of(self, key: str) -> LeftState:
        """The left side of a key, made where it was never heard of."""
        state = self.hold(key)
        if state.left is None:
            state.left = LeftState()
        return state.left

    def right_of(self, key: str) -> RightState:
        """The right side of a key, made where it was never heard of."""
        state = self.hold(key)
        if state.right is None:
            state.right = RightState(self.right.unheard[:])
        return state.right

    def drop(self, key: str) -> None:
        """Forget a key on both sides."""
        del self.live[key]
        self.changed.left.add(key)
        self.changed.right.add(key)
        self.count("forgotten")

    def let_go(self) -> None:
        """Free the decoded states when there are many and each can be fetched again; only when all are
        durable."""
        if self.fetch is not None and len(self.live) > LIVE_STATES:
            self.live.clear()

    def _apply_gaps(self, state: KeyState) -> None:
        if state.left is not None and self.left.gaps:
            for row in state.left.rows.values():
                row.versions = overlay_gaps(row.versions, self.left.gaps)
        if state.right is not None and self.right.gaps:
            state.right.versions = overlay_gaps(state.right.versions, self.right.gaps)

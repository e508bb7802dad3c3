"""The suspects of one rule: turns that are not told before both sides of their key were read live."""

from __future__ import annotations

from typing import Final

from app.detector.keys import Keys
from app.detector.model import INFINITY, Confirm, Rule
from app.detector.timeline import EpisodeRecord, KeyState, Suspect

LIVE: Final = "live"
"""Confirmed by a live read of both sides. As the mode of a detector: ask for one."""
TIMEOUT: Final = "timeout"
STORM: Final = "storm"

MOST: Final = 1000
"""So many may wait; what comes on top is told at once."""


class Suspects:
    """Which keys wait for a read, and until when. `mode`: `LIVE`, or how everything is told without asking.

    `answering`: those of which a read has come. The dates in `waiting` are processing time, and none before
    the first tick: after a restart the time begins anew.
    """

    def __init__(self, rule: Rule, keys: Keys, mode: str) -> None:
        self.rule, self.keys, self.mode = rule, keys, mode
        self.waiting: dict[str, int | None] = {}
        self.answering: set[str] = set()

    def find_confirmation(self, state: KeyState) -> tuple[str, int]:
        """(how, through): a turn of the key by `through` may be told, and counts as confirmed like that."""
        suspect = state.suspect
        if self.mode != LIVE:
            return self.mode, INFINITY
        if suspect is None:
            return (STORM, INFINITY) if len(self.waiting) >= MOST else (LIVE, -INFINITY)
        if suspect.is_timed_out:
            return TIMEOUT, INFINITY
        return LIVE, suspect.confirmed_through

    def follow(self, key: str, state: KeyState, judged: int, since: int | None) -> bool:
        """Take in what a look came to: nothing undecided before `judged`, and a turn at `since` that must be
        confirmed (None: there is none). True where that is to be asked for.

        A suspect that has been told is cleared before."""
        suspect = state.suspect
        if suspect is not None and judged > suspect.since:
            self.clear(key, state)
            self.keys.count("withdrawn")
        if since is None or state.suspect is not None:
            return False
        state.suspect = Suspect(since, (self.keys.left.at, self.keys.right.ledger))
        self.waiting[key] = None
        self.keys.changed.records.add(key)
        self.keys.count("suspected")
        return True

    def clear(self, key: str, state: KeyState) -> None:
        """It was told, or proven to be nothing."""
        state.suspect = None
        self.waiting.pop(key, None)
        self.answering.discard(key)
        self.keys.changed.records.add(key)

    def look_again(self) -> None:
        """Input was declared lost: whether they are suspects still is seen with the next mark."""
        self.answering.update(self.waiting)

    def ask(self, key: str, suspect: Suspect, record: EpisodeRecord | None, episode: str) -> Confirm:
        """The question. An open episode's end may have gone unheard at any time since it was read live."""
        window = self.rule.window
        history_from = suspect.since - window.lag_us - window.skew_us
        if record is not None and record.state == "open":
            history_from = min(history_from, record.checked)
        return Confirm(self.rule.id, key, episode, *suspect.not_before, history_from)

    def restore(self, key: str) -> None:
        """Wait for a key again after recovery."""
        self.waiting[key] = None
        self.answering.add(key)

    def note_read(self, key: str) -> None:
        """A read of a key has come: look at it with every mark until it is settled."""
        if key in self.waiting:
            self.answering.add(key)

    def tick(self, now_us: int) -> list[str]:
        """Processing time passes. The keys whose time was up at an earlier tick: that is durable by now, and
        they can be told; a verdict that depends on the clock must never be told first."""
        due: list[str] = []
        for key, deadline in list(self.waiting.items()):
            if deadline is None:
                self.waiting[key] = now_us + (self.rule.confirm_us or 0)
            if self._is_timed_out(key):
                due.append(key)
            elif deadline is not None and now_us >= deadline:
                self._time_out(key)
        return due

    def _is_timed_out(self, key: str) -> bool:
        state = self.keys.find(key)
        return state is not None and state.suspect is not None and state.suspect.is_timed_out

    def _time_out(self, key: str) -> None:
        state = self.keys.find(key)
        if state is not None and state.suspect is not None:
            state.suspect.is_timed_out = True
            self.keys.changed.records.add(key)
            self.keys.count("timed_out")

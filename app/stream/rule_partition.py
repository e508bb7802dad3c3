"""One rule in one partition: its detector upon its rows, and what its status is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from app.clock import Clock
from app.detector.detector import Detector, Held
from app.detector.model import INFINITY, Blind, Side
from app.detector.suspects import LIVE
from app.detector.timeline import KeyState
from app.detector.trust import CLOCK
from app.ports import Codec
from app.rules import LoadedRule
from app.stream.messages import TopicNames, row_key, show_time
from app.stream.metrics import WorkerMetrics
from app.stream.state import decode_key, decode_record, encode_left, encode_record, encode_right
from app.stream.work import Part, Rows

LEFT: Final = "left"
RIGHT: Final = "right"
EPISODES: Final = "episodes"
LOOKED_AT_A_SECOND: Final = 20_000
"""So many recovered keys are looked at for each second by which T moves."""
ROOM: Final = 20_000
"""A step judges so many keys that agree, or tells a tenth of it: a fraction of a second, so that other
partitions have their turn and no process looks frozen."""
TABLES: Final = (LEFT, RIGHT, EPISODES)
"""The worker's Faust tables."""


Compile: TypeAlias = Callable[[str, str], tuple[LoadedRule, Mapping[str, Codec]]]
"""A rule's document and its file's name become the rule, and codecs (by topic) that read for it."""


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What every partition of a worker shares. `codecs` by topic name, prefix included."""

    rules: Sequence[LoadedRule]
    codecs: Mapping[str, Codec]
    clock: Clock
    metrics: WorkerMetrics
    partitions: int
    source: str
    names: TopicNames
    from_empty: bool = False
    compile: Compile | None = None


class RulePartition:
    """One version of a rule in one partition: its detector upon its rows, whose keys begin with `slot`.
    `begins_at`: from when it judges, where another version did before."""

    def __init__(
        self,
        plan: WorkerPlan,
        loaded: LoadedRule,
        parts: Mapping[str, Part],
        slot: str,
        begins_at: int | None = None,
    ) -> None:
        self.rule, self.digest, self.slot = loaded.rule, loaded.digest, slot
        self.left, self.right, self.episodes = parts[LEFT], parts[RIGHT], parts[EPISODES]
        held = Held(self._fetch, self._every_key)
        confirmed = "off" if self.rule.confirm_us is None else LIVE
        from_empty = plan.from_empty and begins_at is None
        self.detector = Detector(self.rule, from_empty=from_empty, held=held, confirmed=confirmed)
        self.detector.limit_steps(ROOM)
        if begins_at is not None:
            self.detector.begin(begins_at)
        self.keys = self._unsettled = 0
        self.blind: dict[Side, int] = {}
        self.parked: str | None = None
        self._told: str | None = None

    def _fetch(self, key: str) -> KeyState | None:
        row = row_key(self.slot, key)
        return decode_key(self.left.get(row), self.right.get(row), self.episodes.get(row))

    def _every_key(self) -> Iterator[str]:
        rule = row_key(self.slot, "")
        for row in self.left.keys() | self.right.keys():
            if row.startswith(rule):
                yield row[len(rule) :].decode("utf-8", "surrogatepass")

    def take_rows(self) -> tuple[Rows, Rows, Rows]:
        """The changed rows of `episodes`, `left` and `right`, and nothing that stands as it was."""
        changed = self.detector.take_changed()
        states, rule = self.detector.states, self.slot
        records: Rows = {}
        lefts: Rows = {}
        rights: Rows = {}
        for key in changed.records:
            state = states.get(key)
            told = None if state is None else encode_record(state.record, state.suspect)
            records[row_key(rule, key)] = told
        for key in changed.left:
            state = states.get(key)
            left = None if state is None else state.left
            lefts[row_key(rule, key)] = None if left is None else encode_left(left)
        for key in changed.right:
            state = states.get(key)
            right = None if state is None else state.right
            rights[row_key(rule, key)] = None if right is None else encode_right(right)
        self._count_keys(lefts, rights)
        return records, lefts, rights

    def _count_keys(self, lefts: Rows, rights: Rows) -> None:
        for row in lefts.keys() | rights.keys():
            was_held = row in self.left or row in self.right
            is_held = (
                lefts.get(row, self.left.get(row)) is not None
                or rights.get(row, self.right.get(row)) is not None
            )
            self.keys += is_held - was_held

    def keys_with_episodes(self) -> list[str]:
        """Of which keys an episode record is held, or was made since."""
        rule = row_key(self.slot, "")
        held = {
            row[len(rule) :].decode("utf-8", "surrogatepass") for row in self.episodes if row.startswith(rule)
        }
        return sorted(held | self.detector.keys.open.keys() | self.detector.suspects.waiting.keys())

    def look_at(self, key: str) -> None:
        """Look at a recovered key soon: a step that looks at all of a million keys would stand still for as
        long as a frozen process."""
        self.detector.schedule(key, self._unsettled // LOOKED_AT_A_SECOND)
        self._unsettled += 1

    def recover_record(self, key: str, stored: bytes) -> None:
        """Look at a recovered episode at the next mark; one that is open counts as open until then."""
        record, suspect = decode_record(stored)
        if record is not None and record.state == "open":
            self.detector.keys.open[key] = record.severity
        if suspect is not None:
            self.detector.suspects.restore(key)
        self.detector.schedule(key)

    # ---- status

    def see_blindness(self, effect: Blind) -> None:
        """A side fell silent, or speaks again; of the clocks the detector itself says how they are."""
        if effect.cause == CLOCK:
            return
        if effect.since_us is None:
            self.blind.pop(effect.side, None)
        else:
            self.blind[effect.side] = effect.since_us

    def has_news(self, now_us: int) -> bool:
        """Is the state another than the one told last?"""
        return self._state(now_us)[0] != self._told

    def status(self, now_us: int) -> dict[str, object]:
        """The status as it is told on `drift.status` (and counted as told)."""
        state, cause = self._state(now_us)
        self._told = state
        left, right = self.detector.watermarks()
        offset_us = self.detector.trust.clocks.offset_us
        return {
            "rule_version": self.rule.version,
            "rule_digest": self.digest,
            "verified_through": show_time(self.detector.judged_through),
            "watermarks": {"left": show_time(left), "right": show_time(right)},
            "clock_offset_ms": None if offset_us is None else offset_us // 1000,
            "state": state,
            "cause": cause,
            "open": self.detector.open_by_severity,
            "keys": self.keys,
            "unverifiable_keys": self.detector.count_unverifiable(self.keys),
            "updated_at": show_time(now_us),
        }

    def _state(self, now_us: int) -> tuple[str, str | None]:
        if self.parked is not None:
            return "parked", self.parked
        trust = self.detector.trust
        if trust.is_blind:
            return "blind", CLOCK
        if self.blind:
            since = ", ".join(f"{side} since {show_time(at)}" for side, at in self.blind.items())
            return "blind", f"silent: {since}"
        if trust.cause is not None:
            return "unverifiable", trust.cause
        verified = self.detector.judged_through
        if verified <= -INFINITY // 2:
            return "unverifiable", "no mark of both sides yet"
        window = self.rule.window
        late = window.lag_us + window.lead_us + window.skew_us + self.rule.blind_after_us
        return ("catching_up", None) if now_us - verified > late else ("live", None)

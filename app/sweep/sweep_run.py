"""The record of a sweep on `drift.status`: what was counted, and where it goes on after a restart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from app.detector.model import Seeded, Side
from app.detector.values import derive_id, format_time
from app.readings import Place
from app.rules import LoadedRule
from app.rules.canonical import microseconds
from app.sweep.sides import Look

_NAMED: Final = 1000
"""So many keys that differed are named in the record; a restart forgets the names of the others."""


class State(StrEnum):
    """`waiting` and `running` go on after a restart, `paused` when a person says so; the others are over."""

    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    MERGED = "merged"


class Phase(StrEnum):
    """How far a run is; each is repeated from its beginning after a restart but `rows`, which has pages."""

    ROWS = "rows"
    OTHERS = "others"
    JUDGING = "judging"


OVER: Final = frozenset({State.DONE, State.FAILED, State.MERGED})


@dataclass(slots=True)
class Span:
    """One side's reads: how many, and the times of the first and the last (µs)."""

    read: int = 0
    since: int | None = None
    through: int | None = None

    def add(self, read_at: int, count: int) -> None:
        """One more page."""
        self.read += count
        self.since = read_at if self.since is None else min(self.since, read_at)
        self.through = read_at if self.through is None else max(self.through, read_at)

    def plain(self) -> list[int | None]:
        return [self.read, self.since, self.through]


@dataclass(slots=True)
class SweepRun:
    """One sweep of one rule. The parts of `record` add up to `checked` at every moment: while it runs, what
    differed is `in_flight`; `settle` tells it apart."""

    rule: str
    id: str
    cause: str
    requested_at: int
    state: State = State.WAITING
    started_at: int | None = None
    attempt: int = 1
    version: int = 0
    digest: str = ""
    counts: dict[Look, int] = field(default_factory=lambda: dict.fromkeys(Look, 0))
    errors: int = 0
    drifting: int = 0
    repaired: int = 0
    spans: dict[Side, Span] = field(default_factory=lambda: {side: Span() for side in Side})
    phase: Phase = Phase.ROWS
    after: Place | None = None
    suspects: dict[str, None] = field(default_factory=dict)
    why: str | None = None
    into: str | None = None

    @classmethod
    def asked(cls, rule: str, cause: str, at_us: int, run: str | None = None) -> SweepRun:
        """A run that waits; its id is derived from what it is asked for and when, where none is given."""
        return cls(rule, run or derive_id("sweep", rule, cause, at_us), cause, at_us)

    @property
    def is_complete(self) -> bool:
        """Is it over, with everything read? A run that failed by nothing but the drift that it saw is."""
        if self.state is State.FAILED:
            return self.phase is Phase.JUDGING and self.drifting > 0
        return self.state is State.DONE

    def begin(self, loaded: LoadedRule, at_us: int) -> None:
        """It runs from now on; one that was begun before goes on where it was, unless the rule is another."""
        if self.started_at is not None and self.digest != loaded.digest:
            self.forget()
        self.version, self.digest = loaded.rule.version, loaded.digest
        if self.started_at is None:
            self.started_at = at_us
        self.state, self.why = State.RUNNING, None

    def forget(self) -> None:
        """As if nothing had been read yet."""
        fresh = SweepRun(self.rule, self.id, self.cause, self.requested_at)
        for name in ("counts", "errors", "drifting", "repaired", "spans", "phase", "after", "suspects"):
            setattr(self, name, getattr(fresh, name))
        self.started_at = self.why = None

    def copy(self) -> SweepRun:
        """The run as it stands now; what is counted afterwards is not in it."""
        return replace(
            self,
            counts=dict(self.counts),
            spans={side: replace(span) for side, span in self.spans.items()},
            suspects=dict(self.suspects),
        )

    def adopt(self, counted: SweepRun) -> None:
        """Take over what a copy of it has counted."""
        self.counts, self.spans, self.suspects = counted.counts, counted.spans, counted.suspects
        self.errors = counted.errors

    def count(self, key: str, look: Look) -> None:
        """One key, as its two reads found it."""
        self.counts[look] += 1
        if look is Look.DIFFERING:
            self.suspects[key] = None

    def count_again(self, key: str) -> None:
        """A key with rows in several pages: what its first page said is not worth anything."""
        if key not in self.suspects and self.counts[Look.IN_SYNC]:
            self.counts[Look.IN_SYNC] -= 1
            self.count(key, Look.DIFFERING)

    def settle(self, open_keys: Mapping[str, object], repaired: int) -> None:
        """The detector has judged everything that was read. What differed and is open is drifting; the rest
        of it agreed within the window."""
        self.drifting = sum(key in open_keys for key in self.suspects)
        self.repaired = min(repaired, self.counts[Look.IN_SYNC])

    def seeded(self, side: Side) -> Seeded | None:
        """The end of a side that was read completely."""
        span = self.spans[side]
        if span.since is None or span.through is None:
            return None
        return Seeded(self.rule, side, span.since, span.through, self.version)

    def record(self, finished_at: int | None = None) -> dict[str, object]:
        """The message."""
        counts = self.counts
        return {
            "rule": self.rule,
            "rule_version": self.version,
            "digest": self.digest,
            "run": self.id,
            "kind": "sweep",
            "state": self.state,
            "requested_at": format_time(self.requested_at),
            "started_at": format_time(self.requested_at if self.started_at is None else self.started_at),
            "finished_at": None if finished_at is None else format_time(finished_at),
            "checked": sum(counts.values()) + self.errors,
            "in_sync": counts[Look.IN_SYNC] - self.repaired,
            "drifting": self.drifting,
            "in_flight": counts[Look.DIFFERING] - self.drifting,
            "exempt": counts[Look.EXEMPT],
            "unverifiable": counts[Look.UNVERIFIABLE],
            "repaired": self.repaired,
            "errors": self.errors,
            "attempt": self.attempt,
            "cause": self.cause,
            "why": self.why,
            "into": self.into,
            "progress": self._progress(),
        }

    def _progress(self) -> dict[str, object]:
        return {
            "begun": self.started_at is not None,
            "phase": self.phase,
            "after": self.after,
            "left": self.spans[Side.LEFT].plain(),
            "right": self.spans[Side.RIGHT].plain(),
            "suspects": [] if self.state in OVER else list(self.suspects)[:_NAMED],
        }


def read_run(record: Mapping[str, Any]) -> SweepRun:
    """The run of a record, to go on with. Raises KeyError, TypeError or ValueError for what is none."""
    progress = record["progress"]
    run = SweepRun(record["rule"], record["run"], record["cause"], _us(record["requested_at"]))
    run.state, run.attempt = State(record["state"]), int(record["attempt"])
    run.version, run.digest = int(record["rule_version"]), str(record["digest"])
    if progress["begun"]:
        run.started_at = _us(record["started_at"])
    run.counts = {
        Look.IN_SYNC: record["in_sync"] + record["repaired"],
        Look.DIFFERING: record["in_flight"] + record["drifting"],
        Look.EXEMPT: record["exempt"],
        Look.UNVERIFIABLE: record["unverifiable"],
    }
    run.errors, run.phase = record["errors"], Phase(progress["phase"])
    run.after = None if progress["after"] is None else tuple(progress["after"])
    run.spans = {side: Span(*_three(progress[side.value])) for side in Side}
    run.suspects = dict.fromkeys(progress["suspects"])
    return run


def _three(plain: Sequence[int | None]) -> tuple[int, int | None, int | None]:
    read, since, through = plain
    return (read or 0), since, through


def _us(text: str) -> int:
    at = microseconds(text)
    if at is None:
        raise ValueError(f"{text!r} is no time")
    return at

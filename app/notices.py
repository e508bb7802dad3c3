"""The words between what decides whom to tell, what keeps it and what carries it: transitions, notices,
answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

from app.detector.values import derive_id

Event: TypeAlias = Mapping[str, Any]
"""A CloudEvent in its JSON form: what is sent."""

_LONGEST_LANE: Final = 200


class Severity(StrEnum):
    """In rising order."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    def reaches(self, minimum: Severity) -> bool:
        """Is it at least that severe?"""
        order = list(Severity)
        return order.index(self) >= order.index(minimum)


class Kind(StrEnum):
    """What a notice tells: one transition; many of them; that a key flaps; that it has stopped to."""

    OPENED = "opened"
    UPDATED = "updated"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    GROUP = "group"
    FLAPPING = "flapping"
    CALM = "calm"
    TEST = "test"


TRANSITIONS: Final = frozenset({Kind.OPENED, Kind.UPDATED, Kind.RESOLVED, Kind.REOPENED})


@dataclass(frozen=True, slots=True)
class Transition:
    """One event of `drift.mismatches`. `at_us`: its event time; `event`: what is told of it."""

    id: str
    kind: Kind
    rule: str
    key: str
    episode: str
    severity: Severity
    at_us: int
    event: Event

    @property
    def lane(self) -> str:
        """The key as what orders notices: short enough for an index."""
        is_short = len(self.key.encode("utf-8", "surrogatepass")) <= _LONGEST_LANE
        return self.key if is_short else derive_id(self.key)


Lane: TypeAlias = tuple[str, str]
"""A rule and a transition's lane."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that one target is to be told, once. `lane` None: of the whole rule, so all that came before
    goes before it and all that comes after it waits. `is_held`: it waits for its window to close."""

    id: str
    target: str
    kind: Kind
    rule: str
    lane: str | None
    episode: str | None
    severity: Severity
    at_us: int
    payload: str
    is_held: bool = False


@dataclass(frozen=True, slots=True)
class Flapping:
    """What is remembered of a key that was reopened. `flaps_us`: when, the latest times. `began`: the id of
    the transition that made it flap, None while it does not; `told`: the targets that know; `quiet`: how many
    transitions they were spared; `last`: the last of all."""

    flaps_us: tuple[int, ...] = ()
    began: str | None = None
    told: tuple[str, ...] = ()
    quiet: int = 0
    last: Event | None = None

    @property
    def is_empty(self) -> bool:
        return not self.flaps_us and self.began is None


@dataclass(frozen=True, slots=True)
class Known:
    """What had been told before: (target, episode) pairs, and the keys that are remembered."""

    told: frozenset[tuple[str, str]]
    flapping: Mapping[Lane, Flapping]


@dataclass(frozen=True, slots=True)
class Decided:
    """What is to be told, in order, and what is to be remembered of these keys (nothing: forget). The time is
    that at which a key is calm unless it flaps again."""

    notices: Sequence[Notice]
    flapping: Mapping[Lane, tuple[Flapping, int]]


Decide: TypeAlias = Callable[[Sequence[Transition], Known], Decided]
DecideCalm: TypeAlias = Callable[[Mapping[Lane, Flapping]], Decided]


@dataclass(frozen=True, slots=True)
class Grouping:
    """More than `over` notices of a rule within `window_s` become one that lists the first `listed` of them;
    a window of 0: each is told at once."""

    window_s: float = 5.0
    over: int = 10
    listed: int = 10


@dataclass(frozen=True, slots=True)
class Burst:
    """The notices of a rule to one target that become one: counts by event type and severity, the span of
    their event times, how many keys they concern, and the first ones."""

    target: str
    rule: str
    first_id: str
    counts: Mapping[tuple[str, Severity], int]
    keys: int
    since_us: int
    until_us: int
    first: Sequence[Event]


Fold: TypeAlias = Callable[[Burst], Notice]


@dataclass(frozen=True, slots=True)
class Queued:
    """A notice whose turn has come; `attempts`: how often it was tried before."""

    id: str
    payload: str
    attempts: int


class Outcome(StrEnum):
    """What became of an attempt."""

    DELIVERED = "delivered"
    RETRY = "retry"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Settled:
    """A notice after an attempt; `again_in_s` and `error` where it was not delivered."""

    id: str
    outcome: Outcome
    again_in_s: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Depth:
    """What a target has not been told: how many notices, for how long the oldest, and how many were given
    up and not sent again."""

    waiting: int
    oldest_s: float
    dead: int


@dataclass(frozen=True, slots=True)
class Message:
    """What is carried: the same id and payload at every attempt, and a title and a text for people."""

    id: str
    payload: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a target said: its HTTP status (None: there was none, `cause` says why), and after how many
    seconds it wants to be asked again, where it said so. Never any part of an address or of a body."""

    status: int | None
    cause: str = ""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """One HTTP request of the webhook kind."""

    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Letter:
    """A notice that was given up."""

    id: str
    target: str
    notice: str
    rule: str | None
    reason: str
    attempts: int
    created_at: str
    replayed_at: str | None


def letter_id(target: str, notice: str) -> str:
    """The dead letter's id: derived, so that a notice that dies again is the same letter."""
    return derive_id("webhook", target, notice)

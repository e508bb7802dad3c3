"""The narrow protocols between the program's halves: what a record is, what a codec promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from app.detector.model import Input

LOSS_CAUSES: Final = frozenset(
    {"retention", "continuity", "slot", "epoch", "truncate", "schema", "too_hot", "offsets", "as_of", "clock"}
)
"""Why input is lost or not to be trusted: the closed list of the wire format, but for `parked`."""
INCIDENT_CAUSES: Final = LOSS_CAUSES | {"parked"}
"""All of it."""


def known_cause(cause: str) -> str:
    """The cause, where it is in the list; else `continuity`: a gap is never dropped because of its word."""
    return cause if cause in LOSS_CAUSES else "continuity"


class Record(Protocol):
    """One Kafka record as it arrived; aiokafka's ConsumerRecord is one."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Codec(Protocol):
    """Turns a record of one topic into the detector's inputs.

    `decode` returns the inputs in order, () for a record that concerns no rule (each cause is counted in
    `skipped`), and raises `Poison` for one that can never be understood.
    """

    skipped: dict[str, int]

    def decode(self, record: Record) -> Sequence[Input]: ...


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: how it is, and what to do where it is not right.

    `is_advice`: it works like this too, and a person should know.
    """

    subject: str
    is_right: bool
    detail: str
    remedy: str = ""
    is_advice: bool = False

    @property
    def stops(self) -> bool:
        """Nothing may start before it is mended."""
        return not (self.is_right or self.is_advice)

"""The narrow protocols between the program's halves: what a record is, what a codec promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.detector.model import Input


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

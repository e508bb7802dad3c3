"""What a step asks of the code that understands the records: batches in, an outcome out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

from app.errors import DriftwatchError
from app.ports import Record

Part: TypeAlias = dict[bytes, bytes]
"""One table's rows of one partition."""
Rows: TypeAlias = dict[bytes, bytes | None]
"""Changed rows by key; None deletes."""


def write_rows(part: Part, rows: Rows) -> None:
    """Change rows of a table's part."""
    for key, value in rows.items():
        if value is None:
            part.pop(key, None)
        else:
            part[key] = value


class Batch(NamedTuple):
    """What one poll returned for one topic-partition, and when (monotonic seconds)."""

    records: Sequence[Record]
    polled_s: float


class Message(NamedTuple):
    """A message to publish; `partition` None: the step's own."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int | None = None


@dataclass(slots=True)
class Outcome:
    """What a step must make durable: all messages first, then stage after stage of table rows. `memo`:
    whatever the work wants to see again when its messages are acknowledged. `more`: what the step had no
    room for, to be taken as a step of its own; the next step may take it as well."""

    messages: list[Message] = field(default_factory=list)
    stages: list[dict[str, Rows]] = field(default_factory=list)
    memo: object = None
    more: Callable[[], Outcome] | None = None


class RecordFailed(DriftwatchError):
    """The work could not take a record in, and that is a bug: its partition is parked at this place."""

    def __init__(self, record: Record, cause: Exception) -> None:
        place = f"{record.topic}/{record.partition}@{record.offset}"
        super().__init__("taking in", place, f"{type(cause).__name__}: {cause}")


class PartitionWork(Protocol):
    """Pure code in memory for one partition; it never waits and does no I/O. A raised error undoes the
    step."""

    def absorb(self, batch: Batch) -> Outcome:
        """Take a batch in. Raises `RecordFailed`; a record that cannot be understood is no error but a dead
        letter."""
        ...

    def tick(self) -> Outcome:
        """Time has passed."""
        ...

    def published(self, outcome: Outcome) -> None:
        """The messages of this outcome are acknowledged by the brokers; the next batch may be taken in
        already."""
        ...

    def park(self, cause: Exception) -> Outcome:
        """Nothing is absorbed from now on; what must be told about it."""
        ...

    def close(self) -> None:
        """The partition is given up, or will be recovered again."""
        ...


MakeWork: TypeAlias = Callable[[int, Mapping[str, Part]], PartitionWork]
"""Builds a partition's work upon the recovered rows of each table."""

"""Records as workers and sweepers write them, for tests of the recorder; a feed and a store in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from app.errors import Poison, Transient
from app.recording import Kept, Number, Place, Position, Positions
from schemas.topics import DEAD_LETTERS, MISMATCHES, STATUS

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"
STORY = ("0-opened", "1-updated", "2-resolved", "3-reopened", "4-resolved")
"""The examples of one episode, in order."""
EPISODE = "069cd56c6a4b3959acc7938e633a0425"
RULE = "credit-line"


@dataclass(frozen=True, slots=True)
class Message:
    """A record; `aiokafka.ConsumerRecord` without what nobody reads."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = 1_785_578_437_000


def example(schema: str, name: str) -> dict[str, Any]:
    """A golden example."""
    found: dict[str, Any] = orjson.loads((EXAMPLES / schema / f"{name}.json").read_bytes())
    return found


def transition(value: Mapping[str, Any], place: int = 0, partition: int = 0) -> Message:
    """An event of drift.mismatches at an offset; its ids are derived from the value."""
    at = value["until"] or value["since"]
    headers = {
        "ce_specversion": "1.0",
        "ce_id": f"{value['episode']}-{value['sequence']}",
        "ce_type": f"drift.mismatch.{value['transition']}",
        "ce_time": at,
        "drift_confirmed": "live",
    }
    return Message(
        MISMATCHES,
        partition,
        place,
        f"{value['rule']}|{value['key']}".encode(),
        orjson.dumps(dict(value)),
        [(name, text.encode()) for name, text in headers.items()],
    )


def story() -> list[Message]:
    """Opened, updated, resolved, reopened, resolved."""
    return [transition(example("mismatch.v1", name), place) for place, name in enumerate(STORY)]


def opened(key: str, place: int = 0, partition: int = 0, **changes: Any) -> Message:
    """Another key's first transition."""
    value = example("mismatch.v1", "0-opened") | {"episode": f"episode-of-{key}", "key": key} | changes
    return transition(value, place, partition)


def status_record(key: str, value: Mapping[str, Any] | None, place: int = 0) -> Message:
    """A record of drift.status."""
    return Message(STATUS, 0, place, key.encode(), None if value is None else orjson.dumps(dict(value)))


def run_record(run: str = "run-1", place: int = 0, **changes: Any) -> Message:
    """A sweep that is over, unless told otherwise."""
    value = (
        example("status.v1", "run")
        | {
            "run": run,
            "state": "done",
            "requested_at": "2026-08-01T10:00:00Z",
            "attempt": 1,
            "cause": "person",
            "why": None,
            "checked": 120,
            "in_sync": 118,
            "drifting": 1,
            "in_flight": 1,
            "unverifiable": 0,
            "progress": {"phase": "judging"},
        }
        | changes
    )
    return status_record(f"run|{RULE}|{run}", value, place)


def buried_run(run: str = "run-1", place: int = 0) -> Message:
    """The dead letter of a run that was tried three times."""
    body = {
        "run": {"rule": RULE, "run": run, "attempt": 3},
        "mismatches": [example("mismatch.v1", "0-opened")],
    }
    why = {"topic": "drift.requests", "partition": 0, "offset": 0, "stage": "run", "class": "RunFailed"}
    headers = [(f"__drift.errors.{name}", str(text).encode()) for name, text in why.items()]
    headers.append(("__drift.errors.message", b"1 keys drift with severity critical or above"))
    return Message(DEAD_LETTERS, 0, place, RULE.encode(), orjson.dumps(body), headers)


@dataclass(slots=True)
class MemoryFeed:
    """Topics in memory. `on_empty` is called by a take that finds nothing, `on_commit` before each commit."""

    records: dict[Place, list[Message]] = field(default_factory=dict)
    offsets: dict[Place, int] = field(default_factory=dict)
    open: list[Message] = field(default_factory=list)
    on_empty: Callable[[], None] = lambda: None
    on_commit: Callable[[], None] = lambda: None
    _next: dict[Place, int] = field(default_factory=dict)

    def put(self, *messages: Message) -> None:
        for message in messages:
            self.records.setdefault(Place(message.topic, message.partition), []).append(message)

    @property
    def held(self) -> frozenset[Place]:
        return frozenset(self.records)

    async def take(self, within_s: float) -> Sequence[Message]:
        found: list[Message] = []
        for place, records in self.records.items():
            start = self._next.get(place, self.offsets.get(place, 0))
            found += [record for record in records if record.offset >= start]
            self._next[place] = records[-1].offset + 1 if records else start
        if not found:
            self.on_empty()
        return found

    def forget(self) -> None:
        """As for a new process: it reads from what was committed."""
        self._next.clear()

    async def committed(self, place: Place) -> int | None:
        return self.offsets.get(place)

    async def commit(self, offsets: Mapping[Place, int]) -> None:
        self.on_commit()
        self.offsets.update(offsets)

    def seek(self, offsets: Mapping[Place, int]) -> None:
        self._next.update(offsets)

    async def ends(self, topic: str) -> Mapping[Place, int]:
        return {
            place: records[-1].offset + 1
            for place, records in self.records.items()
            if place.topic == topic and records
        }

    async def open_episodes(self) -> AsyncIterator[Message]:
        for record in self.open:
            yield record


@dataclass(slots=True)
class MemoryStore:
    """Rows by id. `away`: so many calls fail as without a database. `refused`: ids that it cannot keep."""

    rows: dict[str, Mapping[str, object]] = field(default_factory=dict)
    positions: dict[Place, Position] = field(default_factory=dict)
    generation: int = 1
    away: int = 0
    refused: frozenset[str] = frozenset()
    on_record: Callable[[], None] = lambda: None
    over: list[tuple[str, str]] = field(default_factory=list)
    numbers: list[Number] = field(default_factory=list)
    old: dict[str, int] = field(default_factory=dict)

    def _answer(self) -> None:
        if self.away:
            self.away -= 1
            raise Transient("recording in", "the store", "it is away")

    async def read_positions(self) -> Positions:
        self._answer()
        return Positions(self.generation, dict(self.positions))

    async def record(
        self, kept: Sequence[Kept], positions: Mapping[Place, Position], generation: int
    ) -> bool:
        self.on_record()
        self._answer()
        if generation != self.generation:
            return False
        if self.refused & {each.id for each in kept}:
            raise Poison("recording in", "the store", "no table takes it")
        self.rows |= {each.id: each.row for each in kept}
        self.positions.update(positions)
        return True

    async def unsettled(self) -> Sequence[tuple[str, str]]:
        self._answer()
        return list(self.over)

    async def settle(self, runs: Sequence[tuple[str, str]], checks: Mapping[str, Sequence[str]]) -> None:
        self._answer()
        self.over = [run for run in self.over if run not in runs]

    async def count(self, persistent_before_us: int, bounds_s: Sequence[float]) -> Sequence[Number]:
        self._answer()
        return list(self.numbers)

    async def forget(self, before_us: int, most: int, bounds_s: Sequence[float]) -> Mapping[str, int]:
        self._answer()
        found = {table: min(count, most) for table, count in self.old.items()}
        self.old = {table: count - found[table] for table, count in self.old.items()}
        return found

    async def rebuild(self) -> None:
        self.rows.clear()
        self.positions.clear()
        self.generation += 1

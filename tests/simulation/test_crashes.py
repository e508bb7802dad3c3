"""I6: a worker that dies between any two durable writes publishes what an uninterrupted one does.

The order of durable writes in a step: messages, `episodes`, `left` and `right`, the partition record, commit.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from app.detector.model import SECOND, Input
from app.errors import Poison
from app.ports import Codec, Record
from app.rules import load_rules
from app.settings import RULES_FOLDER
from app.stream.messages import TopicNames
from app.stream.metrics import WorkerMetrics
from app.stream.partition import DriftPartition
from app.stream.rule_partition import EPISODES, LEFT, RIGHT, WorkerPlan
from app.stream.work import Batch, Message, Outcome
from tests.simulation import truth
from tests.simulation.check import World, micros, rule
from tests.simulation.feed import Manner
from tests.simulation.test_invariants import HABITS

MISMATCHES = "drift.mismatches"
TOPICS = {"left": "db.changes", "right": "chain.events"}
OBSERVATIONS = "drift.observations"
[_CREDIT] = load_rules([RULES_FOLDER / "credit.yaml"], {"CREDIT_CONTRACT_ID": "C"})
LOADED = replace(_CREDIT, rule=rule(confirm_us=None))


@dataclass(frozen=True, slots=True)
class Stored:
    """A record that holds its input; what the codecs do is another test's matter."""

    topic: str
    offset: int
    item: Input
    partition: int = 0
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


class StoredCodec:
    """Takes the input out of its record."""

    def __init__(self) -> None:
        self.skipped: dict[str, int] = {}

    def decode(self, record: Record) -> Sequence[Input]:
        """One input a record."""
        if not isinstance(record, Stored):
            raise Poison("decoding", record.topic, "not of this log")
        return (record.item,)


class StillClock:
    """Time stands still: nothing may depend on it."""

    def now_us(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


class Killed(Exception):
    """The process died here."""


class Log:
    """The topics of one partition, each in its own order."""

    def __init__(self, world: World) -> None:
        self.topics: dict[str, list[Stored]] = defaultdict(list)
        for told in sorted(world.feed.told, key=lambda told: (told.arrival, told.stream, told.order)):
            topic = TOPICS.get(told.stream, OBSERVATIONS)
            records = self.topics[topic]
            records.append(Stored(topic, len(records), told.input))


class Worker:
    """One partition's work over durable tables; a `kill_rate` of 0 never dies."""

    def __init__(
        self, r: random.Random, log: Log, kill_rate: float = 0.0, *, from_empty: bool = True
    ) -> None:
        self.r, self.log, self.kill_rate, self.from_empty = r, log, kill_rate, from_empty
        self.durable: dict[str, dict[bytes, bytes]] = {LEFT: {}, RIGHT: {}, EPISODES: {}}
        self.committed = dict.fromkeys(log.topics, 0)
        self.told: dict[bytes, bytes] = {}
        self.kills = 0
        self._start()

    def _start(self) -> None:
        codecs: dict[str, Codec] = {topic: StoredCodec() for topic in self.log.topics}
        clock = StillClock()
        plan = WorkerPlan(
            [LOADED],
            codecs,
            clock,
            WorkerMetrics(clock, codecs),
            1,
            "db",
            TopicNames(),
            self.from_empty,
        )
        self.live = {name: dict(rows) for name, rows in self.durable.items()}
        self.work = DriftPartition(plan, 0, self.live)
        self.position = dict(self.committed)

    def run(self) -> Worker:
        """Until everything is read and committed; dies and starts again on the way."""
        while any(self.position[topic] < len(records) for topic, records in self.log.topics.items()):
            try:
                self._step()
            except Killed:
                self.kills += 1
                self._start()
        return self

    def _step(self) -> None:
        waiting = [t for t, records in self.log.topics.items() if self.position[t] < len(records)]
        topic = self.r.choice(waiting)
        first = self.position[topic]
        batch = self.log.topics[topic][first : first + self.r.choice((1, 5, 40))]
        outcome = self.work.absorb(Batch(batch, 0.0))
        for stage in outcome.stages:
            for name, rows in stage.items():
                self._write(self.live[name], rows)
        self._publish(outcome.messages)
        self._persist(outcome)
        self._die()
        self.position[topic] += len(batch)
        if self.r.random() < 0.15:
            self.committed = dict(self.position)

    def _publish(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._die(5)
            if message.topic == MISMATCHES and message.value is not None:
                ce_id = dict(message.headers)["ce_id"]
                assert self.told.setdefault(ce_id, message.value) == message.value

    def _persist(self, outcome: Outcome) -> None:
        for stage in outcome.stages:
            tables = list(stage.items())
            self.r.shuffle(tables)
            for name, rows in tables:
                self._die()
                self._write(self.durable[name], rows)

    def _write(self, table: dict[bytes, bytes], rows: dict[bytes, bytes | None]) -> None:
        for key, row in rows.items():
            if row is None:
                table.pop(key, None)
            else:
                table[key] = row

    def _die(self, less: int = 1) -> None:
        if self.r.random() < self.kill_rate / less:
            raise Killed


@pytest.mark.parametrize("seed", range(16))
def test_kills_between_durable_writes_change_nothing(seed: int) -> None:
    manner = Manner(
        seconds=400,
        stalls=seed % 2 == 0,
        duplicates=0.1,
        full_images=seed % 3 == 0,
        page_ledgers=1 + seed % 4,
        read_ahead=seed % 3,
    )
    log = Log(World(seed, replace(HABITS, seconds=400, keys=6, drift=0.5), manner))
    uninterrupted = Worker(random.Random(seed), log).run()

    killed = Worker(random.Random(seed), log, 0.1).run()

    assert uninterrupted.told
    assert killed.kills > 20, seed
    assert killed.told == uninterrupted.told, seed


@pytest.mark.parametrize("seed", range(10))
def test_kills_while_reads_of_a_sweep_wait_change_nothing(seed: int) -> None:
    manner = Manner(seconds=300, sweeps_at_us=(100 * SECOND, 200 * SECOND))
    log = Log(World(seed, replace(HABITS, seconds=300, keys=6), manner))
    uninterrupted = Worker(random.Random(seed), log).run()

    killed = Worker(random.Random(seed), log, 0.1).run()

    assert killed.kills > 10, seed
    assert killed.told == uninterrupted.told, seed


@pytest.mark.parametrize("seed", range(10))
def test_kills_in_the_middle_of_seeding_raise_no_false_alarm(seed: int) -> None:
    manner = Manner(
        seconds=400, streams_from_us=150 * SECOND, seed_at_us=160 * SECOND, page_us=3 * SECOND, stalls=True
    )
    world = World(seed, replace(HABITS, seconds=400, keys=8, drift=0.5), manner)

    killed = Worker(random.Random(seed), Log(world), 0.1, from_empty=False).run()

    assert killed.kills > 10, seed
    assert killed.told
    for body in killed.told.values():
        told = json.loads(body)
        if told["transition"] in ("opened", "reopened"):
            since = micros(told["since"])
            true = truth.violations(world.life, told["key"], since + 60 * SECOND)
            assert any(start <= since < until for start, until in true), (seed, told)

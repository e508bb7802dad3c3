"""A worker's partition whose rule changes: versions take over from each other, and its process dies."""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import orjson

from app.detector.detector import Detector
from app.detector.model import (
    ABSENT,
    INFINITY,
    SECOND,
    Activation,
    EntryAsOf,
    EntryRead,
    Input,
    Mark,
    RowAsOf,
    RowChange,
    Seeded,
    Side,
    Transition,
    Value,
)
from app.detector.unverifiable import UnverifiableLog
from app.detector.values import format_time
from app.errors import Fatal
from app.ports import Codec, Record
from app.rules import LeftMapping, LoadedRule, RightMapping
from app.simulation.judging import Verdicts, close, micros
from app.simulation.manner import RULE_ID, Facts, Manner
from app.simulation.sweeping import read_both, walk_back
from app.simulation.telling import Telling
from app.simulation.versions import VERSIONS, Term, Version
from app.stream.messages import TopicNames
from app.stream.metrics import WorkerMetrics
from app.stream.partition import DriftPartition
from app.stream.rule_partition import TABLES, WorkerPlan
from app.stream.work import Batch, Message, Outcome, Part, write_rows
from schemas import topics

TOPIC: Final = "simulated"
ASKED_AFTER_US: Final = SECOND // 2
CONFIRM_US: Final = 10 * SECOND
_STEP_US: Final = SECOND
_LIVES: Final = 3000
"""A step has so many places at which the process may die, and a handful of them exist; where a version ends,
about half of them."""


class Numbered(NamedTuple):
    """A record: its value is the number of an input."""

    value: bytes | None
    offset: int
    topic: str = TOPIC
    partition: int = 0
    timestamp: int = 0
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


class Reader:
    """Reads for one version: values as it sees them, and no reads that were made for another one."""

    def __init__(self, told: list[tuple[Input, int | None]], version: Version) -> None:
        self.told, self.version = told, version
        self.skipped: dict[str, int] = {}

    def decode(self, record: Record) -> Sequence[Input]:
        """The input of a record, or none."""
        item, version = self.told[int(record.value or b"")]
        if version not in (None, self.version.rule.version):
            return ()
        see = self.version.see
        if isinstance(item, RowChange):
            before = None if item.before is None else see(item.before)
            return (item._replace(before=before, after=see(item.after)),)
        if isinstance(item, EntryRead | RowAsOf | EntryAsOf):
            return (item._replace(value=see(item.value)),)
        return (item,)


class WorldClock:
    """Shows the arrival of what is taken in."""

    def __init__(self) -> None:
        self.now = 0

    def now_us(self) -> int:
        return self.now

    def monotonic_s(self) -> float:
        return self.now / SECOND

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nobody sleeps in a world ({seconds} s)")


class Changing:
    """One partition's run. `broken`: what must never be, as (key, words)."""

    def __init__(self, r: random.Random, facts: Facts, manner: Manner, telling: Telling) -> None:
        self.r, self.facts, self.manner, self.telling = r, facts, manner, telling
        self.told: list[tuple[Input, int | None]] = []
        self.waiting: list[tuple[int, int]] = []
        for arrival, item in telling.told:
            self._queue(arrival, item, self._reader_of(item))
        self.clock = WorldClock()
        self.parts: dict[str, Part] = {table: {} for table in TABLES}
        self.logs = {each.rule.version: UnverifiableLog() for each in VERSIONS}
        self.verdicts = {each.rule.version: Verdicts() for each in VERSIONS}
        self.begins: dict[int, int] = {1: -INFINITY}
        self.watermarks = {side: -INFINITY for side in Side}
        self.broken: list[tuple[str, str]] = []
        self.resweeps: set[str] = set()
        self.open: dict[str, str] = {}
        self.episodes: dict[str, str] = {}
        self.detectors: dict[int, Detector] = {}
        self.judging: set[int] = set()
        self.partition = self._start([1])

    def run(self) -> list[Term]:
        """Everything in order of arrival; the versions in their order."""
        while self.waiting:
            batch = self._next_batch()
            while not self._step(batch):
                self.verdicts[1].restarts += 1
                self.partition = self._start(list(self.begins))
        for _ in range(2 * CONFIRM_US // SECOND):
            self.clock.now += SECOND
            self._take(self.partition.tick())
        for version, detector in self.detectors.items():
            close(self.verdicts[version], detector, self.logs[version])
        ends = [*list(self.begins.values())[1:], INFINITY]
        terms = [
            Term(VERSIONS[version - 1], begins, until, self.verdicts[version])
            for (version, begins), until in zip(self.begins.items(), ends, strict=True)
        ]
        self._check(terms)
        return terms

    # ---- what arrives

    def _queue(self, arrival: int, item: Input, version: int | None) -> None:
        self.told.append((item, version))
        heapq.heappush(self.waiting, (arrival, len(self.told) - 1))

    def _reader_of(self, item: Input) -> int | None:
        """By which version what a sweep tells was read; None for what is read by all."""
        if isinstance(item, RowAsOf | EntryAsOf):
            return self.telling.version_read_at(item.read_at)
        return self.telling.version_read_at(item.at) if isinstance(item, Seeded) else None

    def _next_batch(self) -> list[tuple[int, int]]:
        """What arrives within a second; an activation stands in a topic of its own."""
        batch = [heapq.heappop(self.waiting)]
        while (
            self.waiting
            and self.waiting[0][0] < batch[0][0] + _STEP_US
            and not isinstance(self.told[batch[0][1]][0], Activation)
            and not isinstance(self.told[self.waiting[0][1]][0], Activation)
        ):
            batch.append(heapq.heappop(self.waiting))
        return batch

    # ---- the worker

    def _start(self, versions: list[int]) -> DriftPartition:
        """A worker over what is durable; it may have been given the file of any version that is in force."""
        self.r.shuffle(versions)
        for version in versions:
            loaded, codecs = self._compile(str(version))
            plan = WorkerPlan(
                [loaded],
                codecs,
                self.clock,
                WorkerMetrics(self.clock, codecs),
                1,
                "simulated",
                TopicNames(),
                from_empty=True,
                compile=self._compile,
            )
            try:
                partition = DriftPartition(plan, 0, self.parts)
            except Fatal:
                continue
            self.judging = set()
            self._keep_logs(partition)
            return partition
        raise Fatal("simulating", RULE_ID, "no version is in force")

    def _compile(self, document: str, path: str = "simulated.yaml") -> tuple[LoadedRule, Mapping[str, Codec]]:
        version = VERSIONS[int(document) - 1]
        confirm_us = CONFIRM_US if self.manner.confirms else None
        return load(version, confirm_us, document, path), {TOPIC: Reader(self.told, version)}

    def _keep_logs(self, partition: DriftPartition) -> None:
        for held in partition.rules.values():
            held.detector.keep_log(self.logs[held.rule.version])
            self.detectors[held.rule.version] = held.detector
            self.judging.add(held.rule.version)

    def _step(self, batch: list[tuple[int, int]]) -> bool:
        """One batch, and the passing of time; False where the process died in it."""
        self.clock.now = batch[-1][0]
        items = [self.told[number][0] for _, number in batch]
        if isinstance(items[0], Activation):
            self._begin_version(items[0])
        records = [Numbered(b"%d" % number, number) for _, number in batch]
        if not self._take(self.partition.absorb(Batch(records, 0.0))):
            return False
        for item in items:
            if type(item) is Mark:
                self.watermarks[item.side] = max(self.watermarks[item.side], item.watermark)
        if not self._take(self.partition.tick()):
            return False
        kept = {episode: key for key, episode in self.episodes.items()}
        for key in {key for _, key in self.open.items() ^ kept.items()}:
            self.broken.append((key, f"{topics.EPISODES} is wrong at {format_time(self.clock.now)}"))
        return True

    def _take(self, outcome: Outcome) -> bool:
        """Tell, then write stage after stage; False where the process died in between."""
        self._keep_logs(self.partition)
        more: Outcome | None = outcome
        while more is not None:
            has_ended = len(self.judging) > len(self.partition.rules)
            death = self.r.randrange(0, 2 * len(more.stages) if has_ended else _LIVES)
            for message in more.messages:
                self._hear(message)
            self._finish_logs()
            for number, stage in enumerate(more.stages):
                if number == death:
                    return False
                for table, rows in stage.items():
                    write_rows(self.parts[table], rows)
            if death == len(more.stages):
                return False
            more = None if more.more is None else more.more()
        return True

    def _finish_logs(self) -> None:
        """Of versions that ended in this step: their rows are still there."""
        held = {each.rule.version for each in self.partition.rules.values()}
        for version in self.judging - held:
            self.detectors[version].finish_log()
        self.judging = held

    def _hear(self, message: Message) -> None:
        if message.topic == topics.REQUESTS:
            asked = orjson.loads(message.value or b"")
            if asked["request"] == "confirm":
                self._answer(asked["key"], micros(asked["history_from"]))
            elif asked["cause"] == "rule_change":
                self.resweeps.add(asked["run"])
        elif message.topic == topics.EPISODES:
            self._keep_episode(message)
        elif message.topic == topics.MISMATCHES:
            headers = {name: text.decode() for name, text in message.headers}
            value = orjson.loads(message.value or b"")
            told = Transition(headers["ce_id"], headers["ce_type"], headers["ce_time"], {}, value)
            self.verdicts[value["rule_version"]].transitions.append((self.clock.now, told))
            if value["transition"] != "resolved":
                self.open[value["episode"]] = value["key"]
            else:
                self.open.pop(value["episode"], None)

    def _keep_episode(self, message: Message) -> None:
        """As the compacted topic keeps it: which episode of a key is open."""
        key = (message.key or b"").decode().partition("|")[2]
        value = None if message.value is None else orjson.loads(message.value)
        if value is not None and value["transition"] != "resolved":
            self.episodes[key] = value["episode"]
        else:
            self.episodes.pop(key, None)

    def _answer(self, key: str, history_from: int) -> None:
        """Both sides are read live, by the version that the sweeper was started with."""
        at = self.clock.now + ASKED_AFTER_US
        version = self.telling.version_read_at(at)
        read = read_both(self.r, self.facts, self.manner, key, at)
        for arrival, item in walk_back(self.facts, self.manner, history_from, read):
            self._queue(arrival, item, version)

    # ---- what must be

    def _begin_version(self, asked: Activation) -> None:
        """It judges from the first instant on that is not judged by then."""
        window = VERSIONS[asked.version - 2].rule.window
        right = self.watermarks[Side.RIGHT] - window.lead_us - window.skew_us
        self.begins[asked.version] = max(asked.effective, min(self.watermarks[Side.LEFT], right) + 1)

    def _check(self, terms: list[Term]) -> None:
        """No instant is told by two versions, nothing is left open where one ends, one sweep is asked for."""
        if len(self.resweeps) != len(terms) - 1:
            self.broken.append(("", f"{len(self.resweeps)} sweeps for {len(terms) - 1} changes of the rule"))
        for version, begins, until, verdicts in terms:
            number = version.rule.version
            for _, told in verdicts.transitions:
                at, key = micros(told.ce_time), str(told.value["key"])
                is_end = told.value["transition"] == "resolved"
                if not begins <= at <= until or (at == until and not is_end):
                    self.broken.append((key, f"version {number} tells of {told.ce_time}"))
                if is_end and (at == until) != (told.value["cause"] == "rule_changed"):
                    self.broken.append((key, f"resolved at {told.ce_time}: {told.value['cause']}"))
            still_open = {key for key, mine in verdicts.stretches.items() if mine[-1].until == INFINITY}
            if until < INFINITY:
                self.broken += [(key, f"still open under version {number}") for key in still_open]


def load(version: Version, confirm_us: int | None, document: str, path: str) -> LoadedRule:
    """A version as the worker is given it; nobody reads rows or entries by it."""

    def read(_: Mapping[str, object]) -> Value:
        return ABSENT

    left = LeftMapping(None, "simulated", "key", None, (), read, lambda _: "", lambda _: 0)
    right = RightMapping(None, None, "simulated", (), read)
    rule = replace(version.rule, confirm_us=confirm_us)
    return LoadedRule(rule, left, right, path, f"digest of {document}", document=document)

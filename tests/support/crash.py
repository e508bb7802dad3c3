"""The crash harness: workers die under load, then everything is compared with one pass over the input."""

from __future__ import annotations

import asyncio
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import msgspec
import orjson

from app.clock import SystemClock
from tests.support.crash_worker import Order
from tests.support.kafka import COMPACT, Sender, count_behind, create_topics, open_sender, read_all
from tests.support.pairs import LEFT_TOPIC, RIGHT_TOPIC, canonical, decode, judge_all, make_record
from tests.support.waiting import eventually

CLOCK = SystemClock()
PARTITIONS = 4
READY = b'"recovered"'


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to the workers. `stages`: places at which one worker kills itself, in turn (see
    `Order.die_after`). `restart_broker`: called once, in the middle. `report` is told what was done."""

    brokers: str
    kills: int = 5
    workers: int = 1
    events_per_s: int = 4000
    keys: int = 5000
    seed: int = 1
    mutant: str = ""
    is_slow: bool = False
    freezes: int = 0
    stages: tuple[str, ...] = ()
    restart_broker: Callable[[], Awaitable[None]] | None = None
    report: Callable[[str], object] = str


@dataclass(slots=True)
class Verdict:
    """What was found; `is_right` when state and messages are those of the single pass."""

    seed: int
    kills: int = 0
    frozen_exits: list[int] = field(default_factory=list)
    events: int = 0
    keys: int = 0
    wrong_in_changelog: int = 0
    wrong_in_table: int = 0
    told: int = 0
    missing: int = 0
    unexpected: int = 0
    repeated: int = 0
    exits: list[int] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        wrong = self.wrong_in_changelog + self.wrong_in_table + self.missing + self.unexpected
        return wrong == 0 and self.told > 0


class Worker:
    """One worker child process and its log."""

    def __init__(self, order: Order, folder: Path, number: int) -> None:
        self.path = folder / f"worker{number}.log"
        self.log: IO[bytes] = self.path.open("ab")
        self.since = self.log.tell()
        command = [sys.executable, "-m", "tests.support.crash_worker", msgspec.json.encode(order).decode()]
        root = Path(__file__).parents[2]
        self.process = subprocess.Popen(command, cwd=root, stdout=self.log, stderr=self.log)

    def is_ready_or_dead(self) -> bool:
        return self.process.poll() is not None or READY in self.path.read_bytes()[self.since :]

    def signal(self, number: int) -> None:
        if self.process.poll() is None:
            os.kill(self.process.pid, number)

    async def wait(self, within: float = 60.0) -> int:
        await eventually(lambda: self.process.poll() is not None, within)
        self.log.close()
        return self.process.returncode


class Crash:
    """One run of a plan."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self.random = random.Random(plan.seed)
        self.app_id = f"crash-{os.getpid()}-{CLOCK.now_us()}"
        self.sources = [f"{self.app_id}.{LEFT_TOPIC}", f"{self.app_id}.{RIGHT_TOPIC}"]
        self.out = f"{self.app_id}.out"
        self.verdict = Verdict(plan.seed)
        self.workers: dict[int, Worker] = {}
        self.is_loading = True

    def _start(self, number: int, **changes: object) -> None:
        order = Order(
            app_id=self.app_id,
            brokers=self.plan.brokers,
            prefix=self.app_id + ".",
            out=self.out,
            partitions=PARTITIONS,
            instance_id=f"{self.app_id}-{number}",
            mutant=self.plan.mutant,
            is_slow=self.plan.is_slow,
        )
        self.workers[number] = Worker(msgspec.structs.replace(order, **changes), self.folder, number)

    async def run(self) -> Verdict:
        await self._create_topics()
        load = asyncio.create_task(self._load())
        try:
            for number in range(self.plan.workers):
                self._start(number)
            await self._harm()
            self.is_loading = False
            await load
            await eventually(self._is_caught_up, within=120, every=0.5)
            for worker in self.workers.values():
                worker.signal(signal.SIGTERM)
            self.verdict.exits = [await worker.wait() for worker in self.workers.values()]
            await self._judge()
        finally:
            load.cancel()
            for worker in self.workers.values():
                worker.signal(signal.SIGKILL)
                worker.process.wait()
        return self.verdict

    async def _create_topics(self) -> None:
        await create_topics(self.plan.brokers, [*self.sources, self.out], PARTITIONS)
        changelogs = [f"{self.app_id}-{table}-changelog" for table in ("state", "marks")]
        await create_topics(self.plan.brokers, changelogs, PARTITIONS, COMPACT)

    async def _load(self) -> None:
        async with open_sender(self.plan.brokers, PARTITIONS) as sender:
            await self._send(sender)

    async def _send(self, sender: Sender) -> None:
        step = max(50, self.plan.events_per_s // 40)
        began, sent, sequence = CLOCK.monotonic_s(), 0, 0
        while self.is_loading or sequence == 0:
            for first in range(0, self.plan.keys, step):
                numbers = range(first, min(first + step, self.plan.keys))
                for side, topic in enumerate(self.sources):
                    await sender.send(topic, [make_record(side, number, sequence) for number in numbers])
                sent += 2 * len(numbers)
                ahead = sent / self.plan.events_per_s - (CLOCK.monotonic_s() - began)
                if ahead > 0:
                    await CLOCK.sleep(ahead)
            sequence += 1

    async def _harm(self) -> None:
        for place in self.plan.stages:
            await self._stop(0, signal.SIGKILL)
            self._start(0, die_after=place, die_at_step=self.random.randrange(3, 12))
            assert await self.workers[0].wait(90) == -signal.SIGKILL, f"no death after {place}"
            self._count_kill(f"died after {place}")
            self._start(0)
        for count in range(self.plan.kills):
            if count == self.plan.kills // 2 and self.plan.restart_broker is not None:
                await self.plan.restart_broker()
                self.plan.report("broker restarted")
            await self._kill_one()
        for _ in range(self.plan.freezes):
            await self._freeze_one()

    def _count_kill(self, how: str) -> None:
        self.verdict.kills += 1
        self.plan.report(f"kill {self.verdict.kills}: {how}")

    async def _kill_one(self) -> None:
        number = self.random.randrange(self.plan.workers)
        if self.random.random() < 0.75:
            await eventually(self.workers[number].is_ready_or_dead, within=90)
            await CLOCK.sleep(self.random.uniform(0.0, 2.5))
        else:
            await CLOCK.sleep(self.random.uniform(0.5, 5.0))
        await self._stop(number, signal.SIGKILL)
        self._count_kill(f"worker {number}")
        if self.plan.workers > 1 and self.random.random() < 0.3:
            await CLOCK.sleep(7.0)
        self._start(number)

    async def _freeze_one(self) -> None:
        """Stop a worker for longer than its session while another takes over: it must end by itself."""
        number = self.random.randrange(self.plan.workers)
        await eventually(lambda: self._is_ready(number), within=90)
        worker = self.workers[number]
        await CLOCK.sleep(2.0)
        worker.signal(signal.SIGSTOP)
        await CLOCK.sleep(self.random.choice([4.0, 9.0, 12.0]))
        worker.signal(signal.SIGCONT)
        self.verdict.frozen_exits.append(await worker.wait(30))
        self.plan.report(f"worker {number} frozen, exit code {self.verdict.frozen_exits[-1]}")
        self._start(number)

    def _is_ready(self, number: int) -> bool:
        """A worker that died (it was frozen, the broker was gone) is started again, as a supervisor would."""
        if self.workers[number].process.poll() is not None:
            self._start(number)
        return self.workers[number].is_ready_or_dead()

    async def _stop(self, number: int, how: int) -> None:
        self.workers[number].signal(how)
        await self.workers[number].wait()

    async def _is_caught_up(self) -> bool:
        for number, worker in list(self.workers.items()):
            if worker.process.poll() is not None:
                self._start(number)
        return await count_behind(self.plan.brokers, self.app_id, self.sources, PARTITIONS) == 0

    async def _judge(self) -> None:
        brokers, verdict = self.plan.brokers, self.verdict
        records = await read_all(brokers, self.sources, PARTITIONS)
        by_side = [(int(r.topic == self.sources[1]), r.key, r.offset, r.value) for r in records]
        states, ids = judge_all(by_side)
        right = {key: canonical(stored) for key, stored in states.items()}
        verdict.events, verdict.keys, verdict.told = len(records), len(states), len(ids)
        held: dict[bytes, bytes] = {}
        for record in await read_all(brokers, [f"{self.app_id}-state-changelog"], PARTITIONS):
            held[record.key] = canonical(record.value)
        verdict.wrong_in_changelog = _count_wrong(right, held)
        verdict.examples = [
            f"{key.decode()}: {decode(state)} is {decode(held[key]) if key in held else None}"
            for key, state in right.items()
            if state != held.get(key)
        ][:5]
        recovered = await self._recover()
        verdict.wrong_in_table = _count_wrong(right, recovered)
        told = [orjson.loads(r.value)["id"] for r in await read_all(brokers, [self.out], PARTITIONS)]
        verdict.missing = len(ids - set(told))
        verdict.unexpected = len(set(told) - ids)
        verdict.repeated = len(told) - len(set(told))

    async def _recover(self) -> dict[bytes, bytes]:
        """The table of a fresh worker after recovery."""
        dump = self.folder / "table"
        self._start(0, dump=str(dump), mutant="", is_slow=False)
        await eventually(dump.exists, within=60)
        await self._stop(0, signal.SIGKILL)
        parts = pickle.loads(dump.read_bytes())  # noqa: S301 - written by our own child
        return {key: canonical(value) for part in parts.values() for key, value in part.items()}


def _count_wrong(right: dict[bytes, bytes], held: dict[bytes, bytes]) -> int:
    return sum(right.get(key) != held.get(key) for key in right.keys() | held.keys())


def run_crash(plan: Plan) -> Verdict:
    """Run a plan in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="driftwatch-crash-") as folder:
        return asyncio.run(Crash(plan, Path(folder)).run())

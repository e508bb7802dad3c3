"""How one target is told: circuit, standby, trouble of our own, windows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from app.circuit import Endurance
from app.desk.notifier.metrics import NotifierMetrics
from app.desk.notifier.telling import Line, Teller
from app.errors import Transient
from app.notices import Answer, Depth, Fold, Grouping, Message, Outcome, Queued, Settled
from tests.unit.desk.notifier.transitions import target

PAYLOAD = '{"type":"drift.notice.flapping","data":{"severity":"low","rule":"r","key":"k","flaps":1}}'


@dataclass
class SteppedClock:
    """A sleep takes its time at once; after `turns` of them the teller is stopped."""

    turns: int
    stop: asyncio.Event
    now_s: float = 0.0

    def now_us(self) -> int:
        return int(self.now_s * 1_000_000)

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.turns -= 1
        if self.turns <= 0:
            self.stop.set()
        await asyncio.Event().wait() if self.stop.is_set() else None


@dataclass
class ListQueue:
    """A queue in memory: all of it is due."""

    waiting: list[Queued] = field(default_factory=list)
    is_held: bool = True
    trouble: list[Exception] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    windows: list[Grouping] = field(default_factory=list)
    is_closed: bool = False

    async def hold(self) -> bool:
        if self.trouble:
            raise self.trouble.pop(0)
        return self.is_held

    async def close_windows(self, grouping: Grouping, fold: Fold) -> None:
        self.windows.append(grouping)

    async def due(self, most: int) -> Sequence[Queued]:
        self.asked.append(most)
        return self.waiting[:most]

    async def settle(self, settled: Sequence[Settled]) -> None:
        self.settled += settled
        over = {each.id for each in settled if each.outcome is not Outcome.RETRY}
        self.waiting = [each for each in self.waiting if each.id not in over]

    async def depth(self) -> Depth:
        return Depth(len(self.waiting), 0.0, 0)

    async def close(self) -> None:
        self.is_closed = True


@dataclass
class Scripted:
    """Answers as the test says, by the number of the message (from 1)."""

    answer: Callable[[int], Answer]
    sent: list[Message] = field(default_factory=list)

    async def send(self, message: Message) -> Answer:
        self.sent.append(message)
        return self.answer(len(self.sent))


async def told(
    queue: ListQueue, answer: Callable[[int], Answer], turns: int = 5, window_s: float = 0.0
) -> tuple[Scripted, NotifierMetrics, SteppedClock]:
    stop = asyncio.Event()
    clock, channel = SteppedClock(turns, stop), Scripted(answer)
    metrics = NotifierMetrics(["t"])
    who = target(group=Grouping(window_s), endurance=Endurance(failures=2, rest_s=1.0, rest_max_s=60.0))
    teller = Teller(Line(who, queue, channel), clock, metrics, lambda low, high: high)
    await asyncio.wait_for(teller.run(stop), 5)
    return channel, metrics, clock


def queued(count: int) -> ListQueue:
    return ListQueue([Queued(f"n{number}", PAYLOAD, 0) for number in range(count)])


def metric(metrics: NotifierMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, {"target": "t", **labels})


async def test_everything_is_told_and_counted() -> None:
    queue = queued(20)
    channel, metrics, _ = await told(queue, lambda number: Answer(200))
    assert [each.id for each in channel.sent] == [f"n{number}" for number in range(20)]
    assert metric(metrics, "driftwatch_webhook_deliveries_total", outcome="delivered") == 20
    assert queue.is_closed


async def test_a_standby_tells_nothing() -> None:
    queue = queued(1)
    queue.is_held = False
    channel, _, _ = await told(queue, lambda number: Answer(200))
    assert channel.sent == []


async def test_a_target_that_fails_is_left_alone_then_tried_with_one() -> None:
    queue = queued(8)
    channel, metrics, clock = await told(queue, lambda number: Answer(500), turns=6)
    assert len(channel.sent) == 8 + 1, "one batch, then after a second's rest a single one"
    assert queue.asked == [8, 1]
    assert clock.now_s < 3.0, "the second rest is longer"
    assert metric(metrics, "driftwatch_webhook_circuit", circuit="open") == 1


async def test_a_target_that_comes_back_is_told_the_rest() -> None:
    queue = queued(8)
    await told(queue, lambda number: Answer(500 if number <= 8 else 200), turns=10)
    assert queue.waiting == []


async def test_a_refusal_is_an_answer_and_opens_no_circuit() -> None:
    queue = queued(8)
    _, metrics, _ = await told(queue, lambda number: Answer(404))
    assert metric(metrics, "driftwatch_webhook_circuit", circuit="closed") == 1
    assert {each.outcome for each in queue.settled} == {Outcome.DEAD}


async def test_a_time_that_the_target_names_holds_all_of_it() -> None:
    queue = queued(1)
    _, metrics, clock = await told(queue, lambda number: Answer(429, retry_after_s=30.0), turns=8)
    assert queue.asked == [8]
    assert metric(metrics, "driftwatch_webhook_circuit", circuit="open") == 1
    assert clock.now_s < 30.0


async def test_trouble_of_our_own_stops_nothing() -> None:
    queue = queued(1)
    queue.trouble = [Transient("reading", "notices", "gone"), RuntimeError("a bug")]
    channel, metrics, _ = await told(queue, lambda number: Answer(200))
    assert len(channel.sent) == 1
    assert metric(metrics, "driftwatch_webhook_failures_total") == 1


async def test_windows_are_closed_where_the_target_groups() -> None:
    grouping, plain = queued(0), queued(0)
    await told(grouping, lambda number: Answer(200), window_s=5.0)
    await told(plain, lambda number: Answer(200))
    assert {each.window_s for each in grouping.windows} == {5.0}
    assert plain.windows == []

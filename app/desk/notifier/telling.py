"""Tells one target: takes its notices in order, tries, waits, gives up; no target waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.circuit import Breaker, Circuit
from app.clock import Clock, sleep_unless
from app.desk.notifier.messages import group_notice, message_of
from app.desk.notifier.metrics import NotifierMetrics
from app.desk.notifier.patience import Uniform, is_delivered, is_final, settle
from app.desk.notifier.ports import Channel, Queue
from app.desk.notifier.targets import Target
from app.errors import Fatal, Transient
from app.notices import Answer, Outcome, Queued
from app.telemetry import get_logger

log = get_logger(__name__)

_AT_ONCE: Final = 8
"""Messages under way at one time, each of another key."""
_LOOK_S: Final = 0.25
_PAUSE_S: Final = 1.0
_SHOW_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Line:
    """The way to one target: who it is, what waits for it, and what carries it there."""

    target: Target
    queue: Queue
    channel: Channel


class Teller:
    """Runs until `stop`; what is under way then is finished, and settled."""

    def __init__(self, line: Line, clock: Clock, metrics: NotifierMetrics, uniform: Uniform) -> None:
        self._target, self._queue, self._channel = line.target, line.queue, line.channel
        self._clock, self._metrics, self._uniform = clock, metrics, uniform
        self._breaker = Breaker(line.target.endurance)
        self._stood = Circuit.CLOSED
        self._shown_s: float | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Raises `Fatal` only."""
        try:
            while not stop.is_set():
                await sleep_unless(stop, await self._turn_or_pause(), self._clock)
        finally:
            await self._queue.close()

    async def _turn_or_pause(self) -> float:
        """A turn, and how long to wait before the next one."""
        try:
            return 0.0 if await self._turn() else _LOOK_S
        except Transient as error:
            reason = str(error)
        except Fatal:
            raise
        except Exception as error:  # noqa: BLE001 - one target must never stop the others
            reason = f"{type(error).__name__}"
            self._metrics.failures.labels(self._target.name).inc()
        log.warning(
            "Cannot tell a target", event_name="webhook_trouble", target=self._target.name, reason=reason
        )
        return _PAUSE_S

    async def _turn(self) -> bool:
        """One batch, if there is any; False where there is nothing to do at this moment."""
        if not await self._queue.hold():
            return False
        if self._target.is_grouping:
            await self._queue.close_windows(self._target.group, group_notice)
        await self._show()
        circuit = self._breaker.circuit(self._clock.monotonic_s())
        if circuit is Circuit.OPEN:
            return False
        due = await self._queue.due(1 if circuit is Circuit.HALF_OPEN else _AT_ONCE)
        if not due:
            return False
        answers = await asyncio.gather(*(self._channel.send(message_of(each)) for each in due))
        await self._settle(due, answers)
        return True

    async def _settle(self, due: Sequence[Queued], answers: Sequence[Answer]) -> None:
        pairs = list(zip(due, answers, strict=True))
        settled = [settle(queued, answer, self._target.retry, self._uniform) for queued, answer in pairs]
        for answer in answers:
            self._judge(answer)
        await self._queue.settle(settled)
        for each in settled:
            self._metrics.deliveries.labels(self._target.name, each.outcome.value).inc()
            if each.outcome is Outcome.DEAD:
                log.error(
                    "A notice was given up",
                    event_name="webhook_dead",
                    target=self._target.name,
                    notice=each.id,
                    reason=each.error,
                )

    def _judge(self, answer: Answer) -> None:
        """A refusal is an answer; once the circuit is open, what was under way says nothing more."""
        now_s = self._clock.monotonic_s()
        if self._breaker.circuit(now_s) is not Circuit.OPEN:
            if is_delivered(answer) or is_final(answer):
                self._breaker.succeed()
            else:
                self._breaker.fail(now_s, answer.retry_after_s)
        stands = self._breaker.circuit(now_s)
        self._metrics.show_circuit(self._target.name, stands)
        if stands is not self._stood and Circuit.HALF_OPEN not in (stands, self._stood):
            is_open = stands is Circuit.OPEN
            log.warning(
                "A target is left alone" if is_open else "A target answers again",
                event_name="webhook_circuit",
                target=self._target.name,
                circuit=stands.value,
                rests_s=round(self._breaker.rests_s(now_s), 1),
            )
        self._stood = stands

    async def _show(self) -> None:
        now_s = self._clock.monotonic_s()
        if self._shown_s is not None and now_s - self._shown_s < _SHOW_EVERY_S:
            return
        self._shown_s = now_s
        self._metrics.show_depth(self._target.name, await self._queue.depth())
        self._metrics.show_circuit(self._target.name, self._breaker.circuit(now_s))

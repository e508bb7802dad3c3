"""The load of a demo: ledgers that close, rows that follow or lead them, and the drift that was planned."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from app.clock import Clock
from app.demo.rows import Lane
from app.demo.scenario import Contract, Planted, Scenario, Subject, World
from app.demo.steps import SECOND_US, ChainStep, RowStep

TURN_S = 0.05


@dataclass(frozen=True, slots=True)
class Submitted:
    """A change that waits for the next ledger; `follow` is the row to write afterwards, None: never."""

    subject: Subject
    line: Any
    follow: Any = None
    delay_us: int = 0


@dataclass(slots=True)
class Births:
    """Keys that are born evenly over the first `seconds`."""

    unborn: list[Subject]
    seconds: float
    born: int = 0

    def until(self, passed_s: float) -> list[Subject]:
        """Those whose time has come and who were not told before."""
        due = int(len(self.unborn) * min(1.0, passed_s / self.seconds))
        told = self.unborn[self.born : due]
        self.born = due
        return told


@dataclass(slots=True)
class Load:
    """Runs a world against its contracts and its tables. One that runs writes every history as it happens."""

    scenario: Scenario
    contract: Contract
    lanes: Sequence[Lane]
    clock: Clock
    ledger_s: int
    waiting: dict[int, Submitted] = field(default_factory=dict)
    later: list[tuple[int, int, Subject, ChainStep]] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    ledgers: int = 0
    submitted: int = 0

    @property
    def world(self) -> World:
        """The world that it runs."""
        return self.scenario.world

    # ---- what the world does

    def submit(self, change: Submitted, event: str | None) -> None:
        """Let the contract change with the next ledger; of several changes of a line the last one counts."""
        change.subject.line = change.line
        self.contract.write(change.subject.key, change.line, event)
        self.waiting[change.subject.index] = change
        self.submitted += 1

    def write_row(self, subject: Subject, row: Any, at_us: int = 0) -> None:
        """Write the key's row at `at_us` or as soon after it as its earlier writes are done."""
        self.lanes[subject.index % len(self.lanes)].put(subject, row, at_us)

    def touch_row(self, subject: Subject) -> None:
        """A write that changes nothing that any rule compares."""
        self.lanes[subject.index % len(self.lanes)].put(subject, None, 0, touch=True)

    def plant(self, planned: Planted) -> None:
        """Plant a drift now; what heals it is scheduled with it."""
        now = planned.planted_us = self.clock.now_us()
        subject: Subject = planned.subject
        for step in self.scenario.steps_of(planned, self.ledger_s * SECOND_US):
            if isinstance(step, RowStep):
                self.write_row(subject, step.row, now + step.after_us)
            else:
                heapq.heappush(self.later, (now + step.after_us, subject.index, subject, step))

    def close_ledger(self, at_us: int) -> None:
        """Close a ledger at `at_us`: the histories of its entries move, and the rows that follow are due."""
        self.contract.close(at_us)
        self.ledgers += 1
        for change in self.waiting.values():
            subject = change.subject
            subject.entries.add(at_us, change.line)
            subject.busy = False
            if change.follow is not None:
                self.write_row(subject, change.follow, at_us + change.delay_us)
        self.waiting.clear()

    # ---- time

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Inside, ledgers close on whole seconds of the clock and rows are written when they are due."""
        tasks = [asyncio.create_task(lane.run()) for lane in self.lanes]
        tasks.append(asyncio.create_task(self._close_ledgers()))
        self.tasks = tasks
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def change(self, seconds: float, stop: asyncio.Event) -> None:
        """Change, open and plant for `seconds` or until `stop`; raises what a lane or the ledger failed
        with."""
        started = self.clock.now_us()
        planned = list(self.world.plants)
        births = Births(list(self.world.unborn), 0.7 * self.world.shape.seconds)
        changes = 0
        while (passed_s := (self.clock.now_us() - started) / SECOND_US) < seconds and not stop.is_set():
            self._raise_failures()
            while planned and planned[0].at_s <= passed_s:
                self.plant(planned.pop(0))
            self._take_later_steps()
            for subject in births.until(passed_s):
                self._submit_healthy(subject, *self.world.birth_of(subject))
                self.world.live.append(subject)
            wanted = int(passed_s * self.world.shape.changes_per_s) - births.born
            for _ in range(max(0, wanted - changes)):
                self._change()
            changes = max(changes, wanted)
            await self.clock.sleep(TURN_S)

    def _raise_failures(self) -> None:
        for task in self.tasks:
            if task.done():
                task.result()

    def _take_later_steps(self) -> None:
        while self.later and self.later[0][0] <= self.clock.now_us():
            _, _, subject, step = heapq.heappop(self.later)
            self.submit(Submitted(subject, step.line), step.event)

    async def _close_ledgers(self) -> None:
        step_us = self.ledger_s * SECOND_US
        due = (self.clock.now_us() // step_us + 1) * step_us
        while True:
            await self.clock.sleep(max(0.0, (due - self.clock.now_us()) / SECOND_US))
            self.close_ledger(due)
            due += step_us

    def _change(self) -> None:
        subject: Subject = self.world.draw_subject()
        if subject.line is None or subject.busy or self.world.random.random() < 0.1:
            self.touch_row(subject)
            return
        change = self.world.change_of(subject.line)
        if change is None:
            self.touch_row(subject)
        else:
            self._submit_healthy(subject, *change)

    def _submit_healthy(self, subject: Subject, line: Any, event: str) -> None:
        row = self.world.row_of(line)
        if subject.leads:
            subject.busy = True
            self.write_row(subject, row)
            self.submit(Submitted(subject, line), event)
        else:
            self.submit(Submitted(subject, line, row, self.world.draw_delay_us()), event)

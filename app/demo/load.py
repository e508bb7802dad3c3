"""The load of a demo: ledgers that close, rows that follow or lead them, and the drift that was planned."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from app.clock import Clock
from app.demo.lines import Line, Row
from app.demo.planting import ChainStep, Delays, RowStep, plan_steps
from app.demo.rows import Lane
from app.demo.world import SECOND_US, Borrower, Plant, World

TURN_S = 0.05


class Contract(Protocol):
    """The credit contract on the demo's network: what is written takes effect when the ledger closes."""

    def write(self, address: str, line: Line, event: str | None) -> None: ...

    def close(self, at_us: int) -> int: ...


@dataclass(frozen=True, slots=True)
class Submitted:
    """A change that waits for the next ledger; `follow` is the row to write afterwards, None: never."""

    borrower: Borrower
    line: Line
    follow: Row | None = None
    delay_us: int = 0


@dataclass(slots=True)
class Births:
    """Borrowers whose lines open evenly over the first `seconds`."""

    unborn: list[Borrower]
    seconds: float
    born: int = 0

    def until(self, passed_s: float) -> list[Borrower]:
        """Those whose time has come and who were not told before."""
        due = int(len(self.unborn) * min(1.0, passed_s / self.seconds))
        told = self.unborn[self.born : due]
        self.born = due
        return told


@dataclass(slots=True)
class Load:
    """Runs a world against its contract and its table. One that runs writes every history as it happens."""

    world: World
    contract: Contract
    lanes: Sequence[Lane]
    clock: Clock
    ledger_s: int
    waiting: dict[int, Submitted] = field(default_factory=dict)
    later: list[tuple[int, int, Borrower, ChainStep]] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    ledgers: int = 0
    submitted: int = 0

    # ---- what the world does

    def submit(self, change: Submitted, event: str | None) -> None:
        """Let the contract change with the next ledger; of several changes of a line the last one counts."""
        change.borrower.line = change.line
        self.contract.write(change.borrower.address, change.line, event)
        self.waiting[change.borrower.index] = change
        self.submitted += 1

    def write_row(self, borrower: Borrower, row: Row | None, at_us: int = 0) -> None:
        """Write the borrower's row at `at_us` or as soon after it as its earlier writes are done."""
        self.lanes[borrower.index % len(self.lanes)].put(borrower, row, at_us)

    def touch_row(self, borrower: Borrower) -> None:
        """A write that changes nothing that any rule compares."""
        self.lanes[borrower.index % len(self.lanes)].put(borrower, None, 0, touch=True)

    def plant(self, planned: Plant) -> None:
        """Plant a drift now; what heals it is scheduled with it."""
        now = planned.planted_us = self.clock.now_us()
        delays = Delays.of(self.world, self.ledger_s * SECOND_US)
        for step in plan_steps(self.world, planned, delays):
            if isinstance(step, RowStep):
                self.write_row(planned.borrower, step.row, now + step.after_us)
            else:
                heapq.heappush(
                    self.later, (now + step.after_us, planned.borrower.index, planned.borrower, step)
                )

    def close_ledger(self, at_us: int) -> None:
        """Close a ledger at `at_us`: the histories of its entries move, and the rows that follow are due."""
        self.contract.close(at_us)
        self.ledgers += 1
        for change in self.waiting.values():
            borrower = change.borrower
            borrower.entries.add(at_us, change.line)
            borrower.busy = False
            if change.follow is not None:
                self.write_row(borrower, change.follow, at_us + change.delay_us)
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
            for borrower in births.until(passed_s):
                self._submit_healthy(borrower, self.world.draw_line(), "opened")
                self.world.live.append(borrower)
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
            _, _, borrower, step = heapq.heappop(self.later)
            self.submit(Submitted(borrower, step.line), step.event)

    async def _close_ledgers(self) -> None:
        step_us = self.ledger_s * SECOND_US
        due = (self.clock.now_us() // step_us + 1) * step_us
        while True:
            await self.clock.sleep(max(0.0, (due - self.clock.now_us()) / SECOND_US))
            self.close_ledger(due)
            due += step_us

    def _change(self) -> None:
        borrower = self.world.draw_borrower()
        if borrower.line is None or borrower.busy or self.world.random.random() < 0.1:
            self.touch_row(borrower)
            return
        self._submit_healthy(borrower, self.world.draw_change(borrower.line), "drawn")

    def _submit_healthy(self, borrower: Borrower, line: Line, event: str) -> None:
        if borrower.leads:
            borrower.busy = True
            self.write_row(borrower, Row.of(line))
            self.submit(Submitted(borrower, line), event)
        else:
            self.submit(Submitted(borrower, line, Row.of(line), self.world.draw_delay_us()), event)

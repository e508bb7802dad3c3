"""The drill of a silent change that nobody suspects: an announced one overwrites it before anybody looks."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from app.demo.drills.planted import Planted
from app.demo.drills.stage import Stage
from app.demo.lines import Line, Row
from app.demo.load import Submitted
from app.demo.system import READY_WITHIN_S
from app.demo.world import SECOND_US
from app.detector.values import format_time

_RAISED: Final = 2_222_222
_SETTING: Final = "DRIFTWATCH_BEFORE_IMAGES"
_LAG: Final = "driftwatch_before_images_lag_seconds"


async def silent_overwritten(stage: Stage) -> Planted:
    """The contract changes an entry and tells nobody, and the row does not follow; later both move on
    together, and agree again. Only the ledger of the second change knows what was between."""
    victim, window = stage.take(), stage.system.options.window
    found = Planted(frozenset({"as_of"}))
    line: Line = victim.line  # type: ignore[assignment] # every early borrower has one
    first = line._replace(credit_limit=line.credit_limit + _RAISED)
    second = first._replace(credit_limit=first.credit_limit + _RAISED)
    told: list[str] = []

    def is_over() -> bool:
        told[:] = [event.transition for event in stage.events if event.key == victim.address]
        return told[-1:] == ["resolved"]

    async with _before_images(stage):
        stage.load.submit(Submitted(victim, first), None)
        await stage.clock.sleep(2 * (window.lag_us + window.skew_us) / SECOND_US)
        if is_over() or told:
            found.problems.append("the silent change was seen before it was overwritten")
        stage.load.submit(Submitted(victim, second, Row.of(second)), "risk_upd")
        await stage.until("the drift in between", is_over)
    [truth] = victim.violations(window)
    since = next(event.value["since"] for event in stage.events if event.key == victim.address)
    expected = format_time(truth.from_us + window.skew_us)
    if since != expected:
        found.problems.append(f"the drift in between began at {expected}, and was told since {since}")
    return found


@asynccontextmanager
async def _before_images(stage: Stage) -> AsyncIterator[None]:
    """Inside, the sweeper runs with the setting, and has met the stream's marks."""
    try:
        await _restart_sweeper(stage, "true")
        await stage.until("the first mark", lambda: _has_begun(stage))
        yield
    finally:
        await _restart_sweeper(stage, "false")


async def _restart_sweeper(stage: Stage, setting: str) -> None:
    supervisor = stage.system.supervisor
    supervisor.environment[_SETTING] = setting
    before = supervisor.pid("sweeper")
    os.kill(before, signal.SIGTERM)  # leaves its groups: the next one need not wait for its session to end
    await stage.until("another sweeper", lambda: supervisor.pid("sweeper") != before)
    await supervisor.until_ready("sweeper", READY_WITHIN_S)


async def _has_begun(stage: Stage) -> bool:
    text = await stage.system.supervisor.metrics("sweeper")
    lines = [line for line in text.splitlines() if line.startswith(f"{_LAG} ")]
    return any(float(line.split()[1]) > 0 for line in lines)

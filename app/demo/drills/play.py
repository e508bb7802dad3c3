"""Plays drills one after the other on one system, and says of each whether all that must be true was."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from app.clock import Clock
from app.demo.drills.held import find_discrepancies
from app.demo.drills.losses import DRILLS
from app.demo.drills.planted import Drill, Planted
from app.demo.drills.stage import Stage
from app.demo.system import System, SystemOptions
from app.demo.truth import Window
from app.demo.world import SECOND_US
from app.errors import DriftwatchError, Fatal

NAMES: Final = tuple(DRILLS)
_WARM_UP_S: Final = 6.0
_SHOWN: Final = 5
Say = Callable[[str], None]


def choose(asked: str) -> tuple[str, ...]:
    """The drills of these names, separated by commas, or `all` of them. Raises `Fatal` with the names that
    there are."""
    if asked == "all":
        return NAMES
    names = tuple(name.strip() for name in asked.split(","))
    for name in names:
        if name not in NAMES:
            raise Fatal("choosing", f"drill {name}", "there is none of that name", f"all, {', '.join(NAMES)}")
    return names


async def play(names: Sequence[str], folder: Path, seed: int, clock: Clock, say: Say) -> dict[str, Any]:
    """The result of each drill by its name."""
    results: dict[str, Any] = {}
    window = Window(lag_us=6_000_000, lead_us=4_000_000, skew_us=500_000, min_us=500_000)
    stage = Stage(System(SystemOptions(folder, window), clock), seed, clock)
    stage.says = say
    async with stage:
        await clock.sleep(_WARM_UP_S)
        for name in (each for each in DRILLS if each in names):
            say(f"drill {name}")
            results[name] = await _perform(stage, DRILLS[name])
            if stage.is_paused:
                stage.resume_load()
    return {name: results[name] for name in names}


async def _perform(stage: Stage, drill: Drill) -> dict[str, Any]:
    began = stage.clock.monotonic_s()
    known, alarms = set(stage.status.incidents), len(stage.false_alarms())
    before = await stage.observed()
    try:
        planted = await drill(stage)
        await _until_swept(stage, planted, known)
        await _until_still(stage)
        problems = planted.problems + await _find_problems(stage)
    except DriftwatchError as error:
        return {"ok": False, "error": str(error), "seconds": round(stage.clock.monotonic_s() - began, 1)}
    after = await stage.observed()
    false_alarms = stage.false_alarms()[alarms:]
    declared = [one for key, one in stage.status.incidents.items() if key not in known]
    return {
        "ok": not (problems or false_alarms),
        "false_alarms": len(false_alarms),
        "declared": len(declared),
        "repaired": _grown(before, after, "as_of_repaired") + _grown(before, after, "as_of_learned"),
        "found": len(planted.drifting),
        "causes": sorted({one["cause"] for one in declared}),
        "seconds": round(stage.clock.monotonic_s() - began, 1),
        "problems": [*problems, *false_alarms[:_SHOWN]],
    }


def _grown(before: Mapping[str, float], after: Mapping[str, float], what: str) -> int:
    """A worker that was started again counts from 0."""
    now, then = after.get(what, 0.0), before.get(what, 0.0)
    return int(now - then if now >= then else now)


async def _until_swept(stage: Stage, planted: Planted, known: set[str]) -> None:
    """The loss is declared, and every incident and every sweep is over."""

    def is_declared() -> bool:
        causes = {one["cause"] for key, one in stage.status.incidents.items() if key not in known}
        return planted.causes <= causes

    await stage.until(f"an incident {', '.join(sorted(planted.causes))}", is_declared, 60.0)
    if planted.causes:
        await stage.until("the sweeps", lambda: stage.sweeps_are_over() and not stage.open_incidents(), 180.0)
    await stage.until("what was planted", lambda: planted.drifting <= stage.open_keys(), 90.0)


async def _until_still(stage: Stage) -> None:
    """Nothing moves any more, all of it is judged, and what must be looked at again has been."""
    await stage.pause_load()
    window = stage.system.options.window
    await stage.clock.sleep(window.lag_us / SECOND_US)
    at = stage.clock.now_us()
    await stage.until(
        "the last verdicts", lambda: stage.is_verified(at + window.lag_us + 2 * SECOND_US), 60.0
    )


async def _find_problems(stage: Stage) -> list[str]:
    problems = []
    count, wrong = await find_discrepancies(stage.settings, stage.rule, stage.clock)
    if wrong:
        shown = "; ".join(f"{one.key} {one.side}: {one.held} instead of {one.real}" for one in wrong[:_SHOWN])
        problems.append(f"the state of {len(wrong)} of {count} keys is wrong: {shown}")
    truth, told = stage.drifting_now(), stage.open_keys() - stage.strangers
    if truth != told:
        problems.append(
            f"{len(truth - told)} drifting keys are not open, {len(told - truth)} open ones are fine"
        )
    return problems

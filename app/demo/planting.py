"""What each kind of planted drift of a credit line consists of (pure)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from app.demo.lines import Line, Row
from app.demo.steps import ChainStep, Delays, RowStep, Step
from app.demo.world import Plant, Planted, World


def plan_steps(world: World, plant: Plant, delays: Delays) -> list[Step]:
    """All that a plant does to both sides, its healing included."""
    steps = _PLANTERS[plant.kind](world, plant.borrower.line or world.draw_line(), delays)
    return steps if plant.heals or plant.kind is Planted.LATE_UPDATE else steps[:-1]


def spoil(world: World, number: int, line: Line) -> tuple[Line | None, Row | None]:
    """Both sides of a key that had drifted before driftwatch started: four ways, in turn."""
    row = Row.of(line)
    return (
        (line, None),
        (None, row),
        (line, row._replace(credit_limit=row.credit_limit + 1)),
        (line, row._replace(status="defaulted", rate_bps=row.rate_bps + 1)),
    )[number % 4]


def _grown(world: World, line: Line) -> Line:
    limit = line.credit_limit + world.random.randrange(1, 1_000_000_000)
    return line._replace(credit_limit=limit, utilized=line.utilized // 2)


def _missed_update(world: World, line: Line, delays: Delays) -> list[Step]:
    grown = _grown(world, line)
    return [ChainStep(0, grown, "drawn"), RowStep(delays.late_us, Row.of(grown))]


def _late_update(world: World, line: Line, delays: Delays) -> list[Step]:
    grown = _grown(world, line)
    return [ChainStep(0, grown, "repay"), RowStep(delays.late_us, Row.of(grown))]


def _manual_edit(world: World, line: Line, delays: Delays) -> list[Step]:
    right = Row.of(line)
    wrong = right._replace(credit_limit=right.credit_limit + world.random.randrange(1, 1_000_000_000))
    return [RowStep(0, wrong), RowStep(delays.wrong_us, right)]


def _missing_row(_: World, line: Line, delays: Delays) -> list[Step]:
    return [ChainStep(0, line, "opened"), RowStep(delays.late_us, Row.of(line))]


def _row_without_entry(_: World, line: Line, delays: Delays) -> list[Step]:
    return [RowStep(0, Row.of(line)), ChainStep(delays.wrong_us, line, "opened")]


def _wrong_value(world: World, line: Line, delays: Delays) -> list[Step]:
    grown = _grown(world, line)
    row = Row.of(grown)
    one_stroop_off = row._replace(credit_limit=row.credit_limit + 1)
    return [
        ChainStep(0, grown, "drawn"),
        RowStep(delays.follow_us, one_stroop_off),
        RowStep(delays.late_us, row),
    ]


def _wrong_status(_: World, line: Line, delays: Delays) -> list[Step]:
    """`risk_upd` moves the status without saying so; the application takes over the rate only."""
    restricted = line._replace(rate_bps=(line.rate_bps + 25) % 3000, status="restricted")
    row = Row.of(restricted)
    return [
        ChainStep(0, restricted, "risk_upd"),
        RowStep(delays.follow_us, row._replace(status=line.status)),
        RowStep(delays.late_us, row),
    ]


def _before_start(_: World, line: Line, delays: Delays) -> list[Step]:
    """It was planted with the first rows: only its healing is left to do."""
    return [
        ChainStep(delays.wrong_us, line, "drawn"),
        RowStep(delays.wrong_us + delays.follow_us, Row.of(line)),
    ]


_PLANTERS: Final[dict[Planted, Callable[[World, Line, Delays], list[Step]]]] = {
    Planted.MISSED_UPDATE: _missed_update,
    Planted.MANUAL_EDIT: _manual_edit,
    Planted.MISSING_ROW: _missing_row,
    Planted.ROW_WITHOUT_ENTRY: _row_without_entry,
    Planted.LATE_UPDATE: _late_update,
    Planted.WRONG_VALUE: _wrong_value,
    Planted.WRONG_STATUS: _wrong_status,
    Planted.BEFORE_START: _before_start,
}

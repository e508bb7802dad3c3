"""What a drill is: something done to the stage, and what must come of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.resources import files

from app.demo.drills.stage import Stage


@dataclass(frozen=True, slots=True)
class Planted:
    """What a drill did. `causes`: the incidents that must declare it, none where nothing was lost;
    `drifting`: the keys that must be found and stay open; `problems`: what the drill itself saw go wrong."""

    causes: frozenset[str] = frozenset()
    drifting: frozenset[str] = frozenset()
    problems: list[str] = field(default_factory=list)


Drill = Callable[[Stage], Awaitable[Planted]]


def read_sql(name: str) -> str:
    """A statement of the drills."""
    return (files("app.demo.drills") / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def is_declared(stage: Stage, cause: str) -> bool:
    """Was there ever an incident of this cause?"""
    return any(incident["cause"] == cause for incident in stage.status.incidents.values())

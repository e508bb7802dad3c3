"""The named worlds: what goes wrong in each, and which promise holds there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from app.detector.model import SECOND
from app.simulation.life import Habits
from app.simulation.manner import Manner


class Promise(StrEnum):
    """What a world may show. `complete`: nothing is unverifiable either; `declared`: misses lie in declared
    stretches only; `healing`: losses that nothing tells of are found by the next record or sweep only, so
    that false alarms are counted and not forbidden (confirming is what will forbid them)."""

    COMPLETE = "complete"
    DECLARED = "declared"
    HEALING = "healing"


@dataclass(frozen=True, slots=True)
class Size:
    """Keys in all, over how many partitions they are spread, and for how long they live."""

    keys: int = 600
    partitions: int = 3
    seconds: int = 7200

    @property
    def key_hours(self) -> float:
        """Without the keys that rows are moved to."""
        return self.keys * self.seconds / 3600


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of world."""

    name: str
    promise: Promise = Promise.COMPLETE
    habits: Habits = field(default_factory=Habits)
    manner: Manner = field(default_factory=Manner)
    size: Size = field(default_factory=Size)


_OPEN = Habits(open_for_us=20 * SECOND, twice=0.2, moves=0.01, gone=0.04)
_BOUND = SECOND
"""One clock ahead, the other behind: together `skew`."""
_SMALL = Size(keys=300, seconds=3600)
"""Where a sweep follows a sweep."""
_WORKER = Size(partitions=1)
"""Where a whole worker judges, a step costs as much as a hundred keys."""

SCENARIOS: Final[tuple[Scenario, ...]] = (
    Scenario("calm"),
    Scenario("left lags", manner=Manner(left_delay_s=(20, 180))),
    Scenario("right lags", manner=Manner(right_delay_s=(20, 180))),
    Scenario("left stalls", manner=Manner(left_stalls=6)),
    Scenario("right stalls", manner=Manner(right_stalls=6)),
    Scenario("both stall", manner=Manner(left_stalls=6, stalls_together=True)),
    Scenario("arrival out of order", manner=Manner(wander_s=120)),
    Scenario("duplicates", manner=Manner(duplicates=0.2)),
    Scenario("source replays", habits=Habits(gone=0.1), manner=Manner(replays=8)),
    Scenario("worker restarts", manner=Manner(duplicates=0.05, restarts=True)),
    Scenario("clocks: left ahead", manner=Manner(left_offset_us=_BOUND, right_offset_us=-_BOUND)),
    Scenario("clocks: right ahead", manner=Manner(left_offset_us=-_BOUND, right_offset_us=_BOUND)),
    Scenario("hot keys", habits=Habits(hot=0.03, paces_s=(1800, 5400), busy=0.06)),
    Scenario("keys on one side", habits=Habits(one_sided=0.3)),
    Scenario("several rows a key", habits=Habits(soft_deleted=0.1)),
    Scenario("rows leave the scope", habits=Habits(hidden=0.2)),
    Scenario("rows change their key", habits=Habits(moves=0.2)),
    Scenario("two changes a transaction", habits=Habits(twice=0.4)),
    Scenario("shorter than min", habits=Habits(short=0.3)),
    Scenario("no before-images", manner=Manner(full_images=False, duplicates=0.05)),
    Scenario("sweeps, open transactions", habits=_OPEN, manner=Manner(sweeps_s=(1500, 3300, 5700))),
    Scenario("rule changes", Promise.DECLARED, manner=Manner(rule_changes=2), size=_WORKER),
    Scenario(
        "rule changes, stalls, confirmed",
        Promise.DECLARED,
        manner=Manner(rule_changes=2, confirms=True, left_stalls=3, right_stalls=3),
        size=_WORKER,
    ),
    Scenario("seeded in mid-life", Promise.DECLARED, manner=Manner(streams_from_s=1200, sweeps_s=(1260,))),
    Scenario("coalesced ledgers", Promise.DECLARED, manner=Manner(page_ledgers=4, read_ahead=2)),
    Scenario("poller gaps", Promise.DECLARED, manner=Manner(poller_gaps=3)),
    Scenario("epochs of the left", Promise.DECLARED, manner=Manner(epochs=2)),
    Scenario("left loses 0.1 %, told", Promise.DECLARED, manner=Manner(left_loss=0.001)),
    Scenario("left loses 1 %, told", Promise.DECLARED, manner=Manner(left_loss=0.01)),
    Scenario("left loses 5 %, told", Promise.DECLARED, manner=Manner(left_loss=0.05), size=_SMALL),
    Scenario("right loses 0.1 %, told", Promise.DECLARED, manner=Manner(right_loss=0.001)),
    Scenario("right loses 1 %, told", Promise.DECLARED, manner=Manner(right_loss=0.01)),
    Scenario("right loses 5 %, told", Promise.DECLARED, manner=Manner(right_loss=0.05), size=_SMALL),
)

_SWEEPS = (1800, 3600, 5400, 6900)
_LAST_LOSS_S = 6600
"""What is lost after the last sweep nothing can show."""
_SELDOM, _LARGE = "0.1 %", Size(keys=6000, partitions=30)
"""Where little is lost, much must be lived through to see how much of it is declared."""
_SILENT = tuple(
    Scenario(name, Promise.HEALING, habits, manner)
    for name, habits, manner in (
        ("left loses 0.1 %, silent", Habits(), Manner(left_loss=0.001, losses_are_told=False)),
        ("left loses 1 %, silent", Habits(), Manner(left_loss=0.01, losses_are_told=False)),
        ("left loses 5 %, silent", Habits(), Manner(left_loss=0.05, losses_are_told=False)),
        ("right loses 0.1 %, silent", Habits(), Manner(right_drops=0.001)),
        ("right loses 1 %, silent", Habits(), Manner(right_drops=0.01)),
        ("right loses 5 %, silent", Habits(), Manner(right_drops=0.05)),
        ("0.1 % of entry changes without event", Habits(silent=0.001), Manner()),
        ("1 % of entry changes without event", Habits(silent=0.01), Manner()),
        ("5 % of entry changes without event", Habits(silent=0.05), Manner()),
    )
)
_LOOKED_AT = {"": (False, False), ", confirmed": (True, False), ", before-images too": (True, True)}
HEALING: Final[tuple[Scenario, ...]] = tuple(
    replace(
        each,
        name=each.name + how,
        habits=replace(each.habits, silent_until_s=_LAST_LOSS_S),
        manner=replace(
            each.manner,
            sweeps_s=_SWEEPS,
            losses_until_s=_LAST_LOSS_S,
            confirms=confirms,
            before_images=before_images,
        ),
        size=_LARGE if _SELDOM in each.name else Size(),
    )
    for each in _SILENT
    for how, (confirms, before_images) in _LOOKED_AT.items()
    if not (before_images and each.manner.left_loss)
)
"""Loss that continuity cannot prove: run apart, where it is asked for; without and with confirming, and with
what each entry was before the event that named it."""

NOT_COVERED: Final = (
    "a change of an entry without any record that makes nobody suspicious: no live read asks for it",
    "sampled sides, sums and invariants (kinds of rule that the detector has not yet)",
)


def find_scenario(name: str) -> Scenario | None:
    """By name."""
    return next((each for each in (*SCENARIOS, *HEALING) if each.name == name), None)

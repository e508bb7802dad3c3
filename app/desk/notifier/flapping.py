"""When a key flaps, and when it is calm: a pure step per transition."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from app.notices import Flapping, Kind, Transition

NOTHING: Final = Flapping()


@dataclass(frozen=True, slots=True)
class Limits:
    """A rule's `flapping`: a key flaps once it was reopened `flaps` times within `within_us` (event time),
    and is calm again after as long without."""

    flaps: int = 5
    within_us: int = 3_600_000_000


def calm_at(state: Flapping, limits: Limits) -> int:
    """The event time from which nothing of the state matters any more, unless the key is reopened before."""
    return max(state.flaps_us, default=0) + limits.within_us


def remember(state: Flapping, transition: Transition, limits: Limits) -> Flapping:
    """The state after a transition: its flaps counted; a state that is calm by then begins anew, and what was
    told of it (`began`, `told`) must have been ended before. Transitions come in order, each once."""
    horizon = transition.at_us - limits.within_us
    flaps = tuple(at for at in state.flaps_us if at > horizon)
    if transition.kind is Kind.REOPENED:
        flaps = (*flaps, transition.at_us)[-limits.flaps :]
    if state.began is None:
        begins = transition.kind is Kind.REOPENED and len(flaps) >= limits.flaps
        return Flapping(flaps, transition.id if begins else None, last=transition.event if begins else None)
    return replace(state, flaps_us=flaps, last=transition.event)


def is_calm(state: Flapping, at_us: int, limits: Limits) -> bool:
    """Has the key been quiet long enough at this moment?"""
    return at_us >= calm_at(state, limits)

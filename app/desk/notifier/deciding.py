"""Which targets are told what about transitions: a pure function of what arrived and what was told before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from app.desk.notifier.flapping import NOTHING, Limits, calm_at, is_calm, remember
from app.desk.notifier.messages import calm_notice, flapping_notice, transition_notice
from app.desk.notifier.targets import Target
from app.notices import Decided, Flapping, Kind, Known, Lane, Notice, Transition

_USUAL = Limits()


def wants(target: Target, transition: Transition, *, is_known: bool) -> bool:
    """Does the target want to be told this? `is_known`: it was told of the episode before.

    The minimum severity says what a target begins to hear of; of what it knows it hears the end, whatever
    the severity is by then. What rises to the minimum is told even where `updated` is not wanted.
    """
    if not target.takes(transition.rule):
        return False
    if not is_known and not transition.severity.reaches(target.severity):
        return False
    if transition.kind is Kind.UPDATED and not is_known and Kind.OPENED in target.transitions:
        return True
    return transition.kind in target.transitions


@dataclass(frozen=True, slots=True)
class Decider:
    """All targets, and the limits of each rule."""

    targets: Sequence[Target]
    limits: Mapping[str, Limits]

    def decide(self, arrived: Sequence[Transition], known: Known) -> Decided:
        """What is to be told of transitions that come for the first time, each key's in order."""
        told, flapping = set(known.told), dict(known.flapping)
        notices: list[Notice] = []
        touched: dict[Lane, None] = {}
        for transition in arrived:
            lane = (transition.rule, transition.lane)
            limits = self.limits.get(transition.rule, _USUAL)
            state = flapping.get(lane, NOTHING)
            if not state.is_empty and is_calm(state, transition.at_us, limits):
                notices += self._end(lane, state, limits)
                state = NOTHING
            state = remember(state, transition, limits)
            state, found = self._tell(transition, state, told)
            notices += found
            told.update((notice.target, transition.episode) for notice in found)
            flapping[lane] = state
            touched[lane] = None
        return Decided(notices, {lane: self._kept(lane, flapping[lane]) for lane in touched})

    def decide_calm(self, states: Mapping[Lane, Flapping]) -> Decided:
        """These keys were not reopened for long enough, by the clock: they are calm."""
        notices = [
            notice
            for lane, state in states.items()
            for notice in self._end(lane, state, self.limits.get(lane[0], _USUAL))
        ]
        return Decided(notices, {lane: (NOTHING, 0) for lane in states})

    def _tell(
        self, transition: Transition, state: Flapping, told: set[tuple[str, str]]
    ) -> tuple[Flapping, list[Notice]]:
        notices = []
        for target in self.targets:
            if target.name in state.told:
                continue  # it knows that the key flaps
            is_known = (target.name, transition.episode) in told
            if state.began is None:
                if wants(target, transition, is_known=is_known):
                    notices.append(transition_notice(transition, target.name, is_held=target.is_grouping))
            elif target.takes(transition.rule) and (is_known or transition.severity.reaches(target.severity)):
                notices.append(
                    flapping_notice(
                        transition, state.began, len(state.flaps_us), target.name, is_held=target.is_grouping
                    )
                )
        if state.began is None:
            return state, notices
        quiet = state.quiet + (state.began != transition.id)
        return replace(state, told=(*state.told, *(each.target for each in notices)), quiet=quiet), notices

    def _end(self, lane: Lane, state: Flapping, limits: Limits) -> Iterator[Notice]:
        if state.began is None:
            return
        for target in self.targets:
            if target.name in state.told:
                yield calm_notice(
                    state, lane, calm_at(state, limits), target.name, is_held=target.is_grouping
                )

    def _kept(self, lane: Lane, state: Flapping) -> tuple[Flapping, int]:
        if state.is_empty:
            return NOTHING, 0
        return state, calm_at(state, self.limits.get(lane[0], _USUAL))

"""Proofs of lost input that wait a moment, since what explains them may still be on its way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from app.detector.model import SECOND, Incident, Side
from app.detector.past import Loss
from app.detector.watermark import Watermark

WAITS_US: Final = 5 * SECOND
"""A TRUNCATE is told to one partition, and by it to the others: an insert of the same key again may come
there first. Event time."""


class Proofs:
    """Inserts of rows that were held as there, of one side. One that a loss of the whole side explains is no
    incident of its own."""

    def __init__(self, left: Watermark) -> None:
        self.left = left
        self._held: list[tuple[Incident, int]] = []

    def hold(self, incident: Incident) -> None:
        """An insert proved it."""
        self._held.append((incident, len(self.left.past)))

    def plain(self) -> list[object]:
        """What must be durable, in plain types."""
        return [[[*incident], events] for incident, events in self._held]

    def restore(self, held: Iterable[tuple[Any, int]]) -> None:
        """Take up what `plain` gave, lists or tuples."""
        for (rule, key, cause, side, *rest), events in held:
            self._held.append((Incident(rule, key, cause, Side(side), *rest), events))

    def take(self) -> list[Incident]:
        """What nothing has explained in time."""
        due = [held for held in self._held if held[0].from_us + WAITS_US <= self.left.at]
        if due:
            self._held = [held for held in self._held if held not in due]
        return [incident for incident, events in due if not self._is_explained(incident.from_us, events)]

    def _is_explained(self, at: int, events: int) -> bool:
        later = self.left.past.since(events)
        return any(isinstance(event, Loss) and event.start <= at for event in later)

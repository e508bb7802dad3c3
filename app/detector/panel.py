"""All rules of one partition: each input goes to the detectors that it concerns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.detector.detector import Detector
from app.detector.model import (
    Activation,
    ClockReading,
    Effect,
    Gap,
    Input,
    Mark,
    Mute,
    Seeded,
    Side,
    Unreadable,
    Upgraded,
)


class Panel:
    """Detectors by rule id; marks and gaps reach every rule that their source feeds."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self.detectors: Mapping[str, Detector] = {detector.rule.id: detector for detector in detectors}

    def take(self, message: Input) -> list[Effect]:
        """Feed one input; the effects in order. The rules stay those that were given: an activation changes
        nothing."""
        if type(message) is Activation:
            return []
        if type(message) is Mark:
            fed = [detector for detector in self.detectors.values() if _is_fed(detector, message)]
            if len(fed) == 1:
                return fed[0].advance(message)
            return [effect for detector in fed for effect in detector.advance(message)]
        if isinstance(message, Gap | ClockReading):
            fed = [detector for detector in self.detectors.values() if _is_fed(detector, message)]
            return [effect for detector in fed for effect in detector.control(message)]
        if isinstance(message, Seeded | Mute | Unreadable | Upgraded):
            found = self.detectors.get(message.rule)
            return found.control(message) if found is not None else []
        concerned = self.detectors.get(message.rule)  # type: ignore[union-attr]
        return concerned.observe(message) if concerned is not None else []  # type: ignore[arg-type]


def _is_fed(detector: Detector, message: Mark | Gap | ClockReading) -> bool:
    source = detector.rule.left_source if message.side is Side.LEFT else detector.rule.right_source
    return source is None or message.source is None or source == message.source

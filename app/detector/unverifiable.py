"""Which stretches of a timeline could not be judged, kept for the report of a replay."""

from __future__ import annotations

from collections.abc import Sequence

from app.detector.model import INFINITY, UNKNOWN, Side
from app.detector.segments import UNVERIFIABLE, Segment
from app.detector.timeline import Piece


class UnverifiableLog:
    """Pieces of unknown value that mattered to a verdict: (key, side, from) -> until, merged as they are met
    again.

    `from` -INFINITY: since before all that was heard; an end not known yet is the end of what was judged, and
    INFINITY once no more input follows.
    """

    def __init__(self) -> None:
        self.pieces: dict[tuple[str, Side, int], int] = {}

    def note(
        self,
        key: str,
        sides: tuple[Sequence[Piece], Sequence[Piece]],
        known_until: tuple[int, int],
        segments: Sequence[Segment],
    ) -> None:
        """Remember the unknown pieces of either side where a segment could not be judged. `known_until`: how
        far what was judged reaches on either side."""
        if not any(segment.kind == UNVERIFIABLE for segment in segments):
            return
        for side, pieces, end in zip((Side.LEFT, Side.RIGHT), sides, known_until, strict=True):
            for i, piece in enumerate(pieces):
                if piece[2] == UNKNOWN and piece[0] < end:
                    name = (key, side, piece[0])
                    until = pieces[i + 1][0] if i + 1 < len(pieces) else INFINITY
                    self.pieces[name] = max(min(until, end), self.pieces.get(name, -INFINITY))

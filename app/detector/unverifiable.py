"""What cannot be judged: keys that are unknown now, and stretches, kept for the report of a replay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.detector.model import INFINITY, UNKNOWN, Side
from app.detector.segments import UNVERIFIABLE, Segment
from app.detector.timeline import Piece


class UnknownKeys:
    """Keys of which a side was unknown when they were looked at last. After a loss that is every key until it
    is found known again, though nobody has looked."""

    def __init__(self) -> None:
        self._unknown: set[str] = set()
        self._known: set[str] = set()
        self._is_lost = False

    def __iter__(self) -> Iterator[str]:
        return iter(self._unknown)

    def __contains__(self, key: str) -> bool:
        return key in self._unknown

    def add(self, key: str) -> None:
        """A side of it is unknown."""
        self._unknown.add(key)
        self._known.discard(key)

    def discard(self, key: str) -> None:
        """Both sides are known."""
        self._unknown.discard(key)
        if self._is_lost:
            self._known.add(key)

    def clear(self) -> None:
        """All are to be looked at again."""
        self._unknown.clear()

    def lose(self, *, is_lost: bool) -> None:
        """Something was lost, or (False) a sweep has made up for it."""
        self._is_lost = is_lost
        self._known.clear()

    def count(self, held: int) -> int:
        """How many of all keys that are held are unknown."""
        return max(held - len(self._known), 0) if self._is_lost else len(self._unknown)


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
                    until = pieces[i + 1][0] if i + 1 < len(pieces) else INFINITY
                    self.note_piece(key, side, piece[0], min(until, end))

    def note_piece(self, key: str, side: Side, since: int, until: int) -> None:
        """Remember that nothing can be said of what a side was in [since, until)."""
        name = (key, side, since)
        self.pieces[name] = max(until, self.pieces.get(name, -INFINITY))

"""Pure step two of judging: segments and the episode record in, turns of the episode out, by the three
filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.detector.model import Rule
from app.detector.segments import BAD, OK, UNVERIFIABLE, Segment


class Drifting(NamedTuple):
    """From the segment's start on these fields are in violation: open, update or reopen."""

    segment: Segment


class InSync(NamedTuple):
    """From the segment's start on the key has been in sync for `hysteresis`: resolve."""

    segment: Segment


class Verdicts(NamedTuple):
    """What the segments mean. `judged`: all instants before it are decided; `later`: the next instant at
    which a silent key can change; `transient`: violations shorter than `min`."""

    turns: list[Drifting | InSync]
    judged: int
    later: int
    transient: int


def find_turns(rule: Rule, segments: Sequence[Segment], *, is_open: bool, end: int, later: int) -> Verdicts:
    """Drop stretches shorter than `min`; join across gaps shorter than `hysteresis`; leave what is not
    decided yet unjudged: no pending state is needed (detector.md section 3)."""
    walk = _Walk(rule, segments, is_open)
    undecided = walk.run()
    if undecided is None:
        return Verdicts(walk.turns, end, later, walk.transient)
    since, wait = undecided
    return Verdicts(walk.turns, since, min(later, since + wait - 1), walk.transient)


class _Walk:
    """One pass over the segments. `running`: a bad segment now continues a stretch judged long enough."""

    def __init__(self, rule: Rule, segments: Sequence[Segment], is_open: bool) -> None:
        self.minimum, self.hysteresis = rule.window.min_us, rule.hysteresis_us
        self.segments, self.is_open, self.running = segments, is_open, is_open
        self.turns: list[Drifting | InSync] = []
        self.transient = 0

    def run(self) -> tuple[int, int] | None:
        """None when all is decided; else (the instant from which nothing is judged, how long it must
        last)."""
        i = 0
        while i < len(self.segments):
            kind = self.segments[i].kind
            if kind == UNVERIFIABLE:
                self.running = self.is_open
                i += 1
                continue
            if kind == BAD:
                following = self._drift(i)
                if following is None:
                    return self.segments[i].start, self.minimum
                i = following
                continue
            if not self.is_open:
                i += 1
                continue
            following = self._calm(i)
            if following is None:
                return self.segments[i].start, self.hysteresis
            i = following
        return None

    def _drift(self, i: int) -> int | None:
        """The index after a bad run; None: not decided yet, it may still become long enough."""
        j = self._end_of_bad(i)
        if not self.running and self.segments[j - 1].until - self.segments[i].start < self.minimum:
            if j == len(self.segments):
                return None
            self.transient += 1
            return j
        self.turns += [Drifting(segment) for segment in self.segments[i:j]]
        self.is_open = self.running = True
        return j

    def _calm(self, i: int) -> int | None:
        """In sync with an open episode: resolve where it lasts for `hysteresis` (violations shorter than
        `min` count as in sync); None: not decided yet; else joined: the index where the same stretch goes
        on."""
        j = calm_until = i
        while j < len(self.segments) and self.segments[j].kind != UNVERIFIABLE:
            if self.segments[j].kind == OK:
                j += 1
                calm_until = j
                continue
            k = self._end_of_bad(j)
            if self.segments[k - 1].until - self.segments[j].start >= self.minimum:
                break
            j = k
            if k < len(self.segments):
                calm_until = k
        if self.segments[calm_until - 1].until - self.segments[i].start >= self.hysteresis:
            self.turns.append(InSync(self.segments[i]))
            self.is_open = self.running = False
            return i + 1
        return None if j >= len(self.segments) else j

    def _end_of_bad(self, i: int) -> int:
        while i < len(self.segments) and self.segments[i].kind == BAD:
            i += 1
        return i

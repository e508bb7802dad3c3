"""Pure step two of judging: segments and the episode record in, turns of the episode out, by the three
filters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from app.detector.model import INFINITY, Rule
from app.detector.segments import BAD, OK, UNVERIFIABLE, Segment


class Drifting(NamedTuple):
    """From the segment's start on these fields are in violation: open, update or reopen."""

    segment: Segment


class InSync(NamedTuple):
    """From the segment's start on the key has been in sync for `hysteresis`: resolve."""

    segment: Segment


class Verdicts(NamedTuple):
    """What the segments mean. `judged`: all instants before it are decided; `later`: the next instant at
    which a silent key can change; `transient`: violations shorter than `min`; `suspect`: the instant of the
    turn that must be confirmed first."""

    turns: list[Drifting | InSync]
    judged: int
    later: int
    transient: int
    suspect: int | None = None


IsNews: TypeAlias = Callable[[Segment, Segment | None], bool]
"""Does a segment differ from what was told: from the segment before it in this walk, where there is one?"""


class Walk(NamedTuple):
    """How the segments are walked: with an episode open or not, up to `end`; `later`: the next instant after
    it at which one may change. What `is_news` after `confirmed_through` is not told yet."""

    is_open: bool
    end: int
    later: int
    confirmed_through: int = INFINITY
    is_news: IsNews = lambda segment, before: True


def find_turns(rule: Rule, segments: Sequence[Segment], how: Walk) -> Verdicts:
    """Drop stretches shorter than `min`; join across gaps shorter than `hysteresis`; leave what is not
    decided yet unjudged: no pending state is needed (detector.md section 3)."""
    walk = _Walk(rule, segments, how)
    undecided = walk.run()
    if undecided is None:
        return Verdicts(walk.turns, how.end, how.later, walk.transient)
    since, wait = undecided
    later = min(how.later, since + wait - 1)
    return Verdicts(walk.turns, since, later, walk.transient, walk.suspect)


class _Walk:
    """One pass over the segments. `running`: a bad segment now continues a stretch judged long enough."""

    def __init__(self, rule: Rule, segments: Sequence[Segment], how: Walk) -> None:
        self.minimum, self.hysteresis = rule.window.min_us, rule.hysteresis_us
        self.segments, self.is_open, self.running = segments, how.is_open, how.is_open
        self.confirmed_through, self.is_news = how.confirmed_through, how.is_news
        self.told: Segment | None = None
        self.suspect: int | None = None
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
                    return self._undecided(i), self.minimum
                i = following
                continue
            if not self.is_open:
                i += 1
                continue
            following = self._calm(i)
            if following is None:
                return self._undecided(i), self.hysteresis
            i = following
        return None

    def _undecided(self, i: int) -> int:
        return self.segments[i].start if self.suspect is None else self.suspect

    def _must_wait(self, segment: Segment) -> bool:
        """Must what begins there be confirmed first?"""
        if segment.start <= self.confirmed_through:
            return False
        if segment.kind == BAD and self.is_open and not self.is_news(segment, self.told):
            return False
        self.suspect = segment.start
        return True

    def _drift(self, i: int) -> int | None:
        """The index after a bad run; None: not decided yet, it may still become long enough, or it must be
        confirmed."""
        j = self._end_of_bad(i)
        if not self.running and self.segments[j - 1].until - self.segments[i].start < self.minimum:
            if j == len(self.segments):
                return None
            self.transient += 1
            return j
        for segment in self.segments[i:j]:
            if self._must_wait(segment):
                return None
            self.turns.append(Drifting(segment))
            self.told = segment
            self.is_open = self.running = True
        return j

    def _calm(self, i: int) -> int | None:
        """In sync with an open episode: resolve where it lasts for `hysteresis` (violations shorter than
        `min` count as in sync); None: not decided yet, or to be confirmed; else joined: the index where the
        same stretch goes on."""
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
            if self._must_wait(self.segments[i]):
                return None
            self.turns.append(InSync(self.segments[i]))
            self.is_open = self.running = False
            return i + 1
        return None if j >= len(self.segments) else j

    def _end_of_bad(self, i: int) -> int:
        while i < len(self.segments) and self.segments[i].kind == BAD:
            i += 1
        return i

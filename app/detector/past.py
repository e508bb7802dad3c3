"""What input of a side was lost and when the side was read again, in order: what a key knows of its past."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from app.detector.model import ABSENT, INFINITY, UNKNOWN
from app.detector.timeline import Version

KEPT: Final = 64
"""So many events are kept one by one; older ones are one loss, and that is all that must ever be laid over a
key that nobody has touched since."""


class Loss(NamedTuple):
    """Input of [start, until) was lost: what was in force is unknown from `start` until heard of at or after
    `until`. `ends_epoch`: positions of before are not comparable with later ones."""

    start: int
    until: int
    ends_epoch: bool


class Sweep(NamedTuple):
    """A complete reading of the side, the first one or the first after a loss: its pages were read in [since,
    through]. What was not met was absent."""

    since: int
    through: int


class Past:
    """`unheard`: the timeline of a key that this side never heard of. The length is how many events there
    were at all: it only grows, and a key's state remembers how many are laid over it.

    `blur`: the events that are not kept any more, as one loss from the first start to the last end. What a
    key held in between becomes unknown a little early, never late.
    """

    def __init__(self, *, from_empty: bool) -> None:
        self.recent: list[Loss | Sweep] = []
        self.forgotten = 0
        self.blur: Loss | None = None
        self.unheard = [Version(-INFINITY, -1, ABSENT if from_empty else UNKNOWN, None)]

    def __len__(self) -> int:
        return self.forgotten + len(self.recent)

    @property
    def last(self) -> Loss | Sweep:
        """The newest event; there must be one."""
        return self.recent[-1]

    @property
    def losses(self) -> list[Loss]:
        """Everything that was lost."""
        blurred = [] if self.blur is None else [self.blur]
        return [*blurred, *(event for event in self.recent if isinstance(event, Loss))]

    def add(self, event: Loss | Sweep) -> None:
        """The next event."""
        self.recent.append(event)
        if isinstance(event, Loss):
            self.unheard = lay_loss(self.unheard, event)
        else:
            self.unheard = self.unheard[:]
            lay_sweep(self.unheard, event.since)
        if len(self.recent) > KEPT:
            self._forget(self.recent.pop(0))
        self.unheard = shorten(self.unheard)

    def _forget(self, event: Loss | Sweep) -> None:
        self.forgotten += 1
        if isinstance(event, Loss):
            blur = self.blur or event
            self.blur = Loss(
                min(blur.start, event.start),
                max(blur.until, event.until),
                blur.ends_epoch or event.ends_epoch,
            )

    def since(self, laid: int) -> Sequence[Loss | Sweep]:
        """What came after the first `laid` events; the blur, where that reaches into it."""
        if laid >= self.forgotten:
            return self.recent[laid - self.forgotten :]
        return self.recent if self.blur is None else [self.blur, *self.recent]

    def has_lost(self, at: int) -> bool:
        """Does an instant lie inside a loss?"""
        return any(loss.start <= at < loss.until for loss in self.losses)

    def knows(self, loss: Loss) -> bool:
        """Was this loss told before?"""
        blur = self.blur
        return loss in self.recent or (
            blur is not None and blur.start <= loss.start and loss.until <= blur.until
        )

    def plain(self) -> list[Any]:
        """What must be durable, in plain types."""
        blur = None if self.blur is None else list(self.blur)
        unheard = [[None if each.at == -INFINITY else each.at, each.value] for each in self.unheard]
        return [[list(event) for event in self.recent], self.forgotten, blur, unheard]

    def restore(self, held: Sequence[Any]) -> None:
        """Take up what `plain` gave, lists or tuples."""
        recent, self.forgotten, blur, unheard = held
        self.recent = [_event(event) for event in recent]
        self.blur = None if blur is None else Loss(*blur)
        self.unheard = [Version(-INFINITY if at is None else at, -1, value, None) for at, value in unheard]


def _event(event: Sequence[int]) -> Loss | Sweep:
    if len(event) == len(Loss._fields):
        start, until, ends_epoch = event
        return Loss(start, until, bool(ends_epoch))
    return Sweep(*event)


def shorten(versions: list[Version]) -> list[Version]:
    """The newest versions of a timeline that only losses and sweeps make; what was before is unknown."""
    if len(versions) <= KEPT:
        return versions
    return [Version(-INFINITY, -1, UNKNOWN, None), *versions[-KEPT:]]


def lay_loss(versions: list[Version], loss: Loss) -> list[Version]:
    """The same timeline with what was lost made unknown: from the loss's start until the first version at or
    after its end. A hole begins even inside one: a read between two losses says nothing of the second."""
    if versions[0].at >= loss.until:
        return versions
    kept = [version for version in versions if version.at < loss.start]
    after = [version for version in versions if version.at >= loss.until]
    if not kept:
        return [versions[0]._replace(value=UNKNOWN, trace=None), *after]
    return [*kept, Version(loss.start, kept[-1].position, UNKNOWN, None), *after]


def lay_sweep(versions: list[Version], at: int) -> None:
    """What is unknown at the end of a timeline, and was not met by a sweep, is absent from `at` on."""
    last = versions[-1]
    if is_hole(last) and last.at < at:
        versions.append(Version(at, last.position, ABSENT, None))


def is_hole(version: Version) -> bool:
    """Unknown, and no event waits to be read."""
    return version.value == UNKNOWN and version.trace is None

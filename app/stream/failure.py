"""Fail-stop: after the first failure nothing is ever committed, and the process ends with an error."""

from __future__ import annotations

from collections.abc import Callable

from app.clock import Clock
from app.telemetry import get_logger

log = get_logger(__name__)


class FailStop(Exception):
    """Something that was sent is not in Kafka, a step failed, or the process was frozen: the supervisor
    must start it anew, and it repeats the work since the last commit."""


class Failure:
    """The first failure of this process; it never goes away."""

    def __init__(self) -> None:
        self.cause: BaseException | None = None
        self.then: Callable[[], object] | None = None
        """Called once, at the first failure."""

    def declare(self, cause: BaseException) -> None:
        """From now on nothing is committed. Only the first cause is kept."""
        if self.cause is None:
            self.cause = cause
            log.error("stopping: nothing is committed any more", event_name="fail_stop", cause=repr(cause))
            if self.then is not None:
                self.then()

    def check(self) -> None:
        """Raises `FailStop` after a failure."""
        if self.cause is not None:
            raise FailStop(repr(self.cause)) from self.cause


class FreezeCheck:
    """A process that was frozen (stopped, swapped out, its machine paused) may have lost its partitions
    without knowing; it must not write any more."""

    def __init__(self, clock: Clock, failure: Failure, limit_s: float) -> None:
        self.clock, self.failure, self.limit_s = clock, failure, limit_s
        self._turned_at: float | None = None

    def turn(self) -> None:
        """The loop turns. Raises `FailStop` if it had not for longer than the limit, or after any failure."""
        now, last = self.clock.monotonic_s(), self._turned_at
        self._turned_at = now
        if last is not None and now - last > self.limit_s:
            self.failure.declare(FailStop(f"frozen for {now - last:.1f} s"))
        self.failure.check()

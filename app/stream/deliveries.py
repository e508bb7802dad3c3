"""What was sent and is not acknowledged yet: the gate in front of every commit."""

from __future__ import annotations

import asyncio
from typing import Any

from app.stream.failure import FailStop, Failure

Sent = asyncio.Future[Any]


class Deliveries:
    """Futures of sends; one that fails or is cancelled is a failure of the process."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        self.pending: set[Sent] = set()

    def track(self, sent: Sent) -> Sent:
        """Watch a send until it is acknowledged."""
        self.pending.add(sent)
        sent.add_done_callback(self._settled)
        return sent

    async def settle(self, within_s: float) -> None:
        """Wait for all that was sent so far; what is not acknowledged in time is a failure. Never raises."""
        if self.pending:
            _, late = await asyncio.wait(list(self.pending), timeout=within_s)
            if late:
                self.failure.declare(FailStop(f"{len(late)} sends not acknowledged within {within_s:.0f} s"))

    def _settled(self, sent: Sent) -> None:
        self.pending.discard(sent)
        if sent.cancelled():
            self.failure.declare(FailStop("a send was cancelled"))
        elif (error := sent.exception()) is not None:
            self.failure.declare(error)

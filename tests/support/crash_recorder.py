"""A recorder that kills itself with SIGKILL between the database's commit and Kafka's, at the commit that the
first argument counts."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping

from app.cli import build
from app.recording import Place
from connectors.kafka.recorder_feed import RecorderFeed


def main(dies_at: int) -> None:
    """`driftwatch recorder --migrate` until then."""
    commit, batches = RecorderFeed.commit, 0

    async def dying(self: RecorderFeed, offsets: Mapping[Place, int]) -> None:
        nonlocal batches
        batches += any(offsets.values())  # the first commits say where a partition begins
        if batches >= dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        await commit(self, offsets)

    RecorderFeed.commit = dying  # type: ignore[method-assign]
    build()(["recorder", "--migrate"])


if __name__ == "__main__":
    main(int(sys.argv[1]))

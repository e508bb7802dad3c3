"""A short life of a poller among failing nodes, on a real broker; `python -m tests.soak` is the long one."""

from __future__ import annotations

from tests.soak import soak
from tests.support.services import Services


async def test_every_event_is_told_once_or_declared_lost(services: Services) -> None:
    found = await soak(services.kafka, seed=7, ledgers=800)
    assert (found.missing, found.twice) == ([], []), found
    assert found.resets == 2
    assert found.events > 300
    assert sum(found.faults.values()) > 10
